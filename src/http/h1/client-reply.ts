/** The replies that one HTTP/1 client gets: framed as its version knows, and saying whether another request may follow. */
import type { Connection } from "../../net/connection.ts";
import { expectsContinue } from "../admission.ts";
import { localReply } from "../local-reply.ts";
import type { Reception } from "../reception.ts";
import type { Services } from "../services.ts";
import { Framing, type FramingKind, type Head } from "./head.ts";
import type { ReplyHead } from "./reply-head.ts";
import type { RequestHead } from "./request-head.ts";
import { writeChunk, writeLastChunk, writeReplyHead } from "./writer.ts";

export class ClientReply {
  /** The client speaks HTTP/1.0: 0; else 1. */
  minor = 1;
  /** Another request may follow. */
  keepAlive = true;
  /** The client has its body wait for a 100 that it has not got. */
  isAwaited = false;
  private framing: FramingKind = Framing.NONE;
  private readonly client: Connection;
  private readonly services: Services;
  private readonly reception: Reception;

  constructor(client: Connection, services: Services, reception: Reception) {
    this.client = client;
    this.services = services;
    this.reception = reception;
  }

  /** To this request. */
  begin(head: RequestHead): void {
    this.minor = head.minor;
    this.keepAlive = head.keepAlive;
    this.isAwaited = expectsContinue(head);
    this.framing = Framing.NONE;
  }

  /** 1xx but 101. */
  interim(head: ReplyHead): void {
    if (this.minor === 0) return;
    if (head.status === 100) this.isAwaited = false;
    this.services.output.begin(this.client);
    writeReplyHead(this.services.lines, head, { framing: Framing.NONE, minor: this.minor, keepAlive: true, upgrade: false, lines: "" });
  }

  /** @param lines field lines of our own */
  head(head: ReplyHead, framing: FramingKind, lines: string): void {
    // A client of 1.0 reads to the close; one of 1.1 gets chunks where the target gave no length.
    const mine = framing === Framing.CHUNKED || framing === Framing.UNTIL_CLOSE ? (this.minor === 0 ? Framing.UNTIL_CLOSE : Framing.CHUNKED) : framing;
    if (mine === Framing.UNTIL_CLOSE || this.services.draining || this.isAwaited) this.keepAlive = false;
    this.framing = mine;
    this.services.output.begin(this.client);
    writeReplyHead(this.services.lines, head, { framing: mine, minor: this.minor, keepAlive: this.keepAlive, upgrade: false, lines: this.reception.replyLines(head, lines) });
  }

  /** 101. */
  upgrade(head: ReplyHead, lines: string): void {
    this.services.output.begin(this.client);
    writeReplyHead(this.services.lines, head, { framing: Framing.NONE, minor: this.minor, keepAlive: true, upgrade: true, lines });
  }

  data(buffer: Buffer, start: number, end: number): void {
    const { output } = this.services;
    output.begin(this.client);
    if (this.framing === Framing.CHUNKED) writeChunk(output, buffer, start, end);
    else output.place(buffer, start, end);
  }

  end(trailers: Head | undefined): void {
    const { output, lines } = this.services;
    if (this.framing === Framing.CHUNKED) {
      output.begin(this.client);
      writeLastChunk(lines, trailers);
    }
    output.flush();
  }

  /** Only a reset tells the client that something of it is missing. */
  get endsWithClose(): boolean {
    return this.framing === Framing.UNTIL_CLOSE;
  }

  /** One of our own. @param retryAfter in ms; 0: not said @returns bytes of its body */
  local(status: number, text: string, toHead: boolean, retryAfter: number, location?: string): number {
    const { output, network } = this.services;
    output.begin(this.client);
    const { reason, lines, body } = localReply(status, text, network.clock.wall(), retryAfter, location);
    const connection = !this.keepAlive ? "Connection: close\r\n" : this.minor === 0 ? "Connection: keep-alive\r\n" : "";
    const sent = toHead ? "" : body;
    output.text(`HTTP/1.1 ${status} ${reason}\r\n${lines}${this.reception.hsts}${connection}\r\n${sent}`);
    return sent.length;
  }
}

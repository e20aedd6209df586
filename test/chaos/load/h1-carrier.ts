/** A client connection of HTTP/1.1: one request at a time, its reply read to the last byte and compared. */
import { isBody, pathOf, writeBody } from "./content.ts";
import { connectSocket, type SocketUser } from "./connect.ts";
import type { Carrier, LaneAtWork, Request } from "./lane-at-work.ts";

const END_OF_HEAD = "\r\n\r\n";
const LENGTH = /\r\ncontent-length: (\d+)/i;
const NUMBER = /\r\nx-number: (\d+)/i;
const BACKEND = /\r\nx-backend: (\d+)/i;
const CLOSE = /\r\nconnection: close/i;

export class H1Carrier implements Carrier, SocketUser {
  private readonly lane: LaneAtWork;
  private socket: Bun.Socket<SocketUser> | undefined = undefined;
  private over = false;
  port = 0;
  answered = 0;
  backend = 0;
  private request: Request | undefined = undefined;
  private unsent: Buffer | undefined = undefined;
  /** Of a head that has come in part. */
  private held: Buffer | undefined = undefined;
  private status = 0;
  private length = 0;
  private read = 0;
  private closes = false;
  private wrong = "";

  constructor(lane: LaneAtWork) {
    this.lane = lane;
    connectSocket(lane.lane, this);
  }

  get pending(): number {
    return this.request === undefined ? 0 : 1;
  }

  get ready(): boolean {
    return this.socket !== undefined;
  }

  onConnect(socket: Bun.Socket<SocketUser>): void {
    this.port = socket.localPort;
  }

  onReady(socket: Bun.Socket<SocketUser>): void {
    this.socket = socket;
    this.pump();
  }

  pump(): void {
    if (this.socket === undefined || this.request !== undefined || this.over) return;
    const request = this.lane.next();
    if (request === undefined) return;
    this.request = request;
    this.status = 0;
    this.wrong = "";
    const { method, number, length } = request;
    const line = `${method} ${pathOf(number, length)} HTTP/1.1\r\nHost: chaos.test\r\n`;
    if (method === "GET") this.write(Buffer.from(`${line}\r\n`, "latin1"));
    else {
      const head = `${line}Content-Length: ${length}\r\n\r\n`;
      const bytes = Buffer.allocUnsafe(head.length + length);
      bytes.latin1Write(head, 0);
      writeBody(bytes, head.length, number, length);
      this.write(bytes);
    }
  }

  private write(bytes: Buffer): void {
    const taken = Math.max(0, this.socket!.write(bytes));
    this.unsent = taken < bytes.length ? bytes.subarray(taken) : undefined;
  }

  onDrain(): void {
    if (this.unsent !== undefined) this.write(this.unsent);
  }

  onData(chunk: Buffer): void {
    const { request } = this;
    if (request === undefined) {
      this.lane.unasked(this, chunk);
      this.leave();
      return;
    }
    if (this.status > 0) {
      this.takeBody(request, chunk, 0);
      return;
    }
    const bytes = this.held === undefined ? chunk : Buffer.concat([this.held, chunk]);
    const end = bytes.indexOf(END_OF_HEAD);
    this.held = end < 0 ? Buffer.from(bytes) : undefined;
    if (end >= 0) {
      this.takeHead(request, bytes.latin1Slice(0, end));
      this.takeBody(request, bytes, end + END_OF_HEAD.length);
    }
  }

  private takeHead(request: Request, head: string): void {
    this.status = Number(head.slice(9, 12)) || 1;
    this.length = Number(LENGTH.exec(head)?.[1] ?? -1);
    this.read = 0;
    this.closes = CLOSE.test(head);
    if (this.status === 200) {
      this.backend = Number(BACKEND.exec(head)?.[1] ?? 0);
      const number = Number(NUMBER.exec(head)?.[1] ?? -1);
      if (number !== request.number) this.wrong = `the reply is that of ${number}`;
      else if (this.length !== request.length) this.wrong = `${this.length} bytes instead of ${request.length}`;
    } else if (this.status === 418) this.wrong = "the back end had another body than was sent";
    else if (this.length < 0) this.wrong = `status ${this.status} without a length`;
  }

  private takeBody(request: Request, bytes: Buffer, from: number): void {
    const to = Math.min(bytes.length, from + this.length - this.read);
    if (this.wrong === "" && this.status === 200 && to > from && !isBody(request.number, this.read, bytes, from, to)) this.wrong = `other bytes than its own from byte ${this.read} on`;
    this.read += to - from;
    if (this.wrong === "" && to < bytes.length) this.wrong = "bytes after the reply's end";
    if (this.wrong !== "") {
      this.request = undefined;
      this.lane.fail(request, "wrong", this, this.wrong);
      this.leave();
    } else if (this.read === this.length) this.finish(request);
  }

  private finish(request: Request): void {
    this.request = undefined;
    if (this.status === 200) this.lane.answer(request);
    else this.lane.fail(request, "status", this, "", this.status);
    this.answered++;
    if (this.closes || this.answered === this.lane.lane.requestsPerConnection) this.leave();
    else this.pump();
  }

  onGone(kind: "refused" | "reset" | "closed", reason = ""): void {
    if (this.over) return;
    this.over = true;
    const { request } = this;
    this.request = undefined;
    if (this.socket === undefined) {
      this.lane.gone(this, kind, reason);
      return;
    }
    const begun = this.held !== undefined || this.status > 0;
    if (request !== undefined) this.lane.fail(request, kind === "reset" ? "reset" : begun ? "truncated" : "closed", this, begun ? `after ${this.read} bytes of the body` : "", 0, reason);
    this.lane.gone(this);
  }

  overdue(before: number): void {
    const { request } = this;
    if (request === undefined || request.sent > before) return;
    this.request = undefined;
    this.lane.fail(request, "timeout", this);
    this.leave();
  }

  private leave(): void {
    this.end();
    this.lane.gone(this);
  }

  end(): void {
    this.over = true;
    this.socket?.end();
  }
}

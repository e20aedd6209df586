/**
 * A strict HTTP/1.1 reader of the tests' own, for requests and replies that Fairlead wrote.
 *
 * It is no second opinion on lenient input: whatever is not exactly well-formed (RFC 9112), chunk extensions included,
 * is `malformed`, because Fairlead must never write it.
 */

export type Field = readonly [name: string, value: string];

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-"$-~]+) HTTP\/1\.[01]$/;
const STATUS_LINE = /^HTTP\/1\.[01] ([1-5][0-9][0-9]) ([\t -~\x80-\xff]*)$/;
// eslint-disable-next-line no-control-regex
const VALUE = /^[\t -~\x80-\xff]*$/;

export class Message {
  readonly startLine: string;
  readonly fields: readonly Field[];
  /** The head as it came. */
  readonly head: string;
  readonly trailers: Field[] = [];
  /** Sizes of the chunks; empty for other framing. */
  readonly chunks: number[] = [];
  /** How the body's end is known. */
  framing: "none" | "length" | "chunked" | "close" = "none";
  state: "open" | "complete" | "truncated" = "open";
  /** True when the message is complete, false when the connection ended before. */
  readonly ended: Promise<boolean>;
  private readonly parts: Buffer[] = [];
  private settle: (complete: boolean) => void = () => {};

  constructor(head: string) {
    this.head = head;
    const [startLine, ...lines] = head.slice(0, -4).split("\r\n");
    this.startLine = startLine as string;
    this.fields = lines.map(parseField);
    this.ended = new Promise((resolve) => (this.settle = resolve));
  }

  get method(): string {
    return this.startLine.split(" ")[0] as string;
  }
  get target(): string {
    return this.startLine.split(" ")[1] as string;
  }
  get version(): string {
    return (this.startLine.startsWith("HTTP/") ? this.startLine.split(" ")[0] : this.startLine.split(" ")[2]) as string;
  }
  get status(): number {
    return Number(this.startLine.split(" ")[1]);
  }
  get body(): Buffer {
    return Buffer.concat(this.parts);
  }
  get text(): string {
    return this.body.toString("latin1");
  }
  get bodyLength(): number {
    return this.parts.reduce((sum, part) => sum + part.length, 0);
  }

  /** The one value of a field; several are joined by `, `; undefined when it is not there. */
  header(name: string): string | undefined {
    const values = this.headers(name);
    return values.length === 0 ? undefined : values.join(", ");
  }

  headers(name: string): string[] {
    return valuesOf(this.fields, name);
  }

  add(part: Buffer): void {
    if (part.length > 0) this.parts.push(part);
  }

  finish(state: "complete" | "truncated"): void {
    this.state = state;
    this.settle(state === "complete");
  }
}

function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}

class Malformed extends Error {}

function parseField(line: string): Field {
  const colon = line.indexOf(":");
  const name = line.slice(0, colon);
  const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "");
  if (colon < 1 || !TOKEN.test(name)) throw new Malformed(`field line ${JSON.stringify(line)}`);
  if (!VALUE.test(value)) throw new Malformed(`field value ${JSON.stringify(line)}`);
  return [name, value];
}

type Phase = "head" | "length" | "chunk-size" | "chunk-data" | "chunk-end" | "trailers" | "close" | "tunnel" | "malformed";

export class MessageReader {
  readonly messages: Message[] = [];
  /** What is wrong with the bytes; undefined while nothing is. */
  malformed: string | undefined;
  /** Methods of the requests whose replies are still to come, in order; GET when empty. */
  readonly methods: string[] = [];
  /** Bytes after a 101. */
  tunnel: Buffer = Buffer.alloc(0);
  private pending: Buffer = Buffer.alloc(0);
  private phase: Phase = "head";
  private remaining = 0;
  private readonly kind: "request" | "reply";
  private readonly onHead: (message: Message) => void;

  constructor(kind: "request" | "reply", onHead: (message: Message) => void = () => {}) {
    this.kind = kind;
    this.onHead = onHead;
  }

  get current(): Message | undefined {
    const last = this.messages.at(-1);
    return last?.state === "open" ? last : undefined;
  }

  /** Bytes that came but make no message yet. */
  get unread(): Buffer {
    return this.pending;
  }

  /** A request that asked for an upgrade was accepted: all that follows is not HTTP. */
  becomeTunnel(): void {
    this.phase = "tunnel";
    this.tunnel = Buffer.concat([this.tunnel, this.pending]);
    this.pending = Buffer.alloc(0);
  }

  feed(chunk: Buffer): void {
    this.pending = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    try {
      while (this.step());
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.malformed = error.message;
      this.phase = "malformed";
      this.current?.finish("truncated");
    }
  }

  /** The peer will send no more. */
  finish(clean: boolean): void {
    const message = this.current;
    if (message === undefined) return;
    message.finish(this.phase === "close" && clean ? "complete" : "truncated");
  }

  private take(length: number): Buffer {
    const part = this.pending.subarray(0, length);
    this.pending = this.pending.subarray(length);
    return part;
  }

  private line(): string | undefined {
    const end = this.pending.indexOf("\r\n");
    if (end < 0) return undefined;
    const line = this.take(end + 2).toString("latin1", 0, end);
    if (/[\r\n\0]/.test(line)) throw new Malformed(`line ${JSON.stringify(line)}`);
    return line;
  }

  private complete(): void {
    const message = this.current as Message;
    this.phase = this.kind === "reply" && message.status === 101 ? "tunnel" : "head";
    message.finish("complete");
    if (this.phase === "tunnel") this.becomeTunnel();
  }

  /** True when there may be more to do. */
  private step(): boolean {
    switch (this.phase) {
      case "head":
        return this.readHead();
      case "length":
      case "chunk-data": {
        if (this.pending.length === 0) return false;
        const part = this.take(Math.min(this.remaining, this.pending.length));
        this.current?.add(part);
        this.remaining -= part.length;
        if (this.remaining > 0) return false;
        if (this.phase === "length") this.complete();
        else this.phase = "chunk-end";
        return true;
      }
      case "chunk-end": {
        if (this.pending.length < 2) return false;
        if (this.take(2).toString("latin1") !== "\r\n") throw new Malformed("chunk data without CRLF");
        this.phase = "chunk-size";
        return true;
      }
      case "chunk-size": {
        const line = this.line();
        if (line === undefined) return false;
        if (!/^[0-9a-fA-F]{1,16}$/.test(line)) throw new Malformed(`chunk size ${JSON.stringify(line)}`);
        this.remaining = Number.parseInt(line, 16);
        if (this.remaining > 0) this.current?.chunks.push(this.remaining);
        this.phase = this.remaining === 0 ? "trailers" : "chunk-data";
        return true;
      }
      case "trailers": {
        const line = this.line();
        if (line === undefined) return false;
        if (line === "") this.complete();
        else this.current?.trailers.push(parseField(line));
        return true;
      }
      case "close":
        this.current?.add(this.take(this.pending.length));
        return false;
      case "tunnel":
        this.tunnel = Buffer.concat([this.tunnel, this.take(this.pending.length)]);
        return false;
      case "malformed":
        return false;
    }
  }

  private readHead(): boolean {
    const end = this.pending.indexOf("\r\n\r\n");
    if (end < 0) return false;
    const head = this.take(end + 4).toString("latin1");
    const startLine = head.slice(0, head.indexOf("\r\n"));
    const shape = this.kind === "request" ? REQUEST_LINE : STATUS_LINE;
    if (!shape.test(startLine)) throw new Malformed(`start line ${JSON.stringify(startLine)}`);
    const message = new Message(head);
    this.messages.push(message);
    this.frame(message);
    this.onHead(message);
    if (message.framing === "none") this.complete();
    return true;
  }

  private frame(message: Message): void {
    const codings = message.headers("transfer-encoding");
    const lengths = message.headers("content-length");
    if (codings.length > 0 && (lengths.length > 0 || codings.length > 1 || codings[0]?.toLowerCase() !== "chunked")) {
      throw new Malformed(`framing ${JSON.stringify({ codings, lengths })}`);
    }
    if (lengths.length > 1 || (lengths[0] !== undefined && !/^[0-9]{1,16}$/.test(lengths[0]))) throw new Malformed(`framing ${JSON.stringify({ lengths })}`);
    if (this.kind === "reply") {
      const method = message.status < 200 && message.status !== 101 ? "" : (this.methods.shift() ?? "GET");
      if (message.status < 200 || message.status === 204 || message.status === 304 || method === "HEAD") return;
    }
    this.remaining = Number(lengths[0] ?? 0);
    if (codings.length > 0) {
      message.framing = "chunked";
      this.phase = "chunk-size";
    } else if (this.remaining > 0) {
      message.framing = this.phase = "length";
    } else if (lengths.length === 0 && this.kind === "reply") {
      message.framing = this.phase = "close";
    }
  }
}

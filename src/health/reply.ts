/**
 * Reads the reply to an http check: the final status, and whether the start of the body contains a text.
 *
 * As strict as the data plane about the lines of a head (RFC 9112 sections 2.2, 4, 5, 6.3 and 7.1): a target whose replies would be
 * refused there is not healthy. Not a codec: it keeps nothing but what the verdict needs, in bounded memory.
 */

/** Lines of a head and of trailers, all together, in bytes. */
const MAX_HEAD_BYTES = 16 * 1024;
/** How far into a body a text is looked for, in bytes. */
export const MAX_BODY_BYTES = 64 * 1024;
/** Length of a chunk-size line with its extensions, in bytes. */
const MAX_CHUNK_LINE_BYTES = 1024;

const LF = 0x0a;
const CR = 0x0d;
const STATUS_LINE = /^HTTP\/1\.[01] ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*([\t\x20-\x7e\x80-\xff]*)$/;
const CHUNK_LINE = /^([0-9A-Fa-f]{1,13})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/;

/** The target broke the protocol; the message says how. */
export class InvalidReply extends Error {
  override readonly name = "InvalidReply";
}

type Phase = "status" | "fields" | "sized" | "chunk-size" | "chunk-data" | "chunk-end" | "trailers" | "to-close" | "done";

export class ReplyReader {
  /** The final status, known when its head is complete. */
  status: number | undefined = undefined;
  /** The text was seen. */
  found = false;
  /** All of the body that is to be searched was searched. */
  searched = false;

  private readonly noBody: boolean;
  private readonly text: Buffer | undefined;
  private phase: Phase = "status";
  /** An incomplete line, or the end of the body that may hold the start of the text. */
  private rest: Buffer = Buffer.alloc(0);
  private tail: Buffer = Buffer.alloc(0);
  private headBytes = 0;
  private bodyBytes = 0;
  private candidate = 0;
  private length: number | undefined = undefined;
  private coding = "";
  /** Bytes that are still to come of a sized body or chunk. */
  private expected = 0;

  /** `noBody` for a reply to HEAD; `text` is what the body is searched for, if anything. */
  constructor(noBody: boolean, text: Buffer | undefined) {
    this.noBody = noBody;
    this.text = text;
    this.found = text !== undefined && text.length === 0;
  }

  /** Throws InvalidReply. */
  read(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.searched) {
      at = this.inBody() ? this.readBody(chunk, at) : this.readLine(chunk, at);
    }
  }

  /** The target sends no more. Throws InvalidReply when that leaves the reply incomplete. */
  end(): void {
    if (this.phase === "to-close") this.finish();
    if (this.searched) return;
    if (this.phase === "status" && this.headBytes === 0) throw new InvalidReply("closed without a reply");
    throw new InvalidReply(this.status === undefined ? "closed inside the reply's head" : "closed inside the reply's body");
  }

  private inBody(): boolean {
    return this.phase === "sized" || this.phase === "chunk-data" || this.phase === "to-close";
  }

  private readBody(chunk: Buffer, from: number): number {
    const to = this.phase === "to-close" ? chunk.length : Math.min(chunk.length, from + this.expected);
    this.search(chunk.subarray(from, to));
    this.expected -= to - from;
    if (this.phase === "sized" && this.expected === 0) this.finish();
    if (this.phase === "chunk-data" && this.expected === 0) this.phase = "chunk-end";
    return to;
  }

  private readLine(chunk: Buffer, from: number): number {
    const lineFeed = chunk.indexOf(LF, from);
    const to = lineFeed === -1 ? chunk.length : lineFeed + 1;
    const isChunkLine = this.phase === "chunk-size" || this.phase === "chunk-end";
    if (!isChunkLine) this.headBytes += to - from;
    if (this.headBytes > MAX_HEAD_BYTES) throw new InvalidReply(`head over ${MAX_HEAD_BYTES} bytes`);
    if (isChunkLine && this.rest.length + to - from > MAX_CHUNK_LINE_BYTES) throw new InvalidReply("chunk line too long");
    const line = this.rest.length === 0 ? chunk.subarray(from, to) : Buffer.concat([this.rest, chunk.subarray(from, to)]);
    if (lineFeed === -1) {
      this.rest = line;
      return to;
    }
    this.rest = Buffer.alloc(0);
    if (line[line.length - 2] !== CR) throw new InvalidReply("line ends in LF alone");
    this.takeLine(line.latin1Slice(0, line.length - 2));
    return to;
  }

  private takeLine(line: string): void {
    switch (this.phase) {
      case "status":
        return this.takeStatus(line);
      case "fields":
        return line === "" ? this.endHead() : this.takeField(line);
      case "chunk-size":
        return this.takeChunkSize(line);
      case "chunk-end":
        if (line !== "") throw new InvalidReply("chunk is longer than its size");
        this.phase = "chunk-size";
        return;
      case "trailers":
        if (line === "") this.finish();
        else if (!FIELD_LINE.test(line)) throw new InvalidReply("bad trailer line");
        return;
      default:
        throw new Error(`no line is read in phase ${this.phase}`);
    }
  }

  private takeStatus(line: string): void {
    const match = STATUS_LINE.exec(line);
    if (match === null) throw new InvalidReply("bad status line");
    this.candidate = Number(match[1]);
    this.length = undefined;
    this.coding = "";
    this.phase = "fields";
  }

  private takeField(line: string): void {
    const match = FIELD_LINE.exec(line);
    if (match === null) throw new InvalidReply("bad header line");
    const value = match[2]!.trim();
    switch (match[1]!.toLowerCase()) {
      case "content-length": {
        const length = /^[0-9]{1,15}$/.test(value) ? Number(value) : undefined;
        if (length === undefined || (this.length !== undefined && this.length !== length)) throw new InvalidReply("bad Content-Length");
        this.length = length;
        return;
      }
      case "transfer-encoding":
        this.coding = this.coding === "" ? value.toLowerCase() : `${this.coding}, ${value.toLowerCase()}`;
        return;
    }
  }

  private endHead(): void {
    const status = this.candidate;
    if (status < 200) {
      // Interim replies come before the final one; their number is bounded by the bytes of all heads.
      if (status === 101) throw new InvalidReply("status 101 without Upgrade");
      this.phase = "status";
      return;
    }
    if (this.coding !== "" && this.length !== undefined) throw new InvalidReply("Content-Length with Transfer-Encoding");
    if (this.coding !== "" && this.coding !== "chunked") throw new InvalidReply("unknown Transfer-Encoding");
    this.status = status;
    if (this.noBody || status === 204 || status === 304 || this.text === undefined || this.found) return this.finish();
    if (this.coding === "chunked") this.phase = "chunk-size";
    else if (this.length === undefined) this.phase = "to-close";
    else if (this.length === 0) this.finish();
    else {
      this.phase = "sized";
      this.expected = this.length;
    }
  }

  private takeChunkSize(line: string): void {
    const match = CHUNK_LINE.exec(line);
    if (match === null) throw new InvalidReply("bad chunk size");
    this.expected = Number.parseInt(match[1]!, 16);
    this.phase = this.expected === 0 ? "trailers" : "chunk-data";
  }

  /** Look for the text in what was kept of the body so far and these bytes after it. */
  private search(bytes: Buffer): void {
    const text = this.text!;
    const fresh = bytes.subarray(0, MAX_BODY_BYTES - this.bodyBytes);
    this.bodyBytes += fresh.length;
    const window = this.tail.length === 0 ? fresh : Buffer.concat([this.tail, fresh]);
    if (window.includes(text)) this.found = true;
    if (this.found || this.bodyBytes === MAX_BODY_BYTES) return this.finish();
    this.tail = window.subarray(Math.max(0, window.length - text.length + 1));
  }

  private finish(): void {
    this.phase = "done";
    this.searched = true;
  }
}

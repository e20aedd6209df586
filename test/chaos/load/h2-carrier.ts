/** A client connection of HTTP/2: some requests at a time, no dynamic table, each reply's frames read and compared. */
import { Flag, frame, FrameType, ErrorCode, nameOfError, PREFACE, Setting, settings, windowUpdate } from "../../support/h2-frames.ts";
import { HpackDecoder } from "../../support/h2-hpack.ts";
import { connectSocket, type SocketUser } from "./connect.ts";
import { isBody, pathOf, writeBody } from "./content.ts";
import type { Carrier, LaneAtWork, Request } from "./lane-at-work.ts";

const HEAD_BYTES = 9;
const DEFAULT_STREAMS = 8;
/** What the server may send us ahead, on a stream and on the connection. */
const STREAM_WINDOW = 1 << 20;
const WINDOW = 1 << 24;
/** RFC 9113 section 6.9.2. */
const FIRST_WINDOW = 65_535;
/** `:status: 200` (RFC 7541 appendix A). */
const STATUS_200 = 0x88;
/** A change of the dynamic table's size to 0 (RFC 7541 section 6.3): a block may begin with it. */
const NO_TABLE = 0x20;

interface Stream {
  readonly request: Request;
  status: number;
  read: number;
  wrong: string;
}

export class H2Carrier implements Carrier, SocketUser {
  private readonly lane: LaneAtWork;
  private readonly most: number;
  private socket: Bun.Socket<SocketUser> | undefined = undefined;
  private over = false;
  /** The server takes no further streams. */
  private leaving = false;
  port = 0;
  answered = 0;
  /** Not read here. */
  readonly backend = 0;
  private readonly streams = new Map<number, Stream>();
  private nextStream = 1;
  private unsent: Buffer[] = [];
  private held: Buffer | undefined = undefined;
  /** What we may send on the connection. */
  private room = FIRST_WINDOW;
  private consumed = 0;

  constructor(lane: LaneAtWork) {
    this.lane = lane;
    this.most = lane.lane.streams ?? DEFAULT_STREAMS;
    connectSocket(lane.lane, this);
  }

  get pending(): number {
    return this.streams.size;
  }

  get ready(): boolean {
    return this.socket !== undefined;
  }

  onConnect(socket: Bun.Socket<SocketUser>): void {
    this.port = socket.localPort;
  }

  onReady(socket: Bun.Socket<SocketUser>): void {
    this.socket = socket;
    this.write(Buffer.concat([PREFACE, settings([Setting.HEADER_TABLE_SIZE, 0], [Setting.ENABLE_PUSH, 0], [Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW]), windowUpdate(0, WINDOW)]));
    this.pump();
  }

  pump(): void {
    if (this.socket === undefined || this.leaving || this.over) return;
    const frames: Buffer[] = [];
    while (this.streams.size < this.most) {
      const request = this.lane.next();
      if (request === undefined) break;
      const id = this.nextStream;
      this.nextStream += 2;
      this.streams.set(id, { request, status: 0, read: 0, wrong: "" });
      // No body is sent in part: what the window does not take goes as a GET.
      const isPost = request.method === "POST" && this.room >= request.length && request.length <= FIRST_WINDOW / 4;
      request.method = isPost ? "POST" : "GET";
      frames.push(frame(FrameType.HEADERS, Flag.END_HEADERS | (isPost ? 0 : Flag.END_STREAM), id, this.block(request, isPost)));
      if (!isPost) continue;
      const body = Buffer.allocUnsafe(request.length);
      writeBody(body, 0, request.number, request.length);
      this.room -= body.length;
      frames.push(frame(FrameType.DATA, Flag.END_STREAM, id, body));
    }
    if (frames.length > 0) this.write(Buffer.concat(frames));
  }

  /** Literals without indexing, names by their index (RFC 7541 section 6.2.2). */
  private block({ number, length }: Request, isPost: boolean): Buffer {
    const literal = (index: string, value: string): string => index + String.fromCharCode(value.length) + value;
    const scheme = this.lane.lane.tls === true ? "\x87" : "\x86";
    return Buffer.from(`${isPost ? "\x83" : "\x82"}${scheme}${literal("\x04", pathOf(number, length))}${literal("\x01", "chaos.test")}${isPost ? literal("\x0f\x0d", String(length)) : ""}`, "latin1");
  }

  private write(bytes: Buffer): void {
    if (this.unsent.length > 0) {
      this.unsent.push(bytes);
      return;
    }
    const taken = Math.max(0, this.socket!.write(bytes));
    if (taken < bytes.length) this.unsent.push(bytes.subarray(taken));
  }

  onDrain(): void {
    const waiting = this.unsent;
    this.unsent = [];
    for (const bytes of waiting) this.write(bytes);
  }

  onData(chunk: Buffer): void {
    const bytes = this.held === undefined ? chunk : Buffer.concat([this.held, chunk]);
    let at = 0;
    while (bytes.length - at >= HEAD_BYTES && !this.over) {
      const end = at + HEAD_BYTES + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      this.take(bytes[at + 3]!, bytes[at + 4]!, bytes.readUInt32BE(at + 5), bytes.subarray(at + HEAD_BYTES, end));
      at = end;
    }
    this.held = at < bytes.length ? Buffer.from(bytes.subarray(at)) : undefined;
    this.pump();
    if (this.leaving && this.streams.size === 0 && !this.over) this.leave();
  }

  private take(type: number, flags: number, id: number, payload: Buffer): void {
    switch (type) {
      case FrameType.HEADERS:
        this.takeHead(id, payload);
        break;
      case FrameType.DATA:
        this.takeBody(id, payload);
        break;
      case FrameType.RST_STREAM:
        this.takeReset(id, payload.readUInt32BE(0));
        return;
      case FrameType.SETTINGS:
        if ((flags & Flag.ACK) === 0) this.write(frame(FrameType.SETTINGS, Flag.ACK, 0));
        return;
      case FrameType.PING:
        if ((flags & Flag.ACK) === 0) this.write(frame(FrameType.PING, Flag.ACK, 0, payload));
        return;
      case FrameType.GOAWAY:
        this.takeGoaway(payload.readUInt32BE(0) & 0x7fffffff, payload.readUInt32BE(4));
        return;
      case FrameType.WINDOW_UPDATE:
        if (id === 0) this.room += payload.readUInt32BE(0);
        return;
      default:
        return;
    }
    if ((flags & Flag.END_STREAM) !== 0) this.finish(id);
  }

  private takeHead(id: number, block: Buffer): void {
    const stream = this.streams.get(id);
    if (stream === undefined || stream.status > 0) {
      if (stream === undefined && id >= this.nextStream) this.lane.unasked(this, block);
      return;
    }
    const at = block[0] === NO_TABLE ? 1 : 0;
    stream.status = block[at] === STATUS_200 ? 200 : Number(new HpackDecoder().decode(block.subarray(at)).find(([name]) => name === ":status")?.[1] ?? 1);
    if (stream.status === 418) stream.wrong = "the back end had another body than was sent";
  }

  private takeBody(id: number, bytes: Buffer): void {
    this.consumed += bytes.length;
    if (this.consumed >= WINDOW / 2) {
      this.write(windowUpdate(0, this.consumed));
      this.consumed = 0;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) return;
    const { request } = stream;
    if (stream.status === 200 && stream.wrong === "" && bytes.length > 0) {
      if (stream.read + bytes.length > request.length) stream.wrong = "bytes after the reply's end";
      else if (!isBody(request.number, stream.read, bytes, 0, bytes.length)) stream.wrong = `other bytes than its own from byte ${stream.read} on`;
    }
    stream.read += bytes.length;
  }

  private finish(id: number): void {
    const stream = this.streams.get(id);
    if (stream === undefined) return;
    this.streams.delete(id);
    const { request, status, read } = stream;
    if (stream.wrong !== "") this.lane.fail(request, "wrong", this, stream.wrong);
    else if (status !== 200) this.lane.fail(request, "status", this, "", status);
    // An END_STREAM says that all is there.
    else if (read !== request.length) this.lane.fail(request, "wrong", this, `${read} bytes instead of ${request.length}, and a stream that ends as if whole`);
    else this.lane.answer(request);
    this.answered++;
  }

  private takeReset(id: number, code: number): void {
    const stream = this.streams.get(id);
    if (stream === undefined) return;
    this.streams.delete(id);
    if (code === ErrorCode.REFUSED_STREAM) this.lane.sendAgain(stream.request);
    else this.lane.fail(stream.request, "stream reset", this, nameOfError(code));
  }

  private takeGoaway(last: number, code: number): void {
    this.leaving = true;
    for (const [id, { request }] of [...this.streams]) {
      if (id <= last) continue;
      this.streams.delete(id);
      if (code === ErrorCode.NO_ERROR) this.lane.sendAgain(request);
      else this.lane.fail(request, "stream reset", this, `GOAWAY ${nameOfError(code)}`);
    }
  }

  onGone(kind: "refused" | "reset" | "closed", reason = ""): void {
    if (this.over) return;
    this.over = true;
    if (this.socket === undefined) {
      this.lane.gone(this, kind, reason);
      return;
    }
    const open = [...this.streams.values()];
    this.streams.clear();
    for (const { request, status, read } of open) this.lane.fail(request, kind === "reset" ? "reset" : status > 0 ? "truncated" : "closed", this, status > 0 ? `after ${read} bytes of the body` : "", 0, reason);
    this.lane.gone(this);
  }

  overdue(before: number): void {
    for (const [id, { request }] of [...this.streams]) {
      if (request.sent > before) continue;
      this.streams.delete(id);
      this.lane.fail(request, "timeout", this);
      this.write(frame(FrameType.RST_STREAM, 0, id, Buffer.from([0, 0, 0, ErrorCode.CANCEL])));
    }
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

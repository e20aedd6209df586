/** A target that speaks HTTP/2 by frames (RFC 9113): it records what comes, keeps account of windows, and does to each request what its script says, well or badly. */
import { createServer, type Server, type Socket } from "node:net";
import { contentOf, data, entriesOf, ErrorCode, Flag, type Frame, FrameReader, FrameType, goaway, headers, ping, PREFACE, rstStream, Setting, settings, settingsAck, windowUpdate } from "./h2-frames.ts";
import { type Field, HpackDecoder } from "./h2-hpack.ts";
import { freePort } from "./ports.ts";
import { RawConnection } from "./raw-connection.ts";
import { until } from "./until.ts";

const WINDOW = 65_535;

/** One request as the target sees it. */
export class H2Request {
  readonly connection: H2TargetConnection;
  readonly id: number;
  readonly fields: readonly Field[];
  trailers: readonly Field[] = [];
  /** END_STREAM came. */
  whole = false;
  /** The code of its RST_STREAM. */
  reset: number | undefined;
  bytes = 0;
  /** What the target may still send on it, and what it lets come. */
  sendWindow: number;
  receiveWindow: number;
  readonly parts: Buffer[] = [];

  constructor(connection: H2TargetConnection, id: number, fields: readonly Field[]) {
    this.connection = connection;
    this.id = id;
    this.fields = fields;
    this.sendWindow = connection.initialWindow;
    this.receiveWindow = connection.ownWindow;
  }

  header(name: string): string | undefined {
    return this.fields.find(([key]) => key === name)?.[1];
  }

  get path(): string {
    return this.header(":path") ?? "";
  }

  get body(): Buffer {
    return Buffer.concat(this.parts);
  }

  /** True when it is whole, false when it never will be. */
  async ended(): Promise<boolean> {
    await until(`the end of request ${this.path}`, () => this.whole || this.reset !== undefined || this.connection.gone);
    return this.whole;
  }

  untilReset(patience?: number): Promise<number> {
    return until(`RST_STREAM of ${this.path}`, () => (this.reset === undefined ? undefined : { code: this.reset }), patience).then(({ code }) => code);
  }

  /** A small reply, whole. */
  answer(body = "", status = 200, fields: readonly Field[] = []): void {
    const head: Field[] = [[":status", String(status)], ...fields];
    if (body === "") this.connection.send(headers(this.id, head));
    else this.connection.send(headers(this.id, head, { endStream: false }), data(this.id, body));
  }

  /** DATA, as far as the windows let, in frames of at most `most` bytes. False when nobody wants the rest. */
  async pour(body: Buffer, most = 16_384, endStream = true): Promise<boolean> {
    const { connection, id } = this;
    for (let at = 0; at < body.length || (at === 0 && body.length === 0); ) {
      await until("room", () => Math.min(this.sendWindow, connection.sendWindow) > 0 || this.reset !== undefined || connection.gone, 15_000);
      if (this.reset !== undefined || connection.gone) return false;
      const length = Math.min(body.length - at, most, this.sendWindow, connection.sendWindow);
      this.sendWindow -= length;
      connection.sendWindow -= length;
      connection.send(data(id, body.subarray(at, at + length), { endStream: endStream && at + length === body.length }));
      at += Math.max(1, length);
    }
    return true;
  }

  /** RST_STREAM. */
  refuse(code: number = ErrorCode.REFUSED_STREAM): void {
    this.connection.send(rstStream(this.id, code));
  }
}

export type H2Script = (request: H2Request) => unknown;

/** Waits for the whole request, then says which one it was. */
export const sayWhich: H2Script = async (request) => {
  if (await request.ended()) request.answer(request.header(":method") === "HEAD" ? "" : `${request.header(":method")} ${request.path}`);
};

export interface H2TargetOptions {
  readonly settings?: readonly (readonly [number, number])[];
  /** Says nothing at all until it is told to; default: SETTINGS at once, acknowledgements, WINDOW_UPDATE for all that came. */
  readonly silent?: boolean;
  /** Gives nothing back to windows. */
  readonly stingy?: boolean;
}

export class H2TargetConnection {
  readonly raw: RawConnection;
  readonly requests = new Map<number, H2Request>();
  readonly goaways: { readonly last: number; readonly code: number; readonly debug: string }[] = [];
  /** Payloads of PING acknowledgements. */
  readonly pongs: string[] = [];
  initialWindow = WINDOW;
  sendWindow = WINDOW;
  /** What the target lets come on each stream. */
  readonly ownWindow: number;
  private receiveWindow = WINDOW;
  settled = false;
  acknowledged = 0;
  private readonly target: H2Target;
  private readonly reader = new FrameReader();
  private readonly decoder = new HpackDecoder();
  private preface = Buffer.alloc(0);
  private block: { readonly id: number; readonly endStream: boolean; readonly parts: Buffer[] } | undefined;

  constructor(target: H2Target, socket: Socket) {
    this.target = target;
    this.ownWindow = target.options.settings?.find(([setting]) => setting === Setting.INITIAL_WINDOW_SIZE)?.[1] ?? WINDOW;
    this.raw = new RawConnection(socket, (chunk) => this.take(chunk));
    if (target.options.silent !== true) this.send(settings(...(target.options.settings ?? [])));
  }

  get gone(): boolean {
    return this.raw.peer !== "open" || this.raw.closed;
  }

  /** All in one write. */
  send(...frames: readonly Buffer[]): this {
    this.raw.write(Buffer.concat(frames));
    return this;
  }

  goAway(last: number, code: number = ErrorCode.NO_ERROR): void {
    this.send(goaway(last, code));
  }

  /** Against the rules: told, and answered as the protocol has it (RFC 9113 section 5.1). */
  private violation(what: string): void {
    this.target.problems.push(what);
    this.send(goaway(0, ErrorCode.PROTOCOL_ERROR, what)).raw.end();
  }

  private take(chunk: Buffer): void {
    let rest = chunk;
    if (this.preface.length < PREFACE.length) {
      this.preface = Buffer.concat([this.preface, chunk]);
      if (this.preface.length < PREFACE.length) return;
      if (!this.preface.subarray(0, PREFACE.length).equals(PREFACE)) this.violation("no preface");
      rest = this.preface.subarray(PREFACE.length);
      this.preface = PREFACE;
    }
    for (const frame of this.reader.feed(rest)) this.frame(frame);
  }

  private frame(frame: Frame): void {
    const { type, flags, stream: id, payload } = frame;
    const { silent = false, stingy = false } = this.target.options;
    const request = this.requests.get(id);
    switch (type) {
      case FrameType.SETTINGS:
        if ((flags & Flag.ACK) !== 0) this.acknowledged++;
        else {
          this.settled = true;
          for (const [setting, value] of entriesOf(frame)) if (setting === Setting.INITIAL_WINDOW_SIZE) this.initialWindow = value;
          if (!silent) this.send(settingsAck());
        }
        return;
      case FrameType.HEADERS:
        this.block = { id, endStream: (flags & Flag.END_STREAM) !== 0, parts: [contentOf(frame)] };
        if ((flags & Flag.END_HEADERS) !== 0) this.head();
        return;
      case FrameType.CONTINUATION:
        this.block!.parts.push(payload);
        if ((flags & Flag.END_HEADERS) !== 0) this.head();
        return;
      case FrameType.DATA: {
        if (request === undefined) {
          this.violation(`DATA on stream ${id}, which was never opened`);
          return;
        }
        const content = contentOf(frame);
        this.receiveWindow -= payload.length;
        request.receiveWindow -= payload.length;
        if (this.receiveWindow < 0 || request.receiveWindow < 0) this.violation(`DATA on ${id} beyond its window`);
        if (request.whole || request.reset !== undefined) this.violation(`DATA on ${id} behind its end`);
        request.bytes += content.length;
        if (this.target.keepBodies) request.parts.push(content);
        if (!stingy && payload.length > 0) {
          this.receiveWindow += payload.length;
          request.receiveWindow += payload.length;
          this.send(windowUpdate(0, payload.length), windowUpdate(id, payload.length));
        }
        if ((flags & Flag.END_STREAM) !== 0) request.whole = true;
        return;
      }
      case FrameType.RST_STREAM:
        if (request === undefined) {
          this.violation(`RST_STREAM of ${id}, which was never opened`);
          return;
        }
        request.reset ??= payload.readUInt32BE();
        return;
      case FrameType.PING:
        if ((flags & Flag.ACK) !== 0) this.pongs.push(payload.toString("latin1"));
        else if (!silent) this.send(ping(payload.toString("latin1"), Flag.ACK));
        return;
      case FrameType.GOAWAY:
        this.goaways.push({ last: payload.readUInt32BE(), code: payload.readUInt32BE(4), debug: payload.toString("latin1", 8) });
        return;
      case FrameType.WINDOW_UPDATE:
        if (id === 0) this.sendWindow += payload.readUInt32BE();
        else if (request !== undefined) request.sendWindow += payload.readUInt32BE();
        else this.violation(`WINDOW_UPDATE of ${id}, which was never opened`);
        return;
      default:
    }
  }

  private head(): void {
    const { id, endStream, parts } = this.block!;
    this.block = undefined;
    const fields = this.decoder.decode(Buffer.concat(parts));
    const before = this.requests.get(id);
    if (before !== undefined) {
      before.trailers = fields;
      before.whole = endStream;
      return;
    }
    const request = new H2Request(this, id, fields);
    request.whole = endStream;
    this.requests.set(id, request);
    this.target.requests.push(request);
    const open = [...this.requests.values()].filter(({ whole, reset }) => !whole && reset === undefined).length;
    this.target.mostOpen = Math.max(this.target.mostOpen, open);
    void Promise.resolve(this.target.script(request)).catch((error: unknown) => this.target.problems.push(String(error)));
  }
}

export class H2Target {
  readonly port: number;
  readonly options: H2TargetOptions;
  script: H2Script;
  keepBodies = true;
  readonly connections: H2TargetConnection[] = [];
  /** Of all connections, in the order of their heads. */
  readonly requests: H2Request[] = [];
  /** Requests on one connection that were not whole, at a time. */
  mostOpen = 0;
  /** What scripts threw. */
  readonly problems: string[] = [];
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  private constructor(port: number, script: H2Script, options: H2TargetOptions) {
    this.port = port;
    this.script = script;
    this.options = options;
    this.server = createServer({ allowHalfOpen: true }, (socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
      this.connections.push(new H2TargetConnection(this, socket));
    });
  }

  static async start(script: H2Script = sayWhich, options: H2TargetOptions = {}): Promise<H2Target> {
    const target = new H2Target(await freePort(), script, options);
    await new Promise<void>((resolve) => target.server.listen(target.port, "127.0.0.1", 4096, resolve));
    return target;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** The `count`-th request, once its head is there. */
  request(count: number, patience?: number): Promise<H2Request> {
    return until(`request ${count} at the target`, () => this.requests[count - 1], patience);
  }

  connection(count = 1): Promise<H2TargetConnection> {
    return until(`connection ${count} at the target`, () => this.connections[count - 1]);
  }

  get open(): number {
    return this.connections.filter(({ gone }) => !gone).length;
  }

  stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    return new Promise((resolve) => (this.server.listening ? this.server.close(() => resolve()) : resolve()));
  }
}

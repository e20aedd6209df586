/** A back end that speaks HTTP/2 by prior knowledge, and HTTP/1.1 with who begins with that: looks closely at what it is asked, and answers well or badly. */
import type { NetSocket, SocketOwner } from "../../src/net/network.ts";
import * as frames from "../support/h2-frames.ts";
import type { Field } from "../support/h2-hpack.ts";
import { type H2Habits, H2Endpoint } from "./h2-endpoint.ts";
import type { H2Stream } from "./h2-judge.ts";
import type { Manners } from "./http-backend.ts";
import type { Ledger, RequestPlan } from "./ledger.ts";
import { bodyOf, isOf } from "./messages.ts";
import type { Process } from "./process.ts";
import type { SimSocket } from "./socket.ts";
import { TunnelEnd } from "./tunnel-backend.ts";
import { Violation, type World } from "./world.ts";

/** What is of HTTP/2 only; chances from 0 to 1. */
export interface H2Manners {
  readonly habits: H2Habits;
  /** A request is refused unseen: REFUSED_STREAM. */
  readonly refuses: number;
  /** A request waits for a while before anybody looks at it. */
  readonly looksLate: number;
  /** A connection that is to close says its last GOAWAY at once, not after a notice. */
  readonly abrupt: number;
  /** It allows no streams, and no extended CONNECT. */
  readonly closed: number;
  readonly refusesConnect: number;
}

const MOST = 2 ** 31 - 1;
/** Between the two GOAWAYs of an end in good order, in ms. */
const NOTICE = 250;
const { ErrorCode } = frames;
const RESETS = [ErrorCode.CANCEL, ErrorCode.INTERNAL_ERROR, ErrorCode.PROTOCOL_ERROR, ErrorCode.ENHANCE_YOUR_CALM, ErrorCode.HTTP_1_1_REQUIRED];

/** Nobody knows yet which of the two protocols comes. */
export class TargetDoor implements SocketOwner {
  private socket: NetSocket | undefined = undefined;
  private start: Buffer = Buffer.alloc(0);
  private readonly inside: (modern: boolean) => SocketOwner;

  constructor(world: World, process: Process, ledger: Ledger, manners: Manners, http2: H2Manners, old: () => SocketOwner) {
    this.inside = (modern) => (modern ? new H2BackendConnection(world, process, ledger, manners, http2, (this.socket as SimSocket).id) : old());
  }

  onOpen(socket: NetSocket): void {
    this.socket = socket;
  }

  onData(chunk: Buffer): void {
    this.start = Buffer.concat([this.start, chunk]);
    if (this.start.length < 3) return;
    const { socket, start } = this;
    const owner = this.inside(start.latin1Slice(0, 3) === "PRI");
    socket!.data = owner;
    owner.onOpen(socket!);
    owner.onData(start);
  }

  onEnd(): void {
    this.socket?.end();
  }

  onDrain(): void {}
  onClose(): void {}
  onConnectError(): void {}
}

/** One request. */
interface Serving {
  readonly request: RequestPlan;
  received: number;
  whole: boolean;
  /** What is to be done when it is whole. */
  answer: (() => void) | undefined;
}

class H2BackendConnection extends H2Endpoint {
  private readonly ledger: Ledger;
  private readonly manners: Manners;
  private readonly http2: H2Manners;
  private readonly serving = new Map<H2Stream, Serving>();
  private readonly tunnels = new Map<H2Stream, TunnelEnd>();
  /** Extended CONNECT is offered. */
  private readonly connects: boolean;
  /** What comes above it is not looked at. */
  private last = MOST;
  private highest = 0;
  private lastSeen = 0;
  private noticed = false;
  private leaving = false;

  constructor(world: World, process: Process, ledger: Ledger, manners: Manners, http2: H2Manners, id: number) {
    super(world, process, world.diceOf(10, id), http2.habits, "server");
    this.ledger = ledger;
    this.manners = manners;
    this.http2 = http2;
    this.connects = !this.dice.chance(http2.refusesConnect);
  }

  protected override opened(): void {
    if (this.connects) this.offer(frames.Setting.ENABLE_CONNECT_PROTOCOL, 1);
    this.greet(undefined, this.dice.chance(this.http2.closed) ? 0 : undefined);
  }

  protected greeted(): void {
    // It says what it likes; we have said what we like.
  }

  protected override get mayWrite(): boolean {
    return super.mayWrite && !this.leaving;
  }

  protected head(stream: H2Stream, fields: readonly Field[], ends: boolean): void {
    if (this.leaving) return;
    const serving = this.serving.get(stream);
    if (serving !== undefined) {
      if (!ends || fields.some(([name]) => name.startsWith(":"))) throw new Violation("messages are well-formed", `trailers of request ${serving.request.id}: ${JSON.stringify(fields)}`);
      this.requestEnd(serving);
      return;
    }
    this.highest = stream.id;
    if (stream.id > this.last) {
      // Who sent it knows by now, or will, that nobody looks at it.
      stream.resetByUs = true;
      return;
    }
    if (fields[0]![1] === "CONNECT") {
      this.beginTunnel(stream, fields, ends);
      return;
    }
    const request = this.requestOf(fields);
    const made: Serving = { request, received: 0, whole: false, answer: undefined };
    this.serving.set(stream, made);
    this.openIfSmall(stream);
    const { dice, http2, manners } = this;
    const look = (): void => this.look(stream, made);
    if (dice.chance(http2.refuses)) this.later(stream, () => this.drop(stream, ErrorCode.REFUSED_STREAM));
    else if (dice.chance(http2.looksLate) && manners.thinks > 0) this.later(stream, look);
    else look();
    if (ends) this.requestEnd(made);
  }

  private later(stream: H2Stream, act: () => void): void {
    this.world.after(this.dice.random() * this.manners.thinks, this.actor, () => {
      if (this.serving.has(stream) && this.mayWrite) act();
    });
  }

  private beginTunnel(stream: H2Stream, fields: readonly Field[], ends: boolean): void {
    const { dice, manners } = this;
    const value = (name: string): string | undefined => fields.find((field) => field[0] === name)?.[1];
    const id = Number(/^\/t\/(\d+)$/.exec(value(":path") ?? "")?.[1] ?? -1);
    if (!this.connects || ends || value(":protocol") !== "websocket" || value("x-sim") !== String(id)) throw new Violation("a request arrives as it was sent", `extended CONNECT${this.connects ? "" : ", which was not offered"}: ${JSON.stringify(fields)}`);
    const tunnel = new TunnelEnd(id, this.ledger, manners, dice);
    this.tunnels.set(stream, tunnel);
    this.lastSeen = Math.max(this.lastSeen, stream.id);
    this.openIfSmall(stream);
    this.world.after(dice.random() * manners.thinks, this.actor, () => {
      if (!this.mayWrite || !this.tunnels.has(stream)) return;
      if (dice.chance(manners.breaks)) this.drop(stream, ErrorCode.CANCEL);
      else if (dice.chance(manners.fails)) this.sendHead(stream, [[":status", "403"]], true);
      else {
        this.sendHead(stream, [[":status", "200"], ["x-sim", String(id)]], false);
        const early = Buffer.concat(tunnel.early!);
        tunnel.early = undefined;
        this.echo(stream, tunnel, early, stream.gotEnd);
      }
    });
  }

  private echo(stream: H2Stream, tunnel: TunnelEnd, bytes: Buffer, ends: boolean): void {
    if (!this.tunnels.has(stream)) return;
    if (bytes.length > 0) this.say(stream, Buffer.from(bytes), this.dice.random() * this.manners.dawdles);
    if (tunnel.take(bytes)) {
      if (tunnel.byReset) this.drop(stream, ErrorCode.INTERNAL_ERROR);
      else this.sayLast(stream, undefined, () => this.gone(stream));
    } else if (ends) this.sayLast(stream, undefined, () => this.gone(stream));
  }

  private requestOf(fields: readonly Field[]): RequestPlan {
    const value = (name: string): string | undefined => fields.find((field) => field[0] === name)?.[1];
    const id = Number(/^\/r\/(\d+)$/.exec(value(":path") ?? "")?.[1] ?? -1);
    const request = this.ledger.plan(id);
    const said = value("content-length");
    if (value(":method") !== request.method || value("x-sim") !== String(id) || value(":authority") !== "sim.test" || value(":scheme") !== "http" || value("x-forwarded-for") !== this.ledger.address(id)) throw new Violation("a request arrives as it was sent", `${id}: ${JSON.stringify(fields)}`);
    if (said !== undefined && Number(said) !== request.length) throw new Violation("a request arrives as it was sent", `${id} with Content-Length ${said} instead of ${request.length}`);
    return request;
  }

  protected data(stream: H2Stream, bytes: Buffer, ends: boolean): void {
    const tunnel = this.tunnels.get(stream);
    if (tunnel !== undefined) {
      if (tunnel.early === undefined) this.echo(stream, tunnel, bytes, ends);
      else tunnel.early.push(Buffer.from(bytes));
      return;
    }
    const serving = this.serving.get(stream);
    if (serving === undefined) return;
    const { request, received } = serving;
    if (!isOf(request.id, received, bytes)) throw new Violation("a request arrives as it was sent", `wrong bytes at ${received} of the body of ${request.id}`);
    serving.received += bytes.length;
    if (ends) this.requestEnd(serving);
  }

  private requestEnd(serving: Serving): void {
    const { request, received } = serving;
    const length = request.framing === "none" ? 0 : request.length;
    if (received !== length) throw new Violation("no request is silently truncated", `${received} of ${length} bytes of the body of ${request.id} came as a whole one`);
    serving.whole = true;
    const { answer } = serving;
    serving.answer = undefined;
    answer?.();
  }

  /** Decide what becomes of it. */
  private look(stream: H2Stream, serving: Serving): void {
    const { dice, manners } = this;
    const { request } = serving;
    this.lastSeen = Math.max(this.lastSeen, stream.id);
    this.ledger.sees(request.id);
    const go = (): void => this.later(stream, () => this.begin(stream, serving));
    const early = request.framing !== "none" && dice.chance(manners.early);
    if (request.expects && !early) this.sendHead(stream, [[":status", "100"]], false);
    if (early || serving.whole || request.framing === "none") go();
    else serving.answer = go;
  }

  private begin(stream: H2Stream, serving: Serving): void {
    const { dice, manners } = this;
    if (dice.chance(manners.silent)) return;
    if (dice.chance(manners.breaks)) this.breakOff(stream);
    else if (dice.chance(manners.garbles)) this.garble(stream);
    else this.reply(stream, serving);
  }

  private breakOff(stream: H2Stream): void {
    const { dice } = this;
    const how = dice.one(["stream", "stream", "reset", "end"] as const);
    if (how === "stream") this.drop(stream, dice.one(RESETS));
    else this.leaveNow(how);
  }

  /** Send what must not be sent: of this stream, or such that the whole connection is of no use. */
  private garble(stream: H2Stream): void {
    const { dice, judge } = this;
    const { id } = stream;
    const streamErrors = [() => frames.headers(id, [[":status", "200"], ["X-Up", "x"]]), () => frames.headers(id, [["x-no", "status"]]), () => frames.data(id, "x", frames.more), () => frames.headers(id, [[":status", "103"]]), () => frames.headers(id, [[":status", "200"], ["connection", "close"]]), () => frames.windowUpdate(id, 0)];
    const connectionErrors = [() => frames.headers(id, Buffer.from([255, 255, 255, 255, 255, 255])), () => frames.headers(id + 1_000_001, [[":status", "200"]]), () => frames.frame(0, 0, id, "", 20_000), () => frames.pushPromise(id, 2, [[":method", "GET"]]), () => frames.windowUpdate(0, 0), () => Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n", "latin1"), () => frames.windowUpdate(0, MOST)];
    if (dice.chance(0.6)) {
      stream.guilty = true;
      this.send(dice.one(streamErrors)());
    } else {
      judge.guilty = true;
      this.send(dice.one(connectionErrors)());
    }
  }

  private reply(stream: H2Stream, serving: Serving): void {
    const { dice, manners } = this;
    const { request } = serving;
    const length = dice.chance(0.2) ? dice.below(manners.largest) : dice.below(Math.min(600, manners.largest));
    const status = dice.chance(manners.fails) ? dice.one([500, 503]) : dice.chance(0.05) ? dice.one([204, 304]) : dice.one([200, 200, 200, 404]);
    const bodiless = request.method === "HEAD" || status === 204 || status === 304;
    const saysLength = !bodiless && dice.chance(0.5);
    const served = this.ledger.serves(request.id, bodiless ? 0 : length);
    if (dice.chance(manners.interim)) this.sendHead(stream, [[":status", "103"], ["link", "</x>"]], false);
    const fields: Field[] = [[":status", String(status)], ["x-sim", `${request.id} ${served.serial}`]];
    if (saysLength || (request.method === "HEAD" && dice.chance(0.3))) fields.push(["content-length", String(length)]);
    const endsAtOnce = bodiless || length === 0 ? dice.chance(0.7) : false;
    this.sendHead(stream, fields, endsAtOnce);
    const ended = (): void => this.replied(stream, serving);
    if (endsAtOnce) {
      ended();
      return;
    }
    const body = bodiless ? Buffer.alloc(0) : bodyOf(served.serial, 0, length);
    const truncated = dice.chance(manners.truncates);
    const sent = truncated ? body.subarray(0, dice.below(body.length + 1)) : body;
    for (const piece of dice.chance(0.5) ? dice.pieces(sent) : [sent]) this.say(stream, piece, dice.random() * manners.dawdles);
    if (truncated) this.sayNoMore(stream, () => this.breakOff(stream));
    else if (saysLength && dice.chance(manners.overruns)) {
      stream.guilty = true;
      this.say(stream, Buffer.from("x"), 0);
      this.sayLast(stream, undefined, ended);
    } else {
      if (!bodiless && dice.chance(0.2)) served.trailer = String(served.serial);
      this.sayLast(stream, served.trailer === undefined ? undefined : [["x-sim-trailer", served.trailer]], ended);
    }
  }

  private replied(stream: H2Stream, serving: Serving): void {
    const { dice, manners } = this;
    if (serving.whole) this.serving.delete(stream);
    // Nobody needs the rest of an early answered request (RFC 9113 section 8.1).
    else if (dice.chance(0.5)) this.drop(stream, ErrorCode.NO_ERROR);
    else serving.answer = () => this.gone(stream);
    if (dice.chance(manners.closes)) this.goAway();
    else if (dice.chance(manners.vanishes)) this.afterAll(() => this.leaveNow("end"));
    else this.gone(stream);
  }

  private drop(stream: H2Stream, code: number): void {
    this.resetStream(stream, code);
    this.gone(stream);
  }

  private get isIdle(): boolean {
    return this.serving.size + this.tunnels.size === 0;
  }

  private gone(stream: H2Stream): void {
    this.tunnels.delete(stream);
    const serving = this.serving.get(stream);
    if (serving === undefined || serving.whole || stream.isReset) this.serving.delete(stream);
    if (this.last < MOST && this.isIdle && this.mayWrite) this.afterAll(() => this.leaveNow("end"));
  }

  /** No further streams; what was begun ends. */
  private goAway(): void {
    if (this.noticed) return;
    this.noticed = true;
    if (this.dice.chance(this.http2.abrupt)) {
      this.sayLastStream();
      return;
    }
    this.send(frames.goaway(MOST, ErrorCode.NO_ERROR));
    this.world.after(NOTICE, this.actor, () => this.sayLastStream());
  }

  private sayLastStream(): void {
    if (!this.mayWrite) return;
    // Who was not looked at, and stands above all who were, may be left out.
    this.last = this.dice.chance(this.http2.abrupt) ? this.lastSeen : this.highest;
    this.send(frames.goaway(this.last, ErrorCode.NO_ERROR));
    for (const [stream] of this.serving) {
      if (stream.id <= this.last) continue;
      stream.resetByUs = true;
      this.serving.delete(stream);
    }
    if (this.isIdle) this.afterAll(() => this.leaveNow("end"));
  }

  private leaveNow(how: "reset" | "end"): void {
    if (this.leaving) return;
    this.leaving = true;
    if (how === "reset") this.socket?.terminate();
    else this.socket?.end();
  }

  protected streamReset(stream: H2Stream): void {
    this.gone(stream);
  }

  protected goneAway(_last: number, code: number): void {
    if (code !== ErrorCode.NO_ERROR && !this.judge.guilty) throw new Violation("who keeps to the rules is not accused", `the connection to a target ends with ${frames.nameOfError(code)}`);
  }

  protected ended(): void {
    this.socket?.end();
  }

  protected over(): void {
    this.leaving = true;
  }
}

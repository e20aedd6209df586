/** A client of HTTP/2, by prior knowledge: many requests at a time on a connection, cancelled or waited for, and looks closely at what it gets. */
import * as frames from "../support/h2-frames.ts";
import type { Field } from "../support/h2-hpack.ts";
import type { Dice } from "../support/random.ts";
import { type H2Habits, H2Endpoint } from "./h2-endpoint.ts";
import type { H2Stream } from "./h2-judge.ts";
import type { Ledger, RequestPlan, Served } from "./ledger.ts";
import { bodyOf, isOf } from "./messages.ts";
import type { Process } from "./process.ts";
import { Violation, type World } from "./world.ts";

/** When a client has enough. */
export interface Leave {
  readonly after: "bytes" | "time";
  readonly amount: number;
  readonly how: "reset" | "close" | "fin";
}

export interface H2ClientPlan {
  readonly at: number;
  readonly requests: readonly RequestPlan[];
  /** Requests under way at a time, if the server lets it. */
  readonly streams: number;
  /** Wait for the server's SETTINGS before the first request. */
  readonly patient: boolean;
  readonly habits: H2Habits;
  readonly slowReads: number;
  /** Between the pieces of a body, in ms. */
  readonly slowWrites: number;
  /** Chance that a request is called off, and within how many ms. */
  readonly cancels: number;
  readonly cancelsWithin: number;
  /** After so many requests on a connection it says GOAWAY, and goes on with another. */
  readonly goesAwayAfter: number;
  readonly leaves: Leave | undefined;
  readonly goodbye: "goaway" | "close" | "reset" | "wait";
}

const CONTINUE_PATIENCE = 80;
/** A request that was refused is asked again so often. */
const MOST_REFUSALS = 300;
const ORPHANED = "its worker was killed";
const { ErrorCode } = frames;
/** What Fairlead ends a connection with, though its client did nothing wrong: idle, too many, too slow. */
const GOODBYES = new Set<number>([ErrorCode.NO_ERROR, ErrorCode.ENHANCE_YOUR_CALM, ErrorCode.SETTINGS_TIMEOUT]);

/** A request, and how often it was refused. */
interface Wish {
  readonly request: RequestPlan;
  refusals: number;
}

export class H2Client {
  done = false;
  private readonly world: World;
  private readonly process: Process;
  private readonly ledger: Ledger;
  private readonly port: number;
  private readonly plan: H2ClientPlan;
  private readonly dice: Dice;
  private readonly wishes: Wish[];

  constructor(world: World, process: Process, ledger: Ledger, port: number, plan: H2ClientPlan, dice: Dice) {
    this.world = world;
    this.process = process;
    this.ledger = ledger;
    this.port = port;
    this.plan = plan;
    this.dice = dice;
    this.wishes = plan.requests.map((request) => ({ request, refusals: 0 }));
    for (const request of plan.requests) ledger.asks(request, process.knownAs);
    world.after(plan.at, process, () => this.connect());
  }

  private connect(): void {
    const { world, process, ledger, plan, dice, wishes } = this;
    const connection = new H2ClientConnection(world, process, ledger, plan, dice, wishes, () => {
      if (wishes.length === 0) this.done = true;
      else world.after(dice.random() * 20, process, () => this.connect());
    });
    process.connect({ kind: "tcp", host: "127.0.0.1", port: this.port }, connection);
  }
}

/** One request on its stream. */
interface Asking extends Wish {
  status: number;
  served: Served | undefined;
  received: number;
  trailer: string | undefined;
  mayContinue: (() => void) | undefined;
}

class H2ClientConnection extends H2Endpoint {
  private readonly ledger: Ledger;
  private readonly plan: H2ClientPlan;
  /** What nobody has answered or will. */
  private readonly wishes: Wish[];
  private readonly left: () => void;
  private readonly asking = new Map<H2Stream, Asking>();
  private nextId = 1;
  private asked = 0;
  private bytes = 0;
  private isAway = false;
  private leaving = "";
  private finished = false;

  constructor(world: World, process: Process, ledger: Ledger, plan: H2ClientPlan, dice: Dice, wishes: Wish[], left: () => void) {
    super(world, process, dice, plan.habits, "client");
    this.ledger = ledger;
    this.plan = plan;
    this.wishes = wishes;
    this.left = left;
  }

  protected override opened(): void {
    const { leaves, patient } = this.plan;
    if (leaves?.after === "time") this.world.after(leaves.amount, this.actor, () => this.leave(leaves.how));
    this.greet(frames.PREFACE);
    if (!patient) this.ask();
  }

  protected override get mayWrite(): boolean {
    return super.mayWrite && this.leaving === "" && !this.finished;
  }

  protected greeted(): void {
    this.ask();
  }

  private ask(): void {
    while (this.wishes.length > 0 && this.mayWrite && !this.isAway && this.asking.size < Math.min(this.plan.streams, this.judge.peerMaxStreams)) this.begin(this.wishes.shift()!);
  }

  private begin(wish: Wish): void {
    const { dice, plan, judge } = this;
    const { id, method, length, framing, expects } = wish.request;
    const stream = judge.open(this.nextId);
    this.nextId += dice.chance(0.05) ? 4 : 2;
    const asking: Asking = { ...wish, status: 0, served: undefined, received: 0, trailer: undefined, mayContinue: undefined };
    this.asking.set(stream, asking);
    const fields: Field[] = [[":method", method], [":scheme", "http"], [":authority", "sim.test"], [":path", `/r/${id}`], ["x-sim", String(id)]];
    if (framing === "length") fields.push(["content-length", String(length)]);
    if (expects) fields.push(["expect", "100-continue"]);
    this.sendHead(stream, fields, framing === "none");
    this.openIfSmall(stream);
    if (framing !== "none") this.sendBody(stream, asking);
    if (dice.chance(plan.cancels)) this.world.after(dice.random() * plan.cancelsWithin, this.actor, () => this.cancel(stream));
    if (++this.asked >= plan.goesAwayAfter) {
      this.isAway = true;
      this.send(frames.goaway(0, ErrorCode.NO_ERROR));
    }
  }

  private sendBody(stream: H2Stream, asking: Asking): void {
    const { dice, plan } = this;
    const { id, length, expects } = asking.request;
    const body = (): void => {
      asking.mayContinue = undefined;
      if (!stream.isOpen || !this.mayWrite) return;
      for (const piece of dice.pieces(bodyOf(id, 0, length))) this.say(stream, piece, plan.slowWrites * dice.random());
      this.sayLast(stream, dice.chance(0.2) ? [["x-sim-trailer", String(id)]] : undefined);
    };
    if (!expects) {
      body();
      return;
    }
    asking.mayContinue = body;
    this.world.after(CONTINUE_PATIENCE, this.actor, () => {
      if (asking.mayContinue === body) body();
    });
  }

  private cancel(stream: H2Stream): void {
    if (!stream.isOpen || !this.mayWrite) return;
    this.resetStream(stream, this.dice.one([ErrorCode.CANCEL, ErrorCode.NO_ERROR, ErrorCode.INTERNAL_ERROR]));
    this.lose(stream, "its client called it off");
    this.goOn();
  }

  override onData(chunk: Buffer): void {
    const { leaves, slowReads } = this.plan;
    this.bytes += chunk.length;
    super.onData(chunk);
    if (leaves?.after === "bytes" && this.bytes >= leaves.amount) this.leave(leaves.how);
    if (slowReads === 0 || this.socket === undefined) return;
    this.socket.pause();
    this.world.after(this.dice.random() * slowReads, this.actor, () => this.socket?.resume());
  }

  protected head(stream: H2Stream, fields: readonly Field[], ends: boolean): void {
    const asking = this.asking.get(stream);
    if (asking === undefined) throw new Violation("no request is answered twice", `HEADERS on stream ${stream.id}, which nobody waits for`);
    if (asking.status >= 200) this.trailers(asking, fields, ends);
    else if (!this.replyHead(asking, fields, ends)) return;
    if (ends) this.whole(stream, asking);
  }

  private trailers(asking: Asking, fields: readonly Field[], ends: boolean): void {
    const { request, served } = asking;
    const said = fields.find(([name]) => name === "x-sim-trailer")?.[1];
    if (!ends || fields.some(([name]) => name.startsWith(":"))) throw new Violation("messages are well-formed", `trailers of ${request.id}: ${JSON.stringify(fields)}`);
    if (served === undefined || said !== served.trailer) throw new Violation("no request is answered with another's bytes", `request ${request.id} got the trailer ${said} instead of ${served?.trailer}`);
    asking.trailer = said;
  }

  /** False: an interim one. */
  private replyHead(asking: Asking, fields: readonly Field[], ends: boolean): boolean {
    const { id } = asking.request;
    const value = (name: string): string | undefined => fields.find((field) => field[0] === name)?.[1];
    const status = Number(/^\d{3}$/.exec(value(":status") ?? "")?.[0] ?? 0);
    if (status === 0 || status === 101 || (status < 200 && ends)) throw new Violation("messages are well-formed", `head of the reply to ${id}: ${JSON.stringify(fields)}`);
    asking.status = status;
    if (status < 200) {
      if (status === 100) asking.mayContinue?.();
      return false;
    }
    const own = value("x-sim");
    if (own === undefined) {
      if (status < 400) throw new Violation("no request is answered with another's bytes", `${status} to ${id} is nobody's`);
      return true;
    }
    const [to, serial] = own.split(" ").map(Number);
    const served = this.ledger.served.get(serial!);
    if (to !== id || served?.id !== id) throw new Violation("no request is answered with another's bytes", `request ${id} got the reply to ${to} (${own})`);
    asking.served = served;
    return true;
  }

  protected data(stream: H2Stream, bytes: Buffer, ends: boolean): void {
    const asking = this.asking.get(stream);
    if (asking === undefined || asking.status < 200) throw new Violation("messages are well-formed", `DATA on stream ${stream.id} before a head`);
    const { served, received } = asking;
    if (served !== undefined && !isOf(served.serial, received, bytes)) throw new Violation("no request is answered with another's bytes", `request ${served.id}: wrong bytes at ${received} of its reply`);
    asking.received += bytes.length;
    if (ends) this.whole(stream, asking);
  }

  private whole(stream: H2Stream, { request, status, served, received, trailer }: Asking): void {
    const bodiless = request.method === "HEAD" || status === 204 || status === 304;
    if (served !== undefined && !bodiless && received !== served.length && !served.looksWhole) throw new Violation("no response is silently truncated", `request ${request.id} got ${received} of ${served.length} bytes as a whole reply`);
    if (served !== undefined && !bodiless && trailer !== served.trailer && !served.looksWhole) throw new Violation("no response is silently truncated", `request ${request.id} got its reply without the trailer ${served.trailer}`);
    if (bodiless && received > 0) throw new Violation("messages are well-formed", `${received} bytes of body with ${status} to ${request.method} ${request.id}`);
    this.asking.delete(stream);
    this.ledger.ends(request.id, { kind: "whole", status, byTarget: served !== undefined, excuse: "" });
    // What is still to be sent of an early answered request goes on until it is called off, by whichever side.
    if (!stream.sentEnd && this.dice.chance(0.5)) this.resetStream(stream, ErrorCode.NO_ERROR);
    this.goOn();
  }

  protected streamReset(stream: H2Stream, code: number): void {
    const asking = this.asking.get(stream);
    if (asking === undefined) return;
    if (code === ErrorCode.REFUSED_STREAM && asking.status === 0) this.refused(stream, asking);
    else this.lose(stream, code === ErrorCode.NO_ERROR ? "" : `it was reset (${frames.nameOfError(code)})`);
    this.goOn();
  }

  /** The server says that it has not looked at it: it may be asked again, whatever it does. */
  private refused(stream: H2Stream, { request, refusals }: Asking): void {
    this.ledger.untouched(request.id);
    this.asking.delete(stream);
    if (refusals < MOST_REFUSALS) this.wishes.push({ request, refusals: refusals + 1 });
    else this.ledger.ends(request.id, { kind: "lost", status: 0, byTarget: false, excuse: "it was refused again and again" });
  }

  protected goneAway(last: number, code: number): void {
    if (!GOODBYES.has(code)) throw new Violation("who keeps to the rules is not accused", `the connection ends with ${frames.nameOfError(code)}`);
    this.isAway = true;
    for (const [stream, asking] of this.asking) {
      if (stream.id <= last) continue;
      stream.resetByUs = true;
      this.refused(stream, asking);
    }
    this.goOn();
  }

  private lose(stream: H2Stream, excuse: string): void {
    const asking = this.asking.get(stream);
    if (asking === undefined) return;
    this.asking.delete(stream);
    this.ledger.ends(asking.request.id, { kind: "lost", status: asking.status >= 200 ? asking.status : 0, byTarget: asking.served !== undefined, excuse });
  }

  /** A request has ended: the next, or farewell. */
  private goOn(): void {
    if (!this.mayWrite) return;
    this.ask();
    if (this.asking.size > 0) return;
    if (this.isAway && this.wishes.length > 0) this.world.after(this.dice.random() * 30, this.actor, () => this.socket?.end());
    else if (this.wishes.length === 0) this.sayGoodbye();
  }

  private sayGoodbye(): void {
    const { goodbye } = this.plan;
    if (goodbye === "wait") return;
    if (goodbye !== "goaway") this.leave(goodbye);
    else {
      this.send(frames.goaway(0, ErrorCode.NO_ERROR));
      this.afterAll(() => this.leave("close"));
    }
  }

  private leave(how: "reset" | "close" | "fin"): void {
    if (this.socket === undefined || this.leaving !== "") return;
    this.leaving = how;
    this.forgetSteps();
    if (how === "reset") this.socket.terminate();
    else if (how === "close") this.socket.end();
    else this.socket.shutdown();
  }

  protected ended(): void {
    this.finished = true;
    this.socket?.end();
  }

  protected over(error: string | undefined): void {
    const { sim, leaving } = this;
    const excuse = leaving !== "" ? `its client left (${leaving})` : sim === undefined ? "no connection" : sim.harmed ? "its connection was cut" : sim.peer.orphaned ? ORPHANED : error !== undefined ? `it was broken off (${error})` : "";
    for (const stream of this.asking.keys()) this.lose(stream, excuse);
    // Who leaves, leaves for good.
    if (leaving !== "" && this.plan.leaves !== undefined) for (const { request } of this.wishes.splice(0)) this.ledger.ends(request.id, { kind: "lost", status: 0, byTarget: false, excuse: "it was never sent" });
    this.left();
  }
}

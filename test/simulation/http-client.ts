/** A client of HTTP/1: asks, one after the other or pipelined, patiently or not, and looks closely at what it gets. */
import type { NetSocket } from "../../src/net/network.ts";
import type { Ledger, RequestPlan, Served } from "./ledger.ts";
import { bodyOf, type Framing, framingOf, isOf, type MessageHead, MessageReader } from "./messages.ts";
import { Peer, type Step } from "./peer.ts";
import type { Process } from "./process.ts";
import type { SimSocket } from "./socket.ts";
import { Violation, type World } from "./world.ts";
import type { Dice } from "../support/random.ts";

export interface ClientPlan {
  /** When it begins, in ms. */
  readonly at: number;
  readonly requests: readonly RequestPlan[];
  /** Requests that it sends before it has the answer to the first. */
  readonly pipeline: number;
  /** Pauses between the pieces of what it writes, and between reads, up to so many ms; 0: it is quick. */
  readonly slowWrites: number;
  readonly slowReads: number;
  /** It leaves after so many bytes of replies, or ms. */
  readonly leaves: { readonly after: "bytes" | "time"; readonly amount: number; readonly how: "reset" | "close" | "fin" } | undefined;
  /** With everything answered it closes, or waits until it is closed. */
  readonly goodbye: "close" | "reset" | "wait";
}

/** How long a client waits for 100 Continue, in ms. */
const CONTINUE_PATIENCE = 80;
const LOOK_AGAIN = 40;
const ORPHANED = "its worker was killed";
/** What Fairlead says unasked: too late, or too many. */
const UNASKED = new Set([408, 429, 503]);

export class HttpClient {
  /** All its requests have an outcome, and its last connection is gone. */
  done = false;
  private readonly world: World;
  private readonly process: Process;
  private readonly ledger: Ledger;
  private readonly port: number;
  private readonly plan: ClientPlan;
  private readonly dice: Dice;
  private waiting: RequestPlan[];

  constructor(world: World, process: Process, ledger: Ledger, port: number, plan: ClientPlan, dice: Dice) {
    this.world = world;
    this.process = process;
    this.ledger = ledger;
    this.port = port;
    this.plan = plan;
    this.dice = dice;
    this.waiting = [...plan.requests];
    for (const request of plan.requests) ledger.asks(request, process.knownAs);
    world.after(plan.at, process, () => this.connect());
  }

  private connect(): void {
    const { world, process, ledger, plan, dice } = this;
    const connection = new ClientConnection(world, process, ledger, plan, dice, this.waiting, (left) => {
      this.waiting = left;
      if (left.length === 0) this.done = true;
      else world.after(this.dice.random() * 20, process, () => this.connect());
    });
    process.connect({ kind: "tcp", host: "127.0.0.1", port: this.port }, connection);
  }
}

class ClientConnection extends Peer {
  private readonly ledger: Ledger;
  private readonly plan: ClientPlan;
  private readonly dice: Dice;
  private readonly waiting: RequestPlan[];
  private readonly left: (waiting: RequestPlan[]) => void;
  private readonly outstanding: RequestPlan[] = [];
  private readonly reader = new MessageReader({
    head: (head) => this.replyHead(head),
    body: (bytes) => this.replyBody(bytes),
    end: () => this.replyEnd(),
  });
  private sim: SimSocket | undefined = undefined;
  /** Of the reply of the moment. */
  private status = 0;
  private served: Served | undefined = undefined;
  private received = 0;
  private bytes = 0;
  /** No further request is answered here. */
  private closing = false;
  private leaving = "";
  private mayContinue: (() => void) | undefined = undefined;
  private finished = false;

  constructor(world: World, process: Process, ledger: Ledger, plan: ClientPlan, dice: Dice, waiting: readonly RequestPlan[], left: (waiting: RequestPlan[]) => void) {
    super(world, process);
    this.ledger = ledger;
    this.plan = plan;
    this.dice = dice;
    this.waiting = [...waiting];
    this.left = left;
  }

  override onOpen(socket: NetSocket): void {
    this.sim = socket as SimSocket;
    super.onOpen(socket);
  }

  protected override opened(): void {
    const { leaves } = this.plan;
    if (leaves?.after === "time") this.world.after(leaves.amount, this.actor, () => this.leave(leaves.how));
    this.ask();
  }

  private ask(): void {
    while (this.mayAsk) this.send(this.waiting.shift()!);
  }

  private get mayAsk(): boolean {
    const next = this.waiting[0];
    if (this.socket === undefined || this.closing || this.leaving !== "" || next === undefined || this.mayContinue !== undefined) return false;
    // What follows a request of 1.0 may never be read: its reply may end with the connection.
    const alone = next.expects || this.outstanding.some(({ minor }) => minor === 0);
    return !this.outstanding.some(({ closes }) => closes) && this.outstanding.length < (alone ? 1 : this.plan.pipeline);
  }

  private send(request: RequestPlan): void {
    const { id, method, length, framing, expects, minor, closes } = request;
    this.outstanding.push(request);
    const lines = [`${method} /r/${id} HTTP/1.${minor}`, "Host: sim.test", `X-Sim: ${id}`, `X-Sim-Body: ${framing === "none" ? 0 : length}`];
    if (closes) lines.push("Connection: close");
    else if (minor === 0) lines.push("Connection: keep-alive");
    if (framing === "length") lines.push(`Content-Length: ${length}`);
    if (framing === "chunked") lines.push("Transfer-Encoding: chunked");
    if (expects) lines.push("Expect: 100-continue");
    this.pieces(Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"));
    if (framing === "none") return;
    const body = (): void => {
      this.mayContinue = undefined;
      const bytes = bodyOf(id, 0, length);
      if (framing === "length") this.pieces(bytes);
      else {
        for (const piece of this.dice.pieces(bytes)) this.pieces(Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`, "latin1"), piece, Buffer.from("\r\n")]));
        this.pieces(Buffer.from(this.dice.chance(0.2) ? "0\r\nX-Sim-Trailer: yes\r\n\r\n" : "0\r\n\r\n", "latin1"));
      }
      this.ask();
    };
    if (!expects) {
      body();
      return;
    }
    this.mayContinue = body;
    this.world.after(CONTINUE_PATIENCE, this.actor, () => {
      if (this.mayContinue === body && this.socket !== undefined) body();
    });
  }

  private pieces(bytes: Buffer): void {
    const { slowWrites } = this.plan;
    const steps: Step[] = (slowWrites > 0 ? this.dice.pieces(bytes, 4) : [bytes]).map((piece) => ({ bytes: piece, pause: slowWrites > 0 ? this.dice.random() * slowWrites : 0 }));
    this.tell(...steps);
  }

  onData(chunk: Buffer): void {
    this.bytes += chunk.length;
    const { leaves, slowReads } = this.plan;
    this.reader.feed(chunk);
    if (leaves?.after === "bytes" && this.bytes >= leaves.amount) this.leave(leaves.how);
    if (slowReads === 0 || this.socket === undefined) return;
    this.socket.pause();
    this.world.after(this.dice.random() * slowReads, this.actor, () => this.socket?.resume());
  }

  private get asked(): RequestPlan {
    return this.outstanding[0]!;
  }

  private replyHead(head: MessageHead): Framing {
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head.line)?.[1] ?? 0);
    if (status === 0) throw new Violation("messages are well-formed", `status line ${JSON.stringify(head.line)}`);
    const own = head.fields.get("x-sim");
    if (status < 200) {
      if (this.outstanding.length === 0) throw new Violation("no request is answered twice", `${head.line} to nobody`);
      if (status === 100) this.mayContinue?.();
      this.status = status;
      return { kind: "none" };
    }
    if (/\bclose\b/.test(head.fields.get("connection") ?? "")) this.closing = true;
    this.status = status;
    this.received = 0;
    this.served = undefined;
    if (this.outstanding.length === 0) {
      if (own !== undefined || !UNASKED.has(status) || !this.closing) throw new Violation("no request is answered twice", `${head.line} (${own}) to nobody`);
      return framingOf(head.fields, { kind: "close" });
    }
    const { id, method } = this.asked;
    if (own === undefined) {
      if (status < 400) throw new Violation("no request is answered with another's bytes", `${head.line} to ${id} is nobody's`);
    } else {
      const [asked, serial] = own.split(" ").map(Number);
      const served = this.ledger.served.get(serial!);
      if (asked !== id || served?.id !== id) throw new Violation("no request is answered with another's bytes", `request ${id} got the reply to ${asked} (${own})`);
      this.served = served;
    }
    const none: Framing = { kind: "none" };
    return method === "HEAD" || status === 204 || status === 304 ? none : framingOf(head.fields, { kind: "close" });
  }

  private replyBody(bytes: Buffer): void {
    const { served } = this;
    if (served !== undefined && !isOf(served.serial, this.received, bytes)) throw new Violation("no request is answered with another's bytes", `request ${served.id}: wrong bytes at ${this.received} of its reply`);
    this.received += bytes.length;
  }

  private replyEnd(): void {
    const { served, status } = this;
    if (status < 200 || this.outstanding.length === 0) return;
    const { id, method } = this.asked;
    const bodiless = method === "HEAD" || status === 204 || status === 304;
    if (served !== undefined && !bodiless && this.received !== served.length && !served.looksWhole && !this.isOrphan) throw new Violation("no response is silently truncated", `request ${id} got ${this.received} of ${served.length} bytes as a whole reply`);
    if (this.asked.closes) this.closing = true;
    this.outstanding.shift();
    this.served = undefined;
    this.status = 0;
    // The body that it was not asked for stays here, so nothing can follow it.
    if (this.mayContinue !== undefined) this.closing = true;
    this.mayContinue = undefined;
    this.ledger.ends(id, { kind: "whole", status, byTarget: served !== undefined, excuse: this.isOrphan ? ORPHANED : "" });
    if (this.leaving !== "" || this.finished) return;
    if (this.closing) this.end();
    else if (this.outstanding.length === 0 && this.waiting.length === 0) this.sayGoodbye();
    else this.ask();
  }

  private get isOrphan(): boolean {
    return this.sim?.peer.orphaned === true;
  }

  private sayGoodbye(): void {
    const { goodbye } = this.plan;
    if (goodbye === "wait") return;
    // What it still has to send of an early answered request is of no use to anybody.
    this.leave(goodbye);
  }

  private leave(how: "reset" | "close" | "fin"): void {
    if (this.socket === undefined) return;
    this.leaving = how;
    this.forgetSteps();
    if (how === "reset") this.socket.terminate();
    else if (how === "close") this.socket.end();
    else this.socket.shutdown();
  }

  /** The other side wants no more: what is still to be sent is sent as far as it goes, then this side ends too. */
  private end(): void {
    if (!this.isBusy) {
      this.socket?.end();
      return;
    }
    this.world.after(LOOK_AGAIN, this.actor, () => this.socket?.end());
  }

  protected ended(): void {
    this.finished = true;
    this.reader.finish();
    this.socket?.end();
  }

  protected over(error: string | undefined): void {
    if (this.reader.untilClose && error === undefined && this.leaving === "") this.reader.finish();
    const excuse = this.leaving !== "" ? `its client left (${this.leaving})` : this.sim === undefined ? "no connection" : this.sim.harmed ? "its connection was cut" : this.isOrphan ? ORPHANED : error !== undefined ? `it was broken off (${error})` : "";
    for (const [index, { id }] of this.outstanding.entries()) this.ledger.ends(id, { kind: "lost", status: index === 0 && this.status >= 200 ? this.status : 0, byTarget: this.served !== undefined, excuse });
    this.outstanding.length = 0;
    // Who leaves, leaves for good.
    if (this.leaving !== "") for (const { id } of this.waiting.splice(0)) this.ledger.ends(id, { kind: "lost", status: 0, byTarget: false, excuse: "it was never sent" });
    this.left(this.waiting);
  }
}

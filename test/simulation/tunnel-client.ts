/** Clients of WebSockets, as far as a proxy sees them: Upgrade of HTTP/1.1, or extended CONNECT of HTTP/2 (RFC 8441); then bytes both ways, which come back as they went. */
import type { NetSocket } from "../../src/net/network.ts";
import * as frames from "../support/h2-frames.ts";
import type { Field } from "../support/h2-hpack.ts";
import type { Dice } from "../support/random.ts";
import { type H2Habits, H2Endpoint } from "./h2-endpoint.ts";
import type { H2Stream } from "./h2-judge.ts";
import type { Ledger } from "./ledger.ts";
import { bodyOf } from "./messages.ts";
import { Peer } from "./peer.ts";
import type { Process } from "./process.ts";
import type { SimSocket } from "./socket.ts";
import { Violation, type World } from "./world.ts";

export interface TunnelPlan {
  readonly id: number;
  readonly at: number;
  readonly length: number;
  /** It speaks before it knows that it may. */
  readonly eager: boolean;
  readonly slowWrites: number;
  readonly slowReads: number;
  /** It leaves when so much has come back. */
  readonly leavesAfter: number;
  /** How it speaks HTTP/2; undefined: HTTP/1.1. */
  readonly habits: H2Habits | undefined;
}

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

/** What has come back, and how it went. */
class Returned {
  /** The tunnel is there. */
  open = false;
  status = 0;
  private received = 0;
  private judged = false;
  private readonly ledger: Ledger;
  private readonly plan: TunnelPlan;

  constructor(ledger: Ledger, plan: TunnelPlan) {
    this.ledger = ledger;
    this.plan = plan;
    ledger.asksTunnel(plan.id);
  }

  /** @returns it is enough: the client leaves */
  add(bytes: Buffer): boolean {
    const { id, leavesAfter } = this.plan;
    if (!bodyOf(id, this.received, this.received + bytes.length).equals(bytes)) throw new Violation("no request is answered with another's bytes", `tunnel ${id}: wrong bytes at ${this.received}`);
    this.received += bytes.length;
    return this.received >= leavesAfter;
  }

  head(status: number, own: string | undefined): void {
    const { id } = this.plan;
    if (status < 200 && status !== 101) return;
    this.status = status;
    this.open = own !== undefined;
    if (own !== undefined && own !== String(id)) throw new Violation("no request is answered with another's bytes", `tunnel ${id} is that of ${own}`);
    if (own === undefined && status < 400) throw new Violation("no request is made up", `tunnel ${id} is ${status}, and nobody's`);
  }

  /** It ended without an error: all must have come back, unless its far end ended it so. */
  ends(orphaned: boolean): void {
    if (this.judged || !this.open) return;
    this.judged = true;
    const { id, length } = this.plan;
    if (this.received !== length && !orphaned && !this.ledger.echoes.get(id)!.looksWhole) throw new Violation("no response is silently truncated", `tunnel ${id} got ${this.received} of ${length} bytes, and a clean end`);
    this.ledger.tunnelWhole(id, this.received === length);
  }
}

interface Bounds {
  readonly world: World;
  readonly process: Process;
  readonly ledger: Ledger;
  readonly port: number;
  readonly dice: Dice;
}

export function tunnelClient({ world, process, ledger, port, dice }: Bounds, plan: TunnelPlan): { readonly done: boolean } {
  const client = plan.habits === undefined ? new UpgradeClient(world, process, ledger, plan, dice) : new ConnectClient(world, process, ledger, plan, dice, plan.habits);
  world.after(plan.at, process, () => process.connect({ kind: "tcp", host: "127.0.0.1", port }, client));
  return client;
}

class UpgradeClient extends Peer {
  done = false;
  private readonly plan: TunnelPlan;
  private readonly dice: Dice;
  private readonly returned: Returned;
  private sim: SimSocket | undefined = undefined;
  private head: Buffer | undefined = Buffer.alloc(0);
  private left = false;

  constructor(world: World, process: Process, ledger: Ledger, plan: TunnelPlan, dice: Dice) {
    super(world, process);
    this.plan = plan;
    this.dice = dice;
    this.returned = new Returned(ledger, plan);
  }

  override onOpen(socket: NetSocket): void {
    this.sim = socket as SimSocket;
    super.onOpen(socket);
  }

  protected override opened(): void {
    const { id, eager } = this.plan;
    this.tell({ bytes: Buffer.from(`GET /t/${id} HTTP/1.1\r\nHost: sim.test\r\nX-Sim: ${id}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n`, "latin1") });
    if (eager) this.speak();
  }

  private speak(): void {
    const { id, length, slowWrites } = this.plan;
    const said = bodyOf(id, 0, length);
    for (const piece of slowWrites > 0 ? this.dice.pieces(said) : [said]) this.tell({ bytes: piece, pause: slowWrites * this.dice.random() });
    // An end that came with the request would be that of who hangs up.
    if (!this.plan.eager) this.tell({ act: () => this.socket?.shutdown() });
  }

  onData(chunk: Buffer): void {
    const rest = this.head === undefined ? chunk : this.readHead(chunk);
    if (rest.length > 0 && this.returned.open && this.returned.add(rest)) {
      this.left = true;
      this.socket?.terminate();
      return;
    }
    const { slowReads } = this.plan;
    if (slowReads === 0) return;
    this.socket?.pause();
    this.world.after(this.dice.random() * slowReads, this.actor, () => this.socket?.resume());
  }

  /** @returns what comes behind it */
  private readHead(chunk: Buffer): Buffer {
    const bytes = Buffer.concat([this.head!, chunk]);
    const end = bytes.indexOf("\r\n\r\n");
    this.head = bytes;
    if (end < 0) return bytes.subarray(bytes.length);
    this.head = undefined;
    const text = bytes.latin1Slice(0, end);
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0);
    this.returned.head(status, status === 101 ? /^x-sim: (\S+)$/im.exec(text)?.[1] : undefined);
    if (status === 101 && this.plan.eager) this.tell({ act: () => this.socket?.shutdown() });
    else if (status === 101) this.speak();
    else this.world.after(this.dice.random() * 50, this.actor, () => this.socket?.end());
    return bytes.subarray(end + 4);
  }

  protected ended(): void {
    this.returned.ends(this.sim?.peer.orphaned === true);
    this.socket?.end();
  }

  protected over(error: string | undefined): void {
    this.done = true;
    if (error === undefined && !this.left) this.returned.ends(this.sim?.peer.orphaned === true);
  }
}

class ConnectClient extends H2Endpoint {
  done = false;
  private readonly plan: TunnelPlan;
  private readonly returned: Returned;
  private stream: H2Stream | undefined = undefined;

  constructor(world: World, process: Process, ledger: Ledger, plan: TunnelPlan, dice: Dice, habits: H2Habits) {
    super(world, process, dice, habits, "client");
    this.plan = plan;
    this.returned = new Returned(ledger, plan);
  }

  protected override opened(): void {
    this.greet(frames.PREFACE);
  }

  /** Extended CONNECT has to be offered first. */
  protected greeted(): void {
    if (this.stream !== undefined) return;
    const { id, eager } = this.plan;
    this.stream = this.judge.open(1);
    this.sendHead(this.stream, [[":method", "CONNECT"], [":protocol", "websocket"], [":scheme", "http"], [":authority", "sim.test"], [":path", `/t/${id}`], ["x-sim", String(id)], ["sec-websocket-version", "13"]], false);
    this.openIfSmall(this.stream);
    if (eager) this.speak(this.stream);
  }

  private speak(stream: H2Stream): void {
    const { id, length, slowWrites, eager } = this.plan;
    for (const piece of this.dice.pieces(bodyOf(id, 0, length))) this.say(stream, piece, slowWrites * this.dice.random());
    if (!eager) this.sayLast(stream, undefined);
  }

  protected head(stream: H2Stream, fields: readonly Field[], ends: boolean): void {
    const value = (name: string): string | undefined => fields.find((field) => field[0] === name)?.[1];
    const status = Number(value(":status"));
    this.returned.head(status, status === 200 ? value("x-sim") : undefined);
    if (status !== 200) {
      if (status >= 200 && ends) this.leave();
    } else if (ends) throw new Violation("messages are well-formed", `tunnel ${this.plan.id} ends as it begins`);
    else if (this.plan.eager) this.sayLast(stream, undefined);
    else this.speak(stream);
  }

  protected data(stream: H2Stream, bytes: Buffer, ends: boolean): void {
    if (this.returned.open && this.returned.add(bytes)) {
      this.resetStream(stream, frames.ErrorCode.CANCEL);
      this.leave();
    } else if (ends) {
      this.returned.ends(false);
      this.leave();
    }
  }

  protected streamReset(): void {
    this.leave();
  }

  protected goneAway(): void {
    // The stream goes on, or it is told otherwise.
  }

  private leave(): void {
    this.world.after(this.dice.random() * 30, this.actor, () => this.socket?.end());
  }

  protected ended(): void {
    this.socket?.end();
  }

  protected over(): void {
    this.done = true;
  }
}

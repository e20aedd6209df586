/** Clients and back ends of a tcp listener: what is sent comes back, and each byte shows whose it is. */
import type { NetSocket } from "../../src/net/network.ts";
import type { Dice } from "../support/random.ts";
import type { Ledger } from "./ledger.ts";
import { bodyOf, isOf } from "./messages.ts";
import { Peer } from "./peer.ts";
import type { Process } from "./process.ts";
import type { SimSocket } from "./socket.ts";
import { Violation, type World } from "./world.ts";

export interface EchoPlan {
  readonly id: number;
  readonly at: number;
  readonly length: number;
  readonly slowWrites: number;
  readonly slowReads: number;
  /** It leaves when so much has come back. */
  readonly leavesAfter: number | undefined;
}

/** Each connection begins with its number, in so many digits. */
const ID_BYTES = 8;

/** What a connection says, with its number. */
function saidBy(id: number, length: number): Buffer {
  return Buffer.concat([Buffer.from(String(id).padStart(ID_BYTES, "0"), "latin1"), bodyOf(id, 0, length)]);
}

export class EchoClient extends Peer {
  done = false;
  private readonly ledger: Ledger;
  private readonly plan: EchoPlan;
  private readonly dice: Dice;
  private readonly said: Buffer;
  private sim: SimSocket | undefined = undefined;
  private received = 0;
  private left = false;
  private judged = false;

  constructor(world: World, process: Process, ledger: Ledger, port: number, plan: EchoPlan, dice: Dice) {
    super(world, process);
    this.ledger = ledger;
    this.plan = plan;
    this.dice = dice;
    this.said = saidBy(plan.id, plan.length);
    ledger.echoes.set(plan.id, { looksWhole: false });
    world.after(plan.at, process, () => process.connect({ kind: "tcp", host: "127.0.0.1", port }, this));
  }

  override onOpen(socket: NetSocket): void {
    this.sim = socket as SimSocket;
    super.onOpen(socket);
  }

  protected override opened(): void {
    const { slowWrites } = this.plan;
    for (const piece of slowWrites > 0 ? this.dice.pieces(this.said) : [this.said]) this.tell({ bytes: piece, pause: slowWrites * this.dice.random() });
    this.tell({ act: () => this.socket?.shutdown() });
  }

  onData(chunk: Buffer): void {
    const { received, said, plan } = this;
    if (said.compare(chunk, 0, chunk.length, received, Math.min(said.length, received + chunk.length)) !== 0) throw new Violation("no request is answered with another's bytes", `tcp ${plan.id}: wrong bytes at ${received}`);
    this.received += chunk.length;
    if (plan.leavesAfter !== undefined && this.received >= plan.leavesAfter) {
      this.left = true;
      this.socket!.terminate();
      return;
    }
    if (plan.slowReads === 0) return;
    this.socket!.pause();
    this.world.after(this.dice.random() * plan.slowReads, this.actor, () => this.socket?.resume());
  }

  protected ended(): void {
    this.judged = true;
    this.judge();
    this.socket?.end();
  }

  /** It ended without an error: all must have come back, or less than shows whose it is: then its far end could not say that it broke off. */
  private judge(): void {
    const { received, said, plan, sim } = this;
    if (received < ID_BYTES || received === said.length || this.ledger.echoes.get(plan.id)!.looksWhole || sim?.peer.orphaned === true) return;
    throw new Violation("no response is silently truncated", `tcp ${plan.id} got ${received} of ${said.length} bytes, and a clean end`);
  }

  protected over(error: string | undefined): void {
    this.done = true;
    if (error === undefined && !this.left && !this.judged) this.judge();
  }
}

/** Chances, from 0 to 1. */
export interface EchoManners {
  readonly resets: number;
  readonly closes: number;
  readonly slow: number;
}

export function echoBackend(world: World, process: Process, ledger: Ledger, port: number, manners: EchoManners, dice: Dice): void {
  process.listen({ kind: "tcp", host: "127.0.0.1", port }, undefined, () => new EchoConnection(world, process, ledger, manners, dice));
}

class EchoConnection extends Peer {
  private readonly ledger: Ledger;
  private readonly dice: Dice;
  private readonly breaksAfter: number;
  private readonly byReset: boolean;
  private readonly slow: number;
  private id: number | undefined = undefined;
  private start: Buffer = Buffer.alloc(0);
  private received = 0;

  constructor(world: World, process: Process, ledger: Ledger, manners: EchoManners, dice: Dice) {
    super(world, process);
    this.ledger = ledger;
    this.dice = dice;
    this.byReset = dice.chance(manners.resets);
    this.breaksAfter = this.byReset || dice.chance(manners.closes) ? dice.below(4_000) : Infinity;
    this.slow = dice.chance(0.3) ? manners.slow : 0;
  }

  onData(chunk: Buffer): void {
    if (this.id === undefined) {
      this.start = Buffer.concat([this.start, chunk]);
      if (this.start.length >= ID_BYTES) this.id = Number(this.start.latin1Slice(0, ID_BYTES));
    }
    if (this.id !== undefined) {
      const at = Math.max(0, this.received - ID_BYTES);
      const own = chunk.subarray(Math.max(0, ID_BYTES - this.received));
      if (!isOf(this.id, at, own)) throw new Violation("a request arrives as it was sent", `tcp ${this.id}: wrong bytes at ${at}`);
    }
    this.received += chunk.length;
    this.tell({ bytes: chunk, pause: this.slow * this.dice.random() });
    if (this.received < this.breaksAfter) return;
    if (this.byReset) this.socket!.terminate();
    else {
      this.dies();
      this.socket!.end();
    }
  }

  protected ended(): void {
    this.tell({ act: () => this.socket?.end() });
  }

  /** It ends in a way that looks as if all had been said. */
  dies(): void {
    const echo = this.id === undefined ? undefined : this.ledger.echoes.get(this.id);
    if (echo !== undefined) echo.looksWhole = true;
  }

  protected over(): void {}
}

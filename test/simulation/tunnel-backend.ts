/** What a back end does at its end of a tunnel: it sends back what comes, until it has enough. */
import type { Dice } from "../support/random.ts";
import type { Manners } from "./http-backend.ts";
import type { Ledger } from "./ledger.ts";
import { isOf } from "./messages.ts";
import { Violation } from "./world.ts";

export class TunnelEnd {
  readonly id: number;
  /** How it breaks off when it does. */
  readonly byReset: boolean;
  /** What came before it was there; undefined: it is there. */
  early: Buffer[] | undefined = [];
  private readonly ledger: Ledger;
  private readonly breaksAfter: number;
  private received = 0;

  constructor(id: number, ledger: Ledger, manners: Manners, dice: Dice) {
    this.id = id;
    this.ledger = ledger;
    this.byReset = dice.chance(0.5);
    this.breaksAfter = dice.chance(manners.truncates) ? dice.below(20_000) : Infinity;
  }

  /** @returns it breaks off now */
  take(bytes: Buffer): boolean {
    const { id, received } = this;
    if (!isOf(id, received, bytes)) throw new Violation("a request arrives as it was sent", `tunnel ${id}: wrong bytes at ${received}`);
    this.received += bytes.length;
    if (this.received < this.breaksAfter) return false;
    if (!this.byReset) this.dies();
    return true;
  }

  /** It ends in a way that looks as if all had been said. */
  dies(): void {
    this.ledger.echoes.get(this.id)!.looksWhole = true;
  }
}

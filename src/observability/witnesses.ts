/** Those who want to know of exchanges: asked at the end of each, and told one account that all of them share. */
import type { Account, Witness } from "./account.ts";
import type { Cause } from "./cause.ts";

/** An exchange that has ended, and can tell of itself. */
export interface Ended {
  /** Its trace is recorded. */
  readonly isTraced: boolean;
  /** @param milliseconds that it took */
  account(cause: Cause, status: number, milliseconds: number): Account;
  /** The same for those who read it at once. Absent: that would save nothing. */
  passing?(cause: Cause, status: number, milliseconds: number): Account;
}

export class Witnesses {
  /** One of them wants most accounts. */
  readonly wantMost: boolean;
  private readonly list: readonly Witness[];

  private constructor(list: readonly Witness[]) {
    this.list = list;
    this.wantMost = list.some(({ wantsMost }) => wantsMost === true);
  }

  /** Undefined: there are none, and nobody need be asked. */
  static of(list: readonly (Witness | undefined)[]): Witnesses | undefined {
    const present = list.filter((witness) => witness !== undefined);
    return present.length === 0 ? undefined : new Witnesses(present);
  }

  /** @param milliseconds that it took */
  ended(exchange: Ended, cause: Cause, status: number, attempts: number, milliseconds: number): void {
    const { isTraced } = exchange;
    let account: Account | undefined;
    for (const witness of this.list) {
      if (!witness.wants(cause, status, attempts, milliseconds, isTraced)) continue;
      if (witness.readsAtOnce === true && exchange.passing !== undefined) {
        witness.tell(exchange.passing(cause, status, milliseconds));
        continue;
      }
      account ??= exchange.account(cause, status, milliseconds);
      witness.tell(account);
    }
  }
}

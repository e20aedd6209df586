/** A witness that wants every account, and keeps them. */
import type { Account, Witness } from "../../src/observability/account.ts";
import { until } from "./until.ts";

export class Recorder implements Witness {
  readonly accounts: Account[] = [];

  wants(): boolean {
    return true;
  }

  tell(account: Account): void {
    this.accounts.push(account);
  }

  /** The one after `before` others. */
  next(before = 0): Promise<Account> {
    return until(`account ${before + 1}`, () => this.accounts[before]);
  }
}

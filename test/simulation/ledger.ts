/** What was asked, sent, answered and told, request by request: where what one side saw is held against what the other did. */
import type { Account } from "../../src/observability/account.ts";
import { Violation } from "./world.ts";

/** What a client asks for. */
export interface RequestPlan {
  readonly id: number;
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "PATCH";
  /** Of its body. */
  readonly length: number;
  readonly framing: "none" | "length" | "chunked";
  readonly expects: boolean;
  readonly minor: 0 | 1;
  /** It is the last on its connection, and says so. */
  readonly closes: boolean;
}

/** RFC 9110 section 9.2.2. */
export function isIdempotent({ method }: RequestPlan): boolean {
  return method !== "POST" && method !== "PATCH";
}

/** How it went, as its client sees it. */
export interface Outcome {
  readonly kind: "whole" | "lost";
  /** 0: no head came. */
  readonly status: number;
  /** Of a back end's making. */
  readonly byTarget: boolean;
  /** Why it may be lost without anybody's fault: its client left, its connection was cut, its worker was killed; "": none of these. */
  readonly excuse: string;
}

/** A reply that a back end has begun. */
export interface Served {
  readonly serial: number;
  readonly id: number;
  readonly length: number;
  /** It broke off in a way that looks like its end. */
  looksWhole: boolean;
  /** What its trailers say; undefined: it has none. */
  trailer: string | undefined;
}

interface Entry {
  readonly plan: RequestPlan;
  /** Of its client. */
  readonly address: string;
  /** Its head was written to a target so often, and came to one so often. */
  written: number;
  seen: number;
  /** Targets that said that they had not looked at it. */
  refused: number;
  outcome: Outcome | undefined;
  account: Account | undefined;
}

/** How often a request may be sent. */
export interface Sendings {
  readonly retries: number;
  readonly hedged: boolean;
}

/** A tcp connection that echoes. */
export interface Echo {
  /** The far end broke it off in a way that looks like its end. */
  looksWhole: boolean;
}

export class Ledger {
  readonly served = new Map<number, Served>();
  readonly echoes = new Map<number, Echo>();
  private readonly tunnels = new Map<number, { whole: boolean; account: Account | undefined }>();
  private readonly entries = new Map<number, Entry>();
  private readonly sendings: Sendings;
  private lastSerial = 0;

  constructor(sendings: Sendings) {
    this.sendings = sendings;
  }

  get requests(): number {
    return this.entries.size;
  }

  /** Outcomes, for whoever wants to know how much the world has shown. */
  count(kind: Outcome["kind"], byTarget: boolean): number {
    let count = 0;
    for (const { outcome } of this.entries.values()) if (outcome?.kind === kind && outcome.byTarget === byTarget) count++;
    return count;
  }

  /** @param address as which its client is known */
  asks(plan: RequestPlan, address: string): void {
    this.entries.set(plan.id, { plan, address, written: 0, seen: 0, refused: 0, outcome: undefined, account: undefined });
  }

  asksTunnel(id: number): void {
    this.echoes.set(id, { looksWhole: false });
    this.tunnels.set(id, { whole: false, account: undefined });
  }

  /** It ended well. @param all came back */
  tunnelWhole(id: number, all: boolean): void {
    this.tunnels.get(id)!.whole = all;
  }

  private entry(id: number): Entry {
    const entry = this.entries.get(id);
    if (entry === undefined) throw new Violation("no request is made up", `request ${id} was never asked`);
    return entry;
  }

  plan(id: number): RequestPlan {
    return this.entry(id).plan;
  }

  address(id: number): string {
    return this.entry(id).address;
  }

  /** Its head has left for a target. */
  writes(id: number): void {
    const entry = this.entry(id);
    entry.written++;
    this.judgeSendings(entry, entry.written, "was sent");
  }

  private judgeSendings(entry: Entry, times: number, what: string): void {
    const { plan } = entry;
    // Once more on another connection when a pooled one turns out closed.
    const most = isIdempotent(plan) ? 2 + this.sendings.retries + (this.sendings.hedged ? 1 : 0) : 1;
    if (times > most + entry.refused) throw new Violation("nothing is sent again that must not be", `${plan.method} ${plan.id} ${what} ${times} times`);
  }

  /** It came to a target, which will answer it. @param length of the reply */
  serves(id: number, length: number): Served {
    const serial = ++this.lastSerial;
    const served: Served = { serial, id, length, looksWhole: false, trailer: undefined };
    this.served.set(serial, served);
    return served;
  }

  sees(id: number): number {
    const entry = this.entry(id);
    entry.seen++;
    this.judgeSendings(entry, entry.seen, "came to targets");
    return entry.seen;
  }

  /** Whoever was asked says that nothing has been done about it. */
  untouched(id: number): void {
    const { written, seen, plan } = this.entry(id);
    if (written + seen > 0) throw new Violation("what is refused was not looked at", `${plan.method} ${id} is refused, and was sent to targets ${Math.max(written, seen)} times`);
  }

  refuses(id: number): void {
    this.entry(id).refused++;
  }

  ends(id: number, outcome: Outcome): void {
    const entry = this.entry(id);
    if (entry.outcome !== undefined) throw new Violation("no request is answered twice", `${entry.plan.method} ${id}: ${JSON.stringify(entry.outcome)}, then ${JSON.stringify(outcome)}`);
    entry.outcome = outcome;
  }

  tells(account: Account): void {
    const [, kind, digits] = /^\/([rt])\/(\d+)/.exec(account.path) ?? [];
    if (digits === undefined) return;
    const id = Number(digits);
    const entry = kind === "t" ? this.tunnels.get(id)! : this.entry(id);
    if (entry.account !== undefined) throw new Violation("an exchange ends once", `request ${id} ended with ${entry.account.cause}, then with ${account.cause}`);
    entry.account = account;
  }

  /**
   * When all is over.
   * @param calm nothing was done to anybody
   * @param deaths workers that were killed, and could not tell of what they had begun
   */
  judge(calm: boolean, deaths: number): void {
    for (const [id, { whole, account }] of this.tunnels) if (calm && !(whole && account?.cause === "done")) throw new Violation("in calm weather all is answered", `tunnel ${id} did not come back whole, told as ${account?.cause} (${account?.detail})`);
    for (const { plan, outcome, account, seen } of this.entries.values()) {
      const name = `${plan.method} ${plan.id}`;
      if (outcome === undefined) throw new Violation("every exchange ends", `${name} has no outcome`);
      if (calm && (outcome.kind !== "whole" || !outcome.byTarget)) throw new Violation("in calm weather all is answered", `${name}: ${JSON.stringify(outcome)}, told as ${account?.cause} (${account?.detail})`);
      if (account === undefined) {
        if (outcome.kind === "whole" && outcome.byTarget && deaths === 0) throw new Violation("every exchange is told", `${name} was answered, and nobody told`);
        continue;
      }
      const { cause, status } = account;
      if (cause === "done" && outcome.kind === "lost" && outcome.excuse === "") throw new Violation("no response is lost", `${name} is told as done with ${status}, and its client has not got it`);
      if (outcome.kind === "whole" && outcome.byTarget && outcome.status !== status) throw new Violation("what is told is true", `${name} got ${outcome.status}, and ${status} is told`);
      if (outcome.kind === "whole" && outcome.byTarget && seen === 0) throw new Violation("no request is made up", `${name} was answered, and no target has seen it`);
    }
  }
}

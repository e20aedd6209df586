/**
 * The exchanges that are kept, as the JSON that workers made of them: it is read again only when somebody asks.
 * Bounded by number and bytes. The cause of which most are kept loses its oldest first, so that a flood of one leaves what was rare.
 */
import type { Cause } from "./cause.ts";
import type { ExchangeRecord, Reason } from "./exchange-record.ts";
import type { Batch } from "./exchange-witness.ts";

/** What a record takes beside its text, in bytes. */
const RECORD_COST = 150;

export interface KeptExchange extends ExchangeRecord {
  readonly id: string;
}

export interface ExchangeQuery {
  readonly upstream?: string | undefined;
  /** Any that was tried. */
  readonly target?: string | undefined;
  readonly cause?: Cause | undefined;
  readonly why?: Reason | undefined;
  /** By its name. */
  readonly fault?: string | undefined;
  readonly requestId?: string | undefined;
  readonly limit: number;
}

interface Kept {
  readonly number: number;
  readonly cause: Cause;
  readonly text: string;
}

export class ExchangeRing {
  /** Of this instance, so that an id of one before it names nothing else. */
  private readonly prefix: string;
  private readonly byCause = new Map<Cause, Kept[]>();
  private last = 0;
  private count = 0;
  private bytes = 0;
  private keep = 0;
  private memory = 0;
  private leftOut = 0;

  /** @param startedAt wall-clock ms */
  constructor(startedAt: number) {
    this.prefix = startedAt.toString(36);
  }

  /** How many are kept from now on, and in how many bytes. */
  apply(keep: number, memory: number): void {
    this.keep = keep;
    this.memory = memory;
    this.shrink();
  }

  /** Exchanges that should have been kept, and were too many. */
  get dropped(): number {
    return this.leftOut;
  }

  get size(): number {
    return this.count;
  }

  add({ records, dropped }: Batch): void {
    this.leftOut += dropped;
    for (const { cause, text } of records) {
      const kept = { number: ++this.last, cause, text };
      const list = this.byCause.get(cause);
      if (list === undefined) this.byCause.set(cause, [kept]);
      else list.push(kept);
      this.count++;
      this.bytes += costOf(kept);
    }
    this.shrink();
  }

  get(id: string): KeptExchange | undefined {
    const [prefix, number] = id.split("-", 2);
    if (prefix !== this.prefix) return undefined;
    for (const list of this.byCause.values()) for (const kept of list) if (String(kept.number) === number) return this.read(kept);
    return undefined;
  }

  /** Newest first. */
  query({ upstream, target, cause, why, fault, requestId, limit }: ExchangeQuery): KeptExchange[] {
    const all = [...this.byCause].flatMap(([of, list]) => (cause === undefined || of === cause ? list : [])).sort((a, b) => b.number - a.number);
    const found: KeptExchange[] = [];
    for (const kept of all) {
      if (found.length >= limit) break;
      const record = this.read(kept);
      if (upstream !== undefined && record.upstream !== upstream) continue;
      if (target !== undefined && record.target !== target && !record.tries.some((each) => each.target === target)) continue;
      if (fault !== undefined && !record.fault.split(",").includes(fault)) continue;
      if (requestId !== undefined && record.request_id !== requestId) continue;
      if (why !== undefined && !record.why.includes(why)) continue;
      found.push(record);
    }
    return found;
  }

  private read({ number, text }: Kept): KeptExchange {
    return { id: `${this.prefix}-${number}`, ...(JSON.parse(text) as ExchangeRecord) };
  }

  private shrink(): void {
    while (this.count > this.keep || this.bytes > this.memory) {
      let longest: Kept[] = [];
      for (const list of this.byCause.values()) if (list.length > longest.length) longest = list;
      const oldest = longest.shift();
      if (oldest === undefined) return;
      this.count--;
      this.bytes -= costOf(oldest);
      if (longest.length === 0) this.byCause.delete(oldest.cause);
    }
  }
}

/** A text with one character beyond Latin-1 takes two bytes for each. */
function costOf({ text }: Kept): number {
  return RECORD_COST + 2 * text.length;
}

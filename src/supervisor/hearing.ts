/** What comes in from a worker: it may run as another user and have been taken over, so nothing is believed of the shape of its messages. */
import { z } from "zod";
import { exchangeSchema } from "../admin/exchanges.ts";
import { explained } from "../admin/explained.ts";
import type { Log } from "../observability/log.ts";
import { CAUSE_NAMES } from "../observability/cause.ts";
import type { SentRecord } from "../observability/exchange-witness.ts";
import { BREAKER_STATES } from "../upstream/circuit-breaker.ts";
import { DETECTORS } from "../upstream/outliers.ts";
import type { FromWorker } from "../worker/messages.ts";

/** Between two lines about one worker, in ms. */
const COMPLAIN_EVERY = 10_000;

const generation = z.int();
const name = z.string().max(1_000);

const fromWorker: z.ZodType<FromWorker> = z.discriminatedUnion("type", [
  z.object({ type: z.literal("outlier"), outlier: z.object({ upstream: name, target: name, detector: z.enum(DETECTORS) }) }),
  z.object({ type: z.literal("circuit"), change: z.object({ upstream: name, from: z.enum(BREAKER_STATES), state: z.enum(BREAKER_STATES) }) }),
  z.object({ type: z.literal("exchanges"), batch: z.object({ records: z.array(z.object({ cause: z.enum(CAUSE_NAMES), text: z.string() })), dropped: z.int().min(0) }) }),
  z.object({ type: z.enum(["shown", "injected", "ready", "applied"]), generation }),
  z.object({ type: z.literal("answer"), generation, answer: z.union([explained, z.object({ problem: z.string() })]) }),
  z.object({ type: z.enum(["unanswered", "failed"]), generation, reason: z.string() }),
]);

const record = exchangeSchema.omit({ id: true });

export class Hearing {
  private readonly slot: number;
  private readonly log: Log;
  private nextComplaint = 0;
  private leftOut = 0;

  constructor(slot: number, log: Log) {
    this.slot = slot;
    this.log = log;
  }

  /** The message without what is malformed of it; undefined: all of it is. */
  read(message: unknown): FromWorker | undefined {
    const { data, error } = fromWorker.safeParse(message);
    if (data === undefined) {
      this.complain(z.prettifyError(error));
      return undefined;
    }
    return data.type === "exchanges" ? { ...data, batch: { ...data.batch, records: data.batch.records.filter((each) => this.isWell(each)) } } : data;
  }

  private isWell({ cause, text }: SentRecord): boolean {
    let said: unknown;
    try {
      said = JSON.parse(text);
    } catch {
      // It is none, as it stands.
    }
    const { data, error } = record.safeParse(said);
    if (data?.cause === cause) return true;
    this.complain(error === undefined ? "an exchange has two causes" : z.prettifyError(error));
    return false;
  }

  private complain(reason: string): void {
    this.leftOut++;
    const now = performance.now();
    if (now < this.nextComplaint) return;
    this.nextComplaint = now + COMPLAIN_EVERY;
    this.log.error({ slot: this.slot, leftOut: this.leftOut, reason: reason.slice(0, 500) }, "Worker says what no worker says: it is left out");
    this.leftOut = 0;
  }
}

/** When requests come and from whom: drawn at random, or read from an access log. */
import { type HashKey } from "../config/snapshot.ts";
import { addressOf } from "../observability/access/variables.ts";
import { keyOf } from "../routing/key.ts";
import { zipf } from "./chance.ts";
import type { Scenario } from "./scenarios.ts";

export interface Arrivals {
  readonly count: number;
  /** In all, in ms. */
  readonly duration: number;
  /** What the hash policies go by, as numbers of `keys`. */
  readonly keys: readonly string[];
  /** Milliseconds from the one before to this one, and its key. Called once for each, in order. */
  next(random: () => number): { readonly gap: number; readonly key: number };
}

/** Clients of which one at a time asks. */
const CLIENTS = 10_000;

/** A Poisson process. @param rate requests a ms */
export function poisson(count: number, rate: number, { skew, hot }: Scenario): Arrivals {
  const draw = zipf(CLIENTS, skew, hot);
  const keys = Array.from({ length: CLIENTS }, (_, n) => `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`);
  const result = { gap: 0, key: 0 };
  return {
    count,
    duration: count / rate,
    keys,
    next(random) {
      result.gap = -Math.log(1 - random()) / rate;
      result.key = draw(random);
      return result;
    },
  };
}

/** A line of an access log that cannot be read. */
export class LogError extends Error {}

/**
 * The requests of an access log (JSON lines, as `[access_log]` writes them), in their order and at their times.
 * @param rate how many times as fast
 * @throws LogError
 */
export function fromLog(text: string, hashKey: HashKey, rate: number): Arrivals {
  const times: number[] = [];
  const owners: number[] = [];
  const keys: string[] = [];
  const numbers = new Map<string, number>();
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    let record: { time?: unknown; msg?: unknown; client?: unknown; path?: unknown; milliseconds?: unknown };
    try {
      record = JSON.parse(line) as typeof record;
    } catch {
      throw new LogError(`line ${index + 1} is not JSON; write the log with --log-format json`);
    }
    if (record.msg !== undefined && record.msg !== "access") continue;
    const time = typeof record.time === "string" ? Date.parse(record.time) : Number(record.time);
    if (!Number.isFinite(time)) throw new LogError(`line ${index + 1} has no "time"`);
    const client = typeof record.client === "string" ? addressOf(record.client) : "";
    const key = keyOf({ clientAddress: client, path: typeof record.path === "string" ? record.path : "", header: () => undefined }, hashKey) ?? client;
    let number = numbers.get(key);
    if (number === undefined) numbers.set(key, (number = keys.push(key) - 1));
    // A line is of the time when its exchange ended.
    times.push(time - (typeof record.milliseconds === "number" ? record.milliseconds : 0));
    owners.push(number);
  }
  if (times.length < 2) throw new LogError("there are no access lines in it");
  // Lines are written when exchanges end, a little out of order.
  const order = [...times.keys()].toSorted((a, b) => times[a]! - times[b]!);
  let at = 0;
  return {
    count: times.length,
    duration: Math.max(1, (times[order.at(-1)!]! - times[order[0]!]!) / rate),
    keys,
    next() {
      const index = order[at]!;
      const before = order[Math.max(0, at - 1)]!;
      at++;
      return { gap: (times[index]! - times[before]!) / rate, key: owners[index]! };
    },
  };
}

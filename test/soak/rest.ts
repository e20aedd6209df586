/** What is left when the load has ended: connections and requests that should be none, descriptors, and the heap after a collection. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { sleep } from "../support/until.ts";
import type { Metric } from "./metrics.ts";
import { type Heap, QUESTION } from "./probe.ts";
import { descriptorKinds, heapOf } from "./process-state.ts";
import type { Recorder } from "./recorder.ts";
import type { Stand } from "./stand.ts";

/** What must be zero when nobody asks for anything. */
const ZERO = ["fairlead_worker_open_clients", "fairlead_listener_open_clients", "fairlead_upstream_open_requests", "fairlead_upstream_open_retries", "fairlead_upstream_queued", "fairlead_target_open_requests", "fairlead_target_open_connections"] as const;
/** For all of it to end, in ms: idle connections first, then the last datagrams of clients. */
const PATIENCE = 20_000;
/** For descriptors to be as they were: checks of health have one now and then. */
const SETTLE = 5_000;

export interface Rested {
  readonly name: string;
  readonly pid: number;
  readonly descriptors: Readonly<Record<string, number>>;
  /** Bytes that a collection left of objects, and of what they hold. */
  readonly live: number;
  readonly held: number;
  readonly objects: Readonly<Record<string, number>>;
}

export interface Rest {
  /** `name{labels} value` of each metric that should be 0 and is not. */
  readonly open: readonly string[];
  /** Exchanges that clients had begun until then. */
  readonly exchanges: number;
  readonly processes: readonly Rested[];
}

function stillOpen(metrics: readonly Metric[]): string[] {
  return metrics.filter(({ value }) => value !== 0).map(({ name, labels, value }) => `${name}${JSON.stringify(labels)} ${value}`);
}

/** `kind: before → after` of each that is not the same. */
export function differences(before: Readonly<Record<string, number>>, after: Readonly<Record<string, number>>): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((kind) => (before[kind] ?? 0) !== (after[kind] ?? 0)).map((kind) => `${kind}: ${before[kind] ?? 0} → ${after[kind] ?? 0}`);
}

/** @param before descriptors should be as they were then; absent: as they are */
export async function rest(stand: Stand, recorder: Recorder, question: number, before?: Rest): Promise<Rest> {
  let open: string[];
  for (const end = performance.now() + PATIENCE; ; await sleep(200)) {
    const gauges = await recorder.metrics(ZERO);
    const missing = ZERO.filter((name) => !gauges.some((gauge) => gauge.name === name));
    open = [...missing.map((name) => `${name} is not told`), ...stillOpen(gauges)];
    if (open.length === 0 || performance.now() > end) break;
  }
  const pids = [...(await recorder.pids())];
  writeFileSync(join(stand.probes, QUESTION), String(question));
  const heaps = await answers(stand, pids.map(([pid]) => pid), question);
  const processes = pids.map(async ([pid, name], index): Promise<Rested> => {
    const { live, held, objects } = heaps[index]!;
    const descriptors = await settled(
      pid,
      before?.processes.find((one) => one.pid === pid),
    );
    return { name, pid, descriptors, live, held, objects };
  });
  return { open, exchanges: Object.values(stand.told.counts).reduce((sum, { begun }) => sum + begun, 0), processes: await Promise.all(processes) };
}

/** What each heap holds after the collection that this question asks for. */
async function answers(stand: Stand, pids: readonly number[], question: number): Promise<Heap[]> {
  for (const end = performance.now() + PATIENCE; performance.now() < end; await sleep(100)) {
    const heaps = pids.map((pid) => heapOf(stand.probes, pid));
    if (heaps.every((heap) => heap?.question === question)) return heaps as Heap[];
  }
  throw new Error("the probes in the program's processes do not answer");
}

/** As before, or the fewest that were seen. */
async function settled(pid: number, before: Rested | undefined): Promise<Record<string, number>> {
  let fewest = descriptorKinds(pid);
  const count = (kinds: Record<string, number>): number => Object.values(kinds).reduce((sum, each) => sum + each, 0);
  for (const end = performance.now() + SETTLE; performance.now() < end; await sleep(50)) {
    const now = descriptorKinds(pid);
    if (before !== undefined && differences(before.descriptors, now).length === 0) return now;
    if (count(now) < count(fewest)) fewest = now;
    if (before === undefined && performance.now() > end - SETTLE + 1_000) return fewest;
  }
  return fewest;
}

/** Each thing that is judged of a soak, with what it may be and what it was. */
import { judge, type Judgement, median, SHORTEST, type Take } from "./judge.ts";
import type { ProcessRecord, Recorder, SeriesName } from "./recorder.ts";
import { differences, type Rest, type Rested } from "./rest.ts";
import type { Told } from "./stand.ts";

export type Said = "ok" | "unclear" | "short" | "BROKEN";

export interface Finding {
  readonly process: string;
  readonly what: string;
  readonly start: string;
  readonly end: string;
  /** Per hour or per exchange, with its interval. */
  readonly slope: string;
  readonly allowed: string;
  readonly said: Said;
  /** Why, where the numbers do not say it. */
  readonly note: string;
}

const MIB = 1024 * 1024;

/** Per hour, and once: what is taken for good in the first hour; or, where that is more, for each exchange of a process. */
interface Allowance {
  readonly take: Take;
  readonly anHour: number;
  readonly once: number;
  readonly anExchange: number;
  readonly title: string;
  readonly show: (value: number) => string;
}

const mib = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`;
const milliseconds = (seconds: number): string => `${(seconds * 1000).toFixed(1)} ms`;

/**
 * A third or less of the leaks that must not be missed: 100 bytes an exchange, a descriptor for each 1,000 connections; and more than a steady process was seen to
 * swing by in ten minutes (RESULTS.md).
 */
const ALLOWED: Readonly<Record<SeriesName, Allowance>> = {
  resident: { take: "lowest", anHour: 8 * MIB, once: 3 * MIB, anExchange: 32, title: "resident memory", show: mib },
  heap: { take: "lowest", anHour: 8 * MIB, once: 3 * MIB, anExchange: 32, title: "JavaScript heap", show: mib },
  descriptors: { take: "lowest", anHour: 30, once: 4, anExchange: 1 / 5_000, title: "descriptors", show: (value) => value.toFixed(0) },
  lag: { take: "median", anHour: 0.02, once: 0.005, anExchange: 0, title: "event loop lag, p99", show: milliseconds },
};
/** What a collected heap may have more at rest, in bytes, and for each exchange: lists and tables that fill themselves, and code, of which there is more as it gets hot. */
const LIVE = { floor: 384 * 1024, anExchange: 4 };
const HELD = { floor: 6 * MIB, anExchange: 16 };
/** The same of how many objects there are of a type: one for each fifty exchanges is a leak, however small they are. */
const OBJECTS = { floor: 1_000, anExchange: 0.02 };
/** Of a worker's event loop, over the whole time: p99 in seconds. */
const LAG = 0.05;
/** The part of the time that a worker waits for a core from which on its lag, and what comes too late, is the machine's. */
const CROWDED = 0.05;
/** Of all exchanges, and a few in any case: those that a target had when it was killed and that may not be sent again, and those that began in a moment before checks saw it. */
const FAILED = { floor: 20, part: 0.005 };

export interface Observed {
  readonly recorder: Recorder;
  readonly rests: readonly [Rest, Rest, Rest];
  readonly told: Told;
  /** In seconds. */
  readonly measured: number;
  readonly deedsFailed: readonly string[];
}

export function findings(observed: Observed): Finding[] {
  const { recorder, rests } = observed;
  const records = [...recorder.processes.values()].toSorted((a, b) => a.name.localeCompare(b.name));
  const workers = records.filter(({ name }) => name !== "supervisor").length;
  const exchanges = rests[2].exchanges - rests[1].exchanges;
  // The kernel gives connections to whichever worker is awake: about as many to each.
  const anHour = (exchanges / observed.measured) * 3_600;
  return [
    ...records.flatMap((record) => slopes(record, observed.measured / 3_600, record.name === "supervisor" ? 0 : anHour / Math.max(1, workers))),
    ...rests[2].processes.flatMap((rested) => atRest(rested, observed, exchanges)),
    ...whole(observed),
  ];
}

const SAID: Readonly<Record<Judgement["verdict"], Said>> = { steady: "ok", growing: "BROKEN", unclear: "unclear", short: "short" };

function slopes(record: ProcessRecord, hours: number, exchangesAnHour: number): Finding[] {
  return (Object.keys(ALLOWED) as SeriesName[])
    .filter((name) => record.series[name].length > 0)
    .map((name) => {
      const { take, anHour, once, anExchange, title, show } = ALLOWED[name];
      const samples = record.series[name];
      const allowance = Math.max(anHour + once / hours, anExchange * exchangesAnHour);
      const judgement = judge(samples, take, allowance);
      const { slope, low, high, start, end, verdict } = judgement;
      const finding = { process: record.name, what: title, start: show(start), end: show(end), slope: verdict === "short" ? "-" : `${show(slope)} (${show(low)} to ${show(high)})`, allowed: show(allowance), said: SAID[verdict], note: "" };
      return name === "lag" ? lagged(finding, record) : finding;
    });
}

/** The part of the measured time that it could have run and had no core. */
function crowding({ waitedFirst, waitedLast, series: { resident } }: ProcessRecord): number {
  return resident.length < 2 ? 0 : (waitedLast - waitedFirst) / (resident.at(-1)!.at - resident[0]!.at);
}

/** What is wrong where there is no room is not the program's fault, nor is it well. */
function unlessCrowded(broken: boolean, crowded: number): Said {
  return broken ? (crowded > CROWDED ? "unclear" : "BROKEN") : "ok";
}

function percent(part: number): string {
  return `${(part * 100).toFixed(1)} %`;
}

function lagged(finding: Finding, record: ProcessRecord): Finding {
  const crowded = crowding(record);
  const usual = median(record.series.lag.map(({ value }) => value));
  const broken = finding.said === "BROKEN" || usual > LAG;
  return { ...finding, note: `${milliseconds(usual)} of ${milliseconds(LAG)}; waited for a core ${percent(crowded)} of the time`, said: broken ? unlessCrowded(true, crowded) : finding.said };
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((all, count) => all + count, 0);
}

function atRest(rested: Rested, { rests, measured }: Observed, exchanges: number): Finding[] {
  const same = ({ pid }: Rested): boolean => pid === rested.pid;
  const [cold, warm] = [rests[0].processes.find(same), rests[1].processes.find(same)];
  if (warm === undefined || cold === undefined) return [{ process: rested.name, what: "process", start: "-", end: String(rested.pid), slope: "-", allowed: "0", said: "BROKEN", note: "it was replaced" }];
  const fds = differences(warm.descriptors, rested.descriptors);
  const grew = (what: string, show: (value: number) => string, from: number, to: number, { floor, anExchange }: typeof LIVE, note: string): Finding => {
    const [grown, allowed] = [to - from, floor + anExchange * exchanges];
    return { process: rested.name, what, start: show(from), end: show(to), slope: `${((grown / Math.max(1, exchanges)) * 1_000).toFixed(1)} in 1,000 exchanges`, allowed: `+${show(allowed)}`, said: grown <= allowed ? "ok" : measured < SHORTEST ? "short" : "BROKEN", note };
  };
  const types = more(warm.objects, rested.objects);
  const [most] = types[0] ?? [""];
  return [
    grew("objects at rest", mib, warm.live, rested.live, LIVE, types.slice(0, 4).map(([type, count]) => `${type} ${count < 0 ? "" : "+"}${count}`).join(", ")),
    grew(`most grown type: ${most}`, (value) => value.toFixed(0), warm.objects[most] ?? 0, rested.objects[most] ?? 0, OBJECTS, ""),
    grew("what they hold at rest", mib, warm.held, rested.held, HELD, ""),
    { process: rested.name, what: "descriptors at rest", start: String(sum(warm.descriptors)), end: String(sum(rested.descriptors)), slope: "-", allowed: "the same", said: fds.length === 0 ? "ok" : "BROKEN", note: [...fds, `${sum(cold.descriptors)} before any load`].join("; ") },
  ];
}

/** Of each type, what there are more; the most first. */
function more(before: Readonly<Record<string, number>>, after: Readonly<Record<string, number>>): (readonly [type: string, count: number])[] {
  return Object.entries(after)
    .map(([type, count]) => [type, count - (before[type] ?? 0)] as const)
    .toSorted((a, b) => b[1] - a[1]);
}

function whole({ recorder, rests, told, deedsFailed }: Observed): Finding[] {
  const open = rests.flatMap((each) => each.open);
  const counts = Object.values(told.counts);
  const [begun, failed] = [counts.reduce((all, one) => all + one.begun, 0), counts.reduce((all, one) => all + one.failed, 0)];
  const crowded = Math.max(0, ...[...recorder.processes.values()].map(crowding));
  const counted = (what: string, value: number, allowed: number, because: string, waits = crowded): Finding => ({ process: "all", what, start: "0", end: String(value), slope: "-", allowed: String(allowed), said: unlessCrowded(value > allowed, waits), note: because });
  const reasons = Object.entries(told.reasons).toSorted((a, b) => b[1] - a[1]).map(([reason, count]) => `${reason} ${count}`);
  return [
    counted("gauges above zero at rest", open.length, 0, open.slice(0, 5).join(", "), 0),
    counted("exchanges that failed", failed, FAILED.floor + Math.ceil(begun * FAILED.part), reasons.slice(0, 6).join(", ")),
    counted("exchanges not begun, for too many were open", told.shed, 0, ""),
    counted("changes from outside that failed", deedsFailed.length, 0, deedsFailed.slice(0, 3).join("; ")),
    counted("scrapes that failed", recorder.failures.length, 0, recorder.failures.slice(0, 3).join("; ")),
  ];
}

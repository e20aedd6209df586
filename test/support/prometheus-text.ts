/**
 * Reads Prometheus' text format 0.0.4 as strictly as its specification allows, and a little more so: what several parsers frown at is an error here.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */

export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly series: readonly Series[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*/;
const TYPES = new Set(["counter", "gauge", "histogram", "summary", "untyped"]);
const PARTS = { histogram: ["_bucket", "_sum", "_count"], summary: ["", "_sum", "_count"] } as const;

/** By name. @throws Error that names the line */
export function parsePrometheus(text: string): Map<string, MetricFamily> {
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  const families = new Map<string, MetricFamily & { series: Series[] }>();
  const seen = new Set<string>();
  let current: (MetricFamily & { series: Series[] }) | undefined;
  let help: readonly [name: string, text: string] | undefined;
  for (const [index, line] of text.slice(0, -1).split("\n").entries()) {
    const wrong = (what: string): Error => new Error(`line ${index + 1}: ${what}: ${line}`);
    if (line === "") continue;
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment !== null) {
      const [, kind, name, rest] = comment as unknown as [string, string, string, string];
      if (families.has(name)) throw wrong("told twice, or not in one piece");
      if (kind === "HELP") {
        if (/\\(?![\\n])/.test(rest)) throw wrong("a backslash that escapes nothing");
        help = [name, rest];
      } else {
        if (!TYPES.has(rest)) throw wrong("no such type");
        if (help?.[0] !== name) throw wrong("no HELP before it");
        families.set(name, (current = { name, help: help[1], type: rest, series: [] }));
      }
      continue;
    }
    if (line.startsWith("#")) throw wrong("neither HELP nor TYPE");
    const series = readSeries(line, wrong);
    if (current === undefined || !belongs(series.name, current)) throw wrong("not below its TYPE");
    const key = `${series.name}${JSON.stringify(Object.entries(series.labels).toSorted())}`;
    if (seen.has(key)) throw wrong("the same series twice");
    seen.add(key);
    if ((current.type === "counter" || current.type === "histogram") && !(series.value >= 0)) throw wrong("less than nothing");
    current.series.push(series);
  }
  for (const family of families.values()) {
    if (family.type === "counter" && !family.name.endsWith("_total")) throw new Error(`${family.name} is a counter and does not end with _total`);
    if (family.type === "histogram") checkHistogram(family);
  }
  return families;
}

function belongs(name: string, { name: family, type }: MetricFamily): boolean {
  const parts: readonly string[] = type === "histogram" || type === "summary" ? PARTS[type] : [""];
  return parts.some((part) => name === family + part);
}

function readSeries(line: string, wrong: (what: string) => Error): Series {
  const name = NAME.exec(line)?.[0];
  if (name === undefined) throw wrong("no name");
  const labels: Record<string, string> = {};
  let at = name.length;
  if (line[at] === "{") {
    at++;
    while (line[at] !== "}") {
      const label = LABEL.exec(line.slice(at))?.[0];
      if (label === undefined) throw wrong("no label name");
      if (label.startsWith("__") || label in labels) throw wrong(`label ${label}`);
      at += label.length;
      const value = /^="((?:[^"\\]|\\[\\"n])*)"/.exec(line.slice(at));
      if (value === null) throw wrong(`the value of ${label}`);
      labels[label] = value[1]!.replaceAll(/\\([\\"n])/g, (_, escaped: string) => (escaped === "n" ? "\n" : escaped));
      at += value[0].length;
      if (line[at] === ",") at++;
      else if (line[at] !== "}") throw wrong("neither a further label nor the end of them");
    }
    at++;
  }
  const value = /^ ([+-]?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|Inf)|NaN)$/.exec(line.slice(at))?.[1];
  if (value === undefined) throw wrong("no value, or something behind it");
  return { name, labels, value: Number(value.replace("Inf", "Infinity")) };
}

/** Buckets go up, the last is +Inf and as many as the count. */
function checkHistogram({ name, series }: MetricFamily): void {
  const groups = new Map<string, Series[]>();
  for (const each of series) {
    const { le: _, ...labels } = each.labels;
    const key = JSON.stringify(labels);
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  for (const [key, group] of groups) {
    const buckets = group.filter((each) => each.name === `${name}_bucket`);
    const [sum, ...sums] = group.filter((each) => each.name === `${name}_sum`);
    const [count, ...counts] = group.filter((each) => each.name === `${name}_count`);
    if (sum === undefined || count === undefined || sums.length + counts.length > 0) throw new Error(`${name}${key} has not one sum and one count`);
    const bounds = buckets.map(({ labels }) => Number(labels["le"]!.replace("Inf", "Infinity")));
    if (bounds.at(-1) !== Number.POSITIVE_INFINITY || bounds.some((bound, index) => !(index === 0 || bound > bounds[index - 1]!))) throw new Error(`${name}${key} has wrong bounds: ${bounds.join(" ")}`);
    if (buckets.some(({ value }, index) => index > 0 && value < buckets[index - 1]!.value)) throw new Error(`${name}${key}: buckets go down`);
    if (buckets.at(-1)!.value !== count.value) throw new Error(`${name}${key}: the last bucket is not the count`);
  }
}

/** What a scrape tells. */
export class Scrape {
  readonly families: ReadonlyMap<string, MetricFamily>;
  readonly text: string;

  constructor(text: string) {
    this.text = text;
    this.families = parsePrometheus(text);
  }

  /** Of all series of this name that have these labels, added up; undefined: there are none. */
  find(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const family = this.families.get(name) ?? this.families.get(name.replace(/_(bucket|sum|count)$/, ""));
    const found = family?.series.filter((each) => each.name === name && Object.entries(labels).every(([label, value]) => each.labels[label] === value)) ?? [];
    return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
  }
}

/** How rows of the scoreboard become samples: what listeners, routes, upstreams and targets have in common. */
import { CAUSE_NAMES, CAUSES } from "../observability/cause.ts";
import { CLASSES, ENDED, type Histogram, type Table } from "../scoreboard/scoreboard.ts";
import { bucketLabels, type Family, histogramSamples, type Labels, type Sample } from "./family.ts";
import type { MetricsSources } from "./sources.ts";

/** One listener, route, upstream or target. */
export interface Row {
  readonly slot: number;
  readonly labels: Labels;
}

/** Of one kind: where their rows are, and which there are now. */
export interface Kind {
  /** `fairlead_` and this begin the names. */
  readonly prefix: string;
  readonly labels: readonly string[];
  readonly table: (sources: MetricsSources) => Table;
  readonly rows: (sources: MetricsSources) => readonly Row[];
}

/** A total of each row. */
export function total(kind: Kind, name: string, help: string, cell: number): Family {
  return {
    name: `fairlead_${kind.prefix}_${name}_total`,
    type: "counter",
    help,
    labels: kind.labels,
    read: (sources) => {
      const table = kind.table(sources);
      return kind.rows(sources).map(({ slot, labels }) => ({ labels, value: table.sum(slot, cell) }));
    },
  };
}

/** Totals that one more label tells apart. */
export function totals(kind: Kind, name: string, help: string, label: string, cells: Readonly<Record<string, number>>): Family {
  const values = Object.entries(cells);
  return {
    name: `fairlead_${kind.prefix}_${name}_total`,
    type: "counter",
    help,
    labels: [...kind.labels, label],
    read: (sources) => {
      const table = kind.table(sources);
      return kind.rows(sources).flatMap(({ slot, labels }) => values.map(([value, cell]) => ({ labels: { ...labels, [label]: value }, value: table.sum(slot, cell) })));
    },
  };
}

export function gauge(kind: Kind, name: string, help: string, valueOf: (slot: number, sources: MetricsSources) => number): Family {
  return {
    name: `fairlead_${kind.prefix}_${name}`,
    type: "gauge",
    help,
    labels: kind.labels,
    read: (sources) => kind.rows(sources).map(({ slot, labels }) => ({ labels, value: Math.max(0, valueOf(slot, sources)) })),
  };
}

/** How exchanges ended, by class. */
export function ended(kind: Kind, help: string): Family {
  return {
    name: `fairlead_${kind.prefix}_requests_total`,
    type: "counter",
    help,
    labels: [...kind.labels, "code"],
    read: (sources) => {
      const table = kind.table(sources);
      return kind.rows(sources).flatMap(({ slot, labels }) => table.sums(slot, ENDED, CLASSES.length).map((value, index) => ({ labels: { ...labels, code: CLASSES[index]! }, value })));
    },
  };
}

export function durations(kind: Kind, name: string, help: string, cell?: number): Family {
  return histogram(kind, name, help, (slot, sources) => kind.table(sources).histogram(slot, cell));
}

export function histogram(kind: Kind, name: string, help: string, valueOf: (slot: number, sources: MetricsSources) => Histogram): Family {
  const full = `fairlead_${kind.prefix}_${name}_seconds`;
  return {
    name: full,
    type: "histogram",
    help,
    labels: kind.labels,
    read: (sources) => {
      const les = bucketLabels(sources.scoreboard.bounds.list);
      const samples: Sample[] = [];
      for (const { slot, labels } of kind.rows(sources)) histogramSamples(full, labels, valueOf(slot, sources), les, samples);
      return samples;
    },
  };
}

/** Those that happened: which of the list can happen at all differs from row to row. */
export function causes(kind: Kind, name: string, help: string, cell: number): Family {
  return {
    name: `fairlead_${kind.prefix}_${name}_total`,
    type: "counter",
    help,
    labels: [...kind.labels, "cause"],
    read: (sources) => {
      const table = kind.table(sources);
      return kind.rows(sources).flatMap(({ slot, labels }) => table.sums(slot, cell, CAUSE_NAMES.length).flatMap((value, index) => (value === 0 || CAUSES[CAUSE_NAMES[index]!].side === "none" ? [] : [{ labels: { ...labels, cause: CAUSE_NAMES[index]! }, value }])));
    },
  };
}

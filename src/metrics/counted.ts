/** How rows of the scoreboard become samples: what listeners, routes, upstreams and targets have in common. */
import { CAUSE_NAMES, CAUSES } from "../observability/cause.ts";
import { CLASSES, ENDED, type Table } from "../scoreboard/scoreboard.ts";
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
  return counter(kind, name, help, [], ({ slot, labels }, table) => [{ labels, value: table.sum(slot, cell) }]);
}

/** Totals that one more label tells apart. */
export function totals(kind: Kind, name: string, help: string, label: string, cells: Readonly<Record<string, number>>): Family {
  const values = Object.entries(cells);
  return counter(kind, name, help, [label], ({ slot, labels }, table) => values.map(([value, cell]) => ({ labels: { ...labels, [label]: value }, value: table.sum(slot, cell) })));
}

/** How exchanges ended, by class. */
export function ended(kind: Kind, help: string): Family {
  return counter(kind, "requests", help, ["code"], ({ slot, labels }, table) => table.sums(slot, ENDED, CLASSES.length).map((value, index) => ({ labels: { ...labels, code: CLASSES[index]! }, value })));
}

/** Those that happened: which of the list can happen at all differs from row to row. */
export function causes(kind: Kind, name: string, help: string, cell: number): Family {
  return counter(kind, name, help, ["cause"], ({ slot, labels }, table) =>
    table.sums(slot, cell, CAUSE_NAMES.length).flatMap((value, index) => {
      const cause = CAUSE_NAMES[index]!;
      return value === 0 || CAUSES[cause].side === "none" ? [] : [{ labels: { ...labels, cause }, value }];
    }),
  );
}

function counter(kind: Kind, name: string, help: string, more: readonly string[], samplesOf: (row: Row, table: Table) => Iterable<Sample>): Family {
  return {
    name: `fairlead_${kind.prefix}_${name}_total`,
    type: "counter",
    help,
    labels: [...kind.labels, ...more],
    *read(sources) {
      const table = kind.table(sources);
      for (const row of kind.rows(sources)) yield* samplesOf(row, table);
    },
  };
}

export function gauge(kind: Kind, name: string, help: string, valueOf: (slot: number, sources: MetricsSources) => number): Family {
  return {
    name: `fairlead_${kind.prefix}_${name}`,
    type: "gauge",
    help,
    labels: kind.labels,
    *read(sources) {
      for (const { slot, labels } of kind.rows(sources)) yield { labels, value: Math.max(0, valueOf(slot, sources)) };
    },
  };
}

/** @param cell the histogram's first; absent: how long exchanges took */
export function durations(kind: Kind, name: string, help: string, cell?: number): Family {
  const full = `fairlead_${kind.prefix}_${name}_seconds`;
  return {
    name: full,
    type: "histogram",
    help,
    labels: kind.labels,
    *read(sources) {
      const les = bucketLabels(sources.scoreboard.bounds.list);
      const table = kind.table(sources);
      for (const { slot, labels } of kind.rows(sources)) yield* histogramSamples(full, labels, table.histogram(slot, cell), les);
    },
  };
}

/** The comparison as a table for the terminal. */
import type { Compared } from "./comparison.ts";

interface Column {
  readonly title: string;
  readonly value: (compared: Compared) => string;
}

const COLUMNS: readonly Column[] = [
  { title: "policy", value: ({ label }) => label },
  { title: "p50", value: ({ result }) => milliseconds(result.p50) },
  { title: "p99", value: ({ result }) => milliseconds(result.p99) },
  { title: "p99.9", value: ({ result }) => milliseconds(result.p999) },
  { title: "fairness", value: ({ result }) => result.fairness.toFixed(3) },
  { title: "hottest", value: ({ result }) => `${result.hottest.toFixed(2)}×+1` },
  { title: "moved", value: ({ result }) => percent(result.moved) },
  { title: "failed", value: ({ result }) => percent(result.failures / result.requests) },
  { title: "retries", value: ({ result }) => percent(result.retries / result.requests) },
];

export const LEGEND = `p50, p99, p99.9: what clients wait. fairness: of requests by weight, 1 is even (Jain). hottest: the most that one target had open,
in means over the targets in use. moved: requests that went to another target than the same client's last one.`;

export function table(all: readonly Compared[]): string {
  const rows = [COLUMNS.map(({ title }) => title), ...all.map((compared) => COLUMNS.map(({ value }) => value(compared)))];
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join("  ").trimEnd()).join("\n");
}

export function milliseconds(value: number): string {
  if (Number.isNaN(value)) return "-";
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return value >= 100 ? `${Math.round(value)} ms` : `${value.toFixed(1)} ms`;
}

export function percent(share: number): string {
  if (share === 0) return "0";
  return share < 0.001 ? `${(share * 100).toFixed(3)} %` : `${(share * 100).toFixed(1)} %`;
}

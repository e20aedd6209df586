/** Which lines the charts have, and where they find their values. */
import { count, milliseconds, rate } from "../../view/format.ts";
import type { HistoryPoint } from "../../view/shapes.ts";

export interface Series {
  readonly label: string;
  /** Of palette.ts. */
  readonly colour: string;
  /** Beside the colour: pixels drawn and left out. */
  readonly dash: readonly number[];
  readonly of: (point: HistoryPoint) => number | null;
}

export interface ChartKind {
  readonly title: string;
  readonly series: readonly Series[];
  readonly format: (value: number | null) => string;
  /** So that a few errors are seen beside many good replies: linear up to one, logarithmic beyond. */
  readonly compressed: boolean;
  /** Of things that are not had in parts. */
  readonly whole: boolean;
}

const perSecond = (value: number | null): string => rate(value ?? 0);

export const CHARTS: readonly ChartKind[] = [
  { title: "Requests per second", format: perSecond, compressed: false, whole: false, series: [{ label: "all", colour: "chart-1", dash: [], of: ({ rate }) => rate }] },
  {
    title: "Codes per second",
    format: perSecond,
    compressed: true,
    whole: false,
    series: [
      { label: "2xx", colour: "ok", dash: [], of: ({ rate_by_class: by }) => by["2xx"] ?? 0 },
      { label: "3xx", colour: "chart-1", dash: [8, 3], of: ({ rate_by_class: by }) => by["3xx"] ?? 0 },
      { label: "4xx", colour: "chart-2", dash: [4, 3], of: ({ rate_by_class: by }) => by["4xx"] ?? 0 },
      { label: "5xx", colour: "bad", dash: [], of: ({ rate_by_class: by }) => by["5xx"] ?? 0 },
      { label: "failed", colour: "chart-3", dash: [2, 2], of: ({ rate_by_class: by }) => by.failed ?? 0 },
    ],
  },
  {
    title: "Latency",
    format: milliseconds,
    compressed: false,
    whole: false,
    series: [
      { label: "p50", colour: "chart-1", dash: [], of: ({ p50_ms }) => p50_ms },
      { label: "p99", colour: "chart-2", dash: [5, 2], of: ({ p99_ms }) => p99_ms },
    ],
  },
  { title: "Open requests", format: (value) => count(value ?? 0), compressed: false, whole: true, series: [{ label: "open", colour: "chart-1", dash: [], of: ({ open }) => open }] },
];

/** One chart: lines over time, the values under the pointer or the keyboard's cursor above it. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { clock } from "../../view/format.ts";
import type { HistoryPoint } from "../../view/shapes.ts";
import { useStore } from "../store.ts";
import { colour, colours } from "../theme.ts";
import type { ChartKind } from "./series.ts";

const HEIGHT = 132;
/** The hour, in s; of an instance that is younger, all of it. */
const LONGEST = 3600;
const SHORTEST = 300;
/** Between marks of what is not had in parts. */
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];
/** Marks of a compressed axis. */
const POWERS = [0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];

interface ChartProps {
  readonly kind: ChartKind;
  readonly points: readonly HistoryPoint[];
  /** Charts of one group show the same point in time. */
  readonly group: string;
}

export function Chart({ kind, points, group }: ChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const [at, setAt] = useState<number | undefined>(undefined);
  const moved = useStore(colours);
  const data = useMemo<uPlot.AlignedData>(() => [points.map((point) => Date.parse(point.at) / 1000), ...kind.series.map(({ of }) => points.map(of))], [points, kind]);
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    const element = frame.current!;
    const chart = new uPlot(optionsOf(kind, group, element.clientWidth, setAt), latest.current, element);
    plot.current = chart;
    const observer = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.destroy();
      plot.current = undefined;
    };
  }, [kind, group, moved]);
  useEffect(() => plot.current?.setData(data), [data]);

  const shown = at !== undefined && at < points.length ? points[at] : points.at(-1);
  const move = (event: KeyboardEvent): void => {
    const last = points.length - 1;
    const from = at ?? last + (event.key === "ArrowLeft" ? 1 : 0);
    const steps: Readonly<Record<string, number>> = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last, PageUp: from - 12, PageDown: from + 12 };
    const to = steps[event.key];
    const chart = plot.current;
    if (event.key === "Escape") chart?.setCursor({ left: -10, top: -10 });
    if (to === undefined || chart === undefined || last < 0) return;
    event.preventDefault();
    const index = Math.max(0, Math.min(last, to));
    chart.setCursor({ left: chart.valToPos(data[0][index]!, "x"), top: 1 });
  };
  const values = shown === undefined ? "nothing yet" : kind.series.map(({ label, of }) => `${label} ${kind.format(of(shown))}`).join(", ");
  return (
    <figure class="chart">
      <figcaption>
        <span class="title">{kind.title}</span>
        <span class="readout">
          {shown !== undefined &&
            kind.series.map(({ label, colour: name, dash, of }) => (
              <span class="value" key={label}>
                <svg width="16" height="8" viewBox="0 0 16 8" aria-hidden="true">
                  <line x1="0" x2="16" y1="4" y2="4" class={`stroke-${name}`} stroke-width="2" stroke-dasharray={dash.join(" ")} />
                </svg>
                {label} <b>{kind.format(of(shown))}</b>
              </span>
            ))}
          <span class="when">{at === undefined || shown === undefined ? "now" : clock(shown.at)}</span>
        </span>
      </figcaption>
      {/* A slider is what moves by arrows and tells a value at each place. */}
      <div
        ref={frame}
        class="plot"
        role="slider"
        tabIndex={0}
        aria-label={`${kind.title} over the last hour; the table below has the numbers`}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, points.length - 1)}
        aria-valuenow={at ?? Math.max(0, points.length - 1)}
        aria-valuetext={`${shown === undefined ? "" : `${clock(shown.at)}: `}${values}`}
        onKeyDown={move}
        onBlur={() => plot.current?.setCursor({ left: -10, top: -10 })}
      />
    </figure>
  );
}

function optionsOf(kind: ChartKind, group: string, width: number, setAt: (index: number | undefined) => void): uPlot.Options {
  const line = { stroke: colour("line"), width: 1 };
  const axis: uPlot.Axis = { stroke: colour("soft"), font: "11px system-ui, sans-serif", grid: line, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    padding: [8, 6, 0, 0],
    pxAlign: true,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, sync: { key: group, setSeries: false }, points: { size: 6 } },
    scales: {
      x: {
        time: true,
        range: ({ data: [times] }) => {
          const end = times.at(-1) ?? Date.now() / 1000;
          return [Math.max(end - LONGEST, Math.min(times[0] ?? end, end - SHORTEST)), end];
        },
      },
      y: { ...(kind.compressed ? { distr: 4 as const, asinh: 1 } : {}), range: (_, __, max) => [0, Math.max(1, (max ?? 0) * 1.08)] },
    },
    axes: [
      { ...axis, space: 70, size: 24, values: (_, ticks) => ticks.map((tick) => clock(tick * 1000).slice(0, 5)) },
      { ...axis, size: 52, space: 28, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : kind.format(tick))), ...(kind.compressed ? { splits: (_, __, ___, max) => POWERS.filter((power) => power <= max), filter: (_, splits) => splits } : {}), ...(kind.whole ? { incrs: WHOLE } : {}) },
    ],
    series: [{}, ...kind.series.map(({ label, colour: name, dash }) => ({ label, stroke: colour(name), width: 1.5, dash: [...dash], points: { show: false }, spanGaps: false }))],
    hooks: { setCursor: [({ cursor: { idx } }) => setAt(idx ?? undefined)] },
  };
}

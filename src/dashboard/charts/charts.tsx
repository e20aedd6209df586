/** The charts of the instance, an upstream or a target, and the same numbers as a table. */
import { clock, NOTHING } from "../../view/format.ts";
import type { History } from "../../view/shapes.ts";
import { Failure } from "../parts/failure.tsx";
import { useFetched } from "../use-fetched.ts";
import { Chart } from "./chart.tsx";
import { CHARTS } from "./series.ts";

/** The table has a row for each so long, in ms. */
const ROW = 60_000;
const REFRESH = 5_000;

export function Charts({ upstream, target }: { readonly upstream?: string; readonly target?: string }) {
  const query = new URLSearchParams({ ...(upstream === undefined ? {} : { upstream }), ...(target === undefined ? {} : { target }) }).toString();
  const { data, error } = useFetched<History>(`/v1/history${query === "" ? "" : `?${query}`}`, REFRESH);
  return (
    <section class="charts" aria-label="The last hour">
      <h2>Last hour</h2>
      <Failure error={error} />
      <div class="grid">
        {CHARTS.map((kind) => (
          <Chart key={kind.title} kind={kind} points={data?.points ?? []} group={`charts:${query}`} />
        ))}
      </div>
      {data !== undefined && <Table history={data} />}
    </section>
  );
}

function Table({ history: { points, interval_ms: interval } }: { readonly history: History }) {
  const every = Math.max(1, Math.round(ROW / interval));
  const rows = points.filter((_, index) => (points.length - 1 - index) % every === 0).toReversed();
  return (
    <details>
      <summary>As a table</summary>
      <div class="scroll" tabIndex={0} role="region" aria-label="The last hour as a table">
        <table class="numbers">
          <thead>
            <tr>
              <th scope="col">Time</th>
              {CHARTS.flatMap(({ title, series }) => series.map(({ label }) => <th key={title + label} scope="col">{series.length === 1 ? title : label}</th>))}
            </tr>
          </thead>
          <tbody>
            {rows.map((point) => (
              <tr key={point.at}>
                <th scope="row">{clock(point.at)}</th>
                {CHARTS.flatMap(({ title, series, format }) => series.map(({ label, of }) => <td key={title + label}>{of(point) === null ? NOTHING : format(of(point))}</td>))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

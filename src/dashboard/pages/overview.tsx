/** The instance: key numbers, the picture, the last hour. */
import { bytes, count, milliseconds, percent, rate } from "../../view/format.ts";
import { errorLevel, errorRate, errorShare } from "../../view/health.ts";
import type { Overview } from "../../view/shapes.ts";
import { Charts } from "../charts/charts.tsx";
import { Figure } from "../parts/figure.tsx";
import { PictureView } from "../picture/picture.tsx";

export function OverviewPage({ overview, query }: { readonly overview: Overview; readonly query: string }) {
  const { totals } = overview;
  return (
    <>
      <h1 class="hidden">Overview</h1>
      <dl class="figures">
        <Figure name="Requests" value={`${rate(totals.rate)}/s`} />
        <Figure name="Errors" value={percent(errorShare(totals))} level={errorLevel(totals)} note={`${rate(errorRate(totals))}/s`} />
        <Figure name="p50" value={milliseconds(totals.p50_ms)} />
        <Figure name="p99" value={milliseconds(totals.p99_ms)} />
        <Figure name="Open requests" value={count(totals.open_requests)} />
        <Figure name="Clients" value={count(totals.open_clients)} />
        <Figure name="In" value={`${bytes(totals.bytes_in_rate)}/s`} />
        <Figure name="Out" value={`${bytes(totals.bytes_out_rate)}/s`} />
      </dl>
      <section aria-label="Listeners, routes, upstreams and targets">
        <PictureView overview={overview} query={query} />
      </section>
      <Charts />
    </>
  );
}

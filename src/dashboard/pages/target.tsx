/** One target: its state and why, what can be done with it, its last hour, its timeline. */
import { clock, count, milliseconds, percent, rate, span } from "../../view/format.ts";
import { errorLevel, errorShare, stateLevel, targetHealth } from "../../view/health.ts";
import type { Overview, TargetView, UpstreamView } from "../../view/shapes.ts";
import { Charts } from "../charts/charts.tsx";
import { Events } from "../parts/events.tsx";
import { Figure } from "../parts/figure.tsx";
import { Badge } from "../parts/mark.tsx";
import { Missing } from "../parts/missing.tsx";
import { TargetActions } from "../parts/target-actions.tsx";
import { hrefOf } from "../route.ts";
import { useUpstream } from "../use-upstream.ts";

interface TargetPageProps {
  readonly overview: Overview;
  readonly upstream: string;
  readonly address: string;
}

export function TargetPage({ overview, upstream: name, address }: TargetPageProps) {
  const upstream = useUpstream(overview, name);
  const target = upstream?.targets.find((one) => one.address === address);
  if (upstream === undefined || target === undefined) return <Missing what={`${address} is no target of upstream “${name}”.`} />;
  const { level, word } = targetHealth(target);
  return (
    <>
      <nav class="crumbs" aria-label="Where this is">
        <a href={hrefOf({ page: "overview" })}>Overview</a> / <a href={hrefOf({ page: "upstream", upstream: name })}>{name}</a>
      </nav>
      <h1>
        <span class="address">{address}</span> <Badge level={level} word={word} />
      </h1>
      <State target={target} />
      <TargetActions upstream={upstream} target={target} />
      <dl class="figures">
        <Figure name="Requests" value={`${rate(target.rate)}/s`} />
        <Figure name="Errors" value={percent(errorShare(target))} level={errorLevel(target)} />
        <Figure name="p50" value={milliseconds(target.p50_ms)} />
        <Figure name="p99" value={milliseconds(target.p99_ms)} />
        <Figure name="Open requests" value={count(target.open_requests)} />
        <Figure name="Connections" value={count(target.open_connections)} />
        <Figure name="Share of traffic" value={percent(partOf(upstream, target))} />
      </dl>
      <Events upstream={name} target={address} limit={100} first={8} />
      <Charts upstream={name} target={address} />
      <p>
        <a href={hrefOf({ page: "exchanges", filter: { upstream: name, target: address } })}>Exchanges of this target</a>
      </p>
    </>
  );
}

function partOf({ rate: all }: UpstreamView, { rate: own }: TargetView): number {
  return all === 0 ? 0 : Math.min(1, own / all);
}

/** Why it is as it is. */
function State({ target }: { readonly target: TargetView }) {
  const { state, since, share, weight, zone, tier, check, ejected, latency_ms } = target;
  const level = stateLevel(state);
  const now = Date.now();
  return (
    <dl class="facts">
      <dt>State</dt>
      <dd>
        <b class={level === "ok" ? "" : `level-${level}`}>{state.replaceAll("+", ", ")}</b> since {clock(since)} ({span(now - Date.parse(since))})
      </dd>
      <dt>Last check</dt>
      <dd>
        {check === null ? (
          "none is made"
        ) : (
          <>
            <b class={check.ok ? "" : "level-bad"}>{check.ok ? "passed" : "failed"}</b>
            {check.reason === "" ? "" : `: ${check.reason}`}
            <span class="soft">
              {" "}
              {span(now - Date.parse(check.at))} ago, took {milliseconds(check.milliseconds)}
            </span>
          </>
        )}
      </dd>
      {ejected !== null && (
        <>
          <dt>Ejected</dt>
          <dd>
            by {ejected.detector}, {ejected.times === 1 ? "the first time" : `${ejected.times} times in a row`}; back at {clock(ejected.until)}
            <span class="soft"> in {span(Date.parse(ejected.until) - now)}</span>
          </dd>
        </>
      )}
      <dt>Weight</dt>
      <dd>
        {weight}
        {share !== 1 && `, of which it gets ${percent(share)} now`}
      </dd>
      {(zone !== "" || tier !== 0) && (
        <>
          <dt>Place</dt>
          <dd>
            {zone === "" ? "" : `zone ${zone}, `}tier {tier}
          </dd>
        </>
      )}
      {latency_ms !== null && (
        <>
          <dt>Latency to policies</dt>
          <dd>
            {milliseconds(latency_ms)}
            <span class="soft"> that peak-ewma reckons with; a failure raises it</span>
          </dd>
        </>
      )}
    </dl>
  );
}

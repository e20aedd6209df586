/** One upstream: how it does, its targets as a table, its last hour. */
import { useState } from "preact/hooks";
import { count, milliseconds, percent, rate, span } from "../../view/format.ts";
import { byLevel, errorLevel, errorShare, inRotation, targetHealth, upstreamHealth } from "../../view/health.ts";
import type { Overview, TargetView, UpstreamView } from "../../view/shapes.ts";
import { Charts } from "../charts/charts.tsx";
import { Events } from "../parts/events.tsx";
import { Figure } from "../parts/figure.tsx";
import { Badge } from "../parts/mark.tsx";
import { Missing } from "../parts/missing.tsx";
import { PolicyForm } from "../parts/policy-form.tsx";
import { hrefOf } from "../route.ts";
import { useUpstream } from "../use-upstream.ts";

/** Rows that are drawn at first. */
const MOST = 100;

type Order = (one: TargetView, other: TargetView) => number;
const ORDERS: readonly { readonly name: string; readonly order: Order; readonly number: boolean }[] = [
  { name: "Target", order: (one, other) => one.address.localeCompare(other.address, "en", { numeric: true }), number: false },
  { name: "State", order: (one, other) => byLevel(targetHealth(one).level, targetHealth(other).level), number: false },
  { name: "Requests/s", order: (one, other) => other.rate - one.rate, number: true },
  { name: "Errors", order: (one, other) => errorShare(other) - errorShare(one), number: true },
  { name: "p50", order: (one, other) => (other.p50_ms ?? -1) - (one.p50_ms ?? -1), number: true },
  { name: "p99", order: (one, other) => (other.p99_ms ?? -1) - (one.p99_ms ?? -1), number: true },
  { name: "Open", order: (one, other) => other.open_requests - one.open_requests, number: true },
  { name: "Weight", order: (one, other) => other.weight * other.share - one.weight * one.share, number: true },
];

export function UpstreamPage({ overview, name }: { readonly overview: Overview; readonly name: string }) {
  const upstream = useUpstream(overview, name);
  if (upstream === undefined) return <Missing what={`There is no upstream “${name}”.`} />;
  const { level, word } = upstreamHealth(upstream);
  return (
    <>
      <nav class="crumbs" aria-label="Where this is">
        <a href={hrefOf({ page: "overview" })}>Overview</a>
      </nav>
      <h1>
        Upstream {name} <Badge level={level} word={word} />
      </h1>
      <dl class="figures">
        <Figure name="Requests" value={`${rate(upstream.rate)}/s`} />
        <Figure name="Errors" value={percent(errorShare(upstream))} level={errorLevel(upstream)} />
        <Figure name="p50" value={milliseconds(upstream.p50_ms)} />
        <Figure name="p99" value={milliseconds(upstream.p99_ms)} />
        <Figure name="Open requests" value={count(upstream.open_requests)} />
        <Figure name="Queued" value={count(upstream.queued)} level={upstream.queued > 0 ? "warn" : "ok"} />
        <Figure name="Retries" value={`${rate(upstream.retry_rate)}/s`} note={`${upstream.retries_open} open`} />
        <Figure name="Circuit breaker" value={upstream.breaker ?? "none"} level={upstream.breaker === "open" ? "bad" : upstream.breaker === "half-open" ? "warn" : "ok"} />
        <Figure name="Protocol" value={upstream.protocol} />
      </dl>
      <Targets upstream={upstream} />
      <PolicyForm upstream={upstream} />
      <Events upstream={name} limit={100} first={8} />
      <Charts upstream={name} />
      <p>
        <a href={hrefOf({ page: "exchanges", filter: { upstream: name } })}>Exchanges of this upstream</a>
      </p>
    </>
  );
}

function Targets({ upstream }: { readonly upstream: UpstreamView }) {
  const [chosen, setChosen] = useState("State");
  const [filter, setFilter] = useState("");
  const [all, setAll] = useState(false);
  const words = filter.trim().toLowerCase();
  const { order } = ORDERS.find(({ name }) => name === chosen)!;
  const found = upstream.targets.filter(({ address, state }) => address.toLowerCase().includes(words) || state.includes(words)).toSorted(order);
  const shown = all ? found : found.slice(0, MOST);
  return (
    <section aria-label="Targets">
      <div class="heading">
        <h2>
          Targets <span class="number">{inRotation(upstream)} of {upstream.target_count} up</span>
        </h2>
        {upstream.target_count > 10 && <input type="search" aria-label="Show only targets with this in their address or state" placeholder="Address or state" value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />}
      </div>
      <div class="scroll" tabIndex={0} role="region" aria-label="Targets as a table">
        <table class="numbers targets">
          <thead>
            <tr>
              {ORDERS.map(({ name, number }) => (
                <th key={name} scope="col" aria-sort={name === chosen ? (number ? "descending" : "ascending") : undefined} class={number ? "" : "text"}>
                  <button type="button" onClick={() => setChosen(name)}>
                    {name}
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((target) => (
              <Row key={target.address} upstream={upstream.name} target={target} />
            ))}
          </tbody>
        </table>
      </div>
      {found.length === 0 && <p class="nothing">No target is like that.</p>}
      {found.length > shown.length && (
        <button type="button" onClick={() => setAll(true)}>
          and {found.length - shown.length} more
        </button>
      )}
    </section>
  );
}

function Row({ upstream, target }: { readonly upstream: string; readonly target: TargetView }) {
  const { level, word } = targetHealth(target);
  const errors = errorLevel(target);
  return (
    <tr class={`at-${level}`}>
      <th scope="row">
        <a href={hrefOf({ page: "target", upstream, target: target.address })}>{target.address}</a>
      </th>
      <td class="text">
        <Badge level={level} word={word} />
        {level !== "ok" && <span class="soft"> {span(Date.now() - Date.parse(target.since))}</span>}
      </td>
      <td>{rate(target.rate)}</td>
      <td class={errors === "ok" ? "" : `level-${errors}`}>{percent(errorShare(target))}</td>
      <td>{milliseconds(target.p50_ms)}</td>
      <td>{milliseconds(target.p99_ms)}</td>
      <td>{count(target.open_requests)}</td>
      <td>{target.share === 1 ? target.weight : `${target.weight} × ${percent(target.share)}`}</td>
    </tr>
  );
}

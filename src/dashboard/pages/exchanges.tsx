/** Recent exchanges that were slow, failed, were tried again or were sampled. */
import { useState } from "preact/hooks";
import { clock, milliseconds } from "../../view/format.ts";
import type { ExchangeView, Overview } from "../../view/shapes.ts";
import { Failure } from "../parts/failure.tsx";
import { Mark } from "../parts/mark.tsx";
import { exchangeLevel, exchangeWord } from "../parts/exchange-level.ts";
import { go } from "../place.ts";
import { hrefOf } from "../route.ts";
import { useFetched } from "../use-fetched.ts";

const LIMIT = 100;
const REFRESH = 3_000;
const FILTERS = [
  { key: "upstream", label: "Upstream" },
  { key: "target", label: "Target" },
  { key: "cause", label: "Cause" },
  { key: "request_id", label: "Request id" },
] as const;

interface ExchangesPageProps {
  readonly overview: Overview;
  readonly filter: Readonly<Record<string, string>>;
}

export function ExchangesPage({ overview, filter }: ExchangesPageProps) {
  const query = new URLSearchParams({ ...filter, limit: String(LIMIT) }).toString();
  const [paused, setPaused] = useState(false);
  const { data, error } = useFetched<{ readonly exchanges: readonly ExchangeView[] }>(`/v1/exchanges?${query}`, paused ? 0 : REFRESH);
  const exchanges = data?.exchanges ?? [];
  const known: Readonly<Record<string, readonly string[]>> = { upstream: overview.upstreams.map(({ name }) => name), cause: [...new Set(exchanges.map(({ cause }) => cause))].toSorted() };
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget as HTMLFormElement);
    const filled = [...fields].map(([key, value]) => [key, String(value).trim()] as const).filter(([, value]) => value !== "");
    go({ page: "exchanges", filter: Object.fromEntries(filled) });
  };
  return (
    <>
      <h1>Exchanges</h1>
      <p class="soft">The last ones that failed, were slow, were tried again, or were sampled; newest first.</p>
      <form class="filters" onSubmit={submit} key={query}>
        {FILTERS.map(({ key, label }) => (
          <label key={key}>
            {label}
            <input name={key} defaultValue={filter[key] ?? ""} list={`known-${key}`} spellcheck={false} />
            {known[key] !== undefined && (
              <datalist id={`known-${key}`}>
                {known[key].map((one) => (
                  <option key={one} value={one} />
                ))}
              </datalist>
            )}
          </label>
        ))}
        <div class="buttons">
          <button type="submit" class="primary">
            Show
          </button>
          {Object.keys(filter).length > 0 && (
            <button type="button" onClick={() => go({ page: "exchanges", filter: {} })}>
              All
            </button>
          )}
          <button type="button" aria-pressed={paused} onClick={() => setPaused(!paused)}>
            {paused ? "Go on" : "Hold still"}
          </button>
        </div>
      </form>
      <Failure error={error} />
      {data !== undefined && exchanges.length === 0 && <p class="nothing">None is like that.</p>}
      {exchanges.length > 0 && <Causes exchanges={exchanges} filter={filter} />}
      {exchanges.length > 0 && <List exchanges={exchanges} />}
    </>
  );
}

/** How often each cause, most often first: each leads to those alone. */
function Causes({ exchanges, filter }: { readonly exchanges: readonly ExchangeView[]; readonly filter: Readonly<Record<string, string>> }) {
  const groups = Object.entries(Object.groupBy(exchanges, ({ cause }) => cause)).toSorted(([, one], [, other]) => other!.length - one!.length);
  if (groups.length < 2) return null;
  return (
    <ul class="causes" aria-label="Causes">
      {groups.map(([cause, all]) => (
        <li key={cause}>
          <a href={hrefOf({ page: "exchanges", filter: { ...filter, cause } })}>{cause}</a> <span class="soft">{all!.length}</span>
        </li>
      ))}
    </ul>
  );
}

function List({ exchanges }: { readonly exchanges: readonly ExchangeView[] }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Exchanges as a table">
      <table class="numbers exchanges">
        <thead>
          <tr>
            <th scope="col" class="text">
              Time
            </th>
            <th scope="col">Status</th>
            <th scope="col" class="text">
              Cause
            </th>
            <th scope="col" class="text">
              Request
            </th>
            <th scope="col" class="text">
              Upstream, target
            </th>
            <th scope="col">Tries</th>
            <th scope="col">Took</th>
          </tr>
        </thead>
        <tbody>
          {exchanges.map((exchange) => {
            const level = exchangeLevel(exchange);
            return (
              <tr key={exchange.id} class={`at-${level}`}>
                <th scope="row" class="text">
                  <a href={hrefOf({ page: "exchange", id: String(exchange.id) })}>{clock(exchange.at)}</a>
                </th>
                <td>{exchange.status === 0 ? "–" : exchange.status}</td>
                <td class="text nowrap">
                  <Mark level={level} /> {exchangeWord(exchange)}
                </td>
                <td class="text path">
                  {exchange.method === "" ? exchange.protocol : `${exchange.method} ${exchange.host}${exchange.path}`}
                </td>
                <td class="text nowrap">
                  {exchange.upstream} <span class="soft">{exchange.target}</span>
                </td>
                <td>{exchange.attempts}</td>
                <td>{milliseconds(exchange.duration_ms)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

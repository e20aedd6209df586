/** One exchange's decision record: who could have had it, who got it, what came of each try, and when. */
import { bytes, milliseconds, moment, plural } from "../../view/format.ts";
import type { ExchangeView, TryView } from "../../view/shapes.ts";
import { exchangeLevel, exchangeWord } from "../parts/exchange-level.ts";
import { Failure } from "../parts/failure.tsx";
import { Badge, Mark } from "../parts/mark.tsx";
import { hrefOf } from "../route.ts";
import { useFetched } from "../use-fetched.ts";

export function ExchangePage({ id }: { readonly id: string }) {
  const { data, error } = useFetched<ExchangeView>(`/v1/exchanges/${encodeURIComponent(id)}`);
  return (
    <>
      <nav class="crumbs" aria-label="Where this is">
        <a href={hrefOf({ page: "exchanges", filter: {} })}>Exchanges</a>
      </nav>
      <h1>
        {data === undefined ? `Exchange ${id}` : <span class="address">{data.method === "" ? data.protocol : `${data.method} ${data.path}`}</span>} {data !== undefined && <Badge level={exchangeLevel(data)} word={exchangeWord(data)} />}
      </h1>
      <Failure error={error} />
      {data !== undefined && <Record exchange={data} />}
    </>
  );
}

function Record({ exchange }: { readonly exchange: ExchangeView }) {
  const { tries, candidates, candidate_count: all, upstream } = exchange;
  const facts: readonly (readonly [string, string])[] = [
    ["When", moment(exchange.at)],
    ["Client got", `${exchange.status === 0 ? "no status" : exchange.status} after ${milliseconds(exchange.duration_ms)}`],
    ...(exchange.fault === "" ? [] : [["Fault", exchange.fault] as const]),
    ["Why", exchange.detail === "" ? exchange.cause : `${exchange.cause}: ${exchange.detail}`],
    ["Kept for", exchange.why.join(", ")],
    ["Host", exchange.host],
    ["Client", exchange.client],
    ["Protocol", exchange.protocol],
    ["Request id", exchange.request_id],
    ["Listener", exchange.listener],
    ["Route", exchange.route],
    ["Bytes", `${bytes(exchange.bytes_in)} in, ${bytes(exchange.bytes_out)} out`],
  ];
  return (
    <>
      <dl class="facts">
        {facts
          .filter(([, value]) => value !== "")
          .map(([name, value]) => (
            <>
              <dt key={`${name} name`}>{name}</dt>
              <dd key={name}>{value}</dd>
            </>
          ))}
      </dl>
      <h2>Phases</h2>
      <Phases exchange={exchange} />
      <h2>Tries</h2>
      {tries.length === 0 && <p class="nothing">No target was asked.</p>}
      <ol class="tries">
        {tries.map((one, index) => (
          <li key={`${index}`}>
            <Mark level={one.cause === "done" && one.status < 500 ? "ok" : "bad"} /> <a href={hrefOf({ page: "target", upstream, target: one.target })}>{one.target}</a>
            {one.hedge && <span class="note"> hedge</span>}: {one.cause}
            {one.detail !== "" && ` (${one.detail})`}
            {one.status !== 0 && `, status ${one.status}`}
            <span class="soft">
              {" "}
              at {milliseconds(one.at_ms)}, took {milliseconds(one.duration_ms)}
            </span>
          </li>
        ))}
      </ol>
      <h2>Candidates</h2>
      <p class="soft">
        {all === 0 ? "No target of" : `${plural(all, "target")} of`} {upstream === "" ? "any upstream" : <a href={hrefOf({ page: "upstream", upstream })}>{upstream}</a>} {all === 1 ? "was" : "were"} usable when the first was picked{all > candidates.length && candidates.length > 0 ? `; ${candidates.length} of them are known` : ""}.
      </p>
      <ul class="candidates">
        {candidates.map((name) => (
          <li key={name} class={name === tries[0]?.target ? "picked" : ""}>
            {name}
            {name === tries[0]?.target && <b> picked first</b>}
          </li>
        ))}
      </ul>
    </>
  );
}

interface Bar {
  readonly name: string;
  readonly kind: "queued" | "connect" | "wait" | "rest" | "failed";
  readonly from: number;
  readonly length: number;
}

/** Each try a row: connect, wait for the first byte, the rest. */
function Phases({ exchange }: { readonly exchange: ExchangeView }) {
  const whole = Math.max(exchange.duration_ms, 0.001);
  const rows = [
    ...(exchange.queued_ms > 0 ? [{ name: "queue", bars: [{ name: "queued", kind: "queued", from: 0, length: exchange.queued_ms } as Bar] }] : []),
    ...exchange.tries.map((one) => ({ name: one.target, bars: barsOf(one) })),
  ];
  if (rows.length === 0) return <p class="nothing">It ended before a target was asked, after {milliseconds(exchange.duration_ms)}.</p>;
  return (
    <table class="phases">
      <tbody>
        {rows.map(({ name, bars }, index) => (
          <tr key={`${index}`}>
            <th scope="row">{name}</th>
            <td>
              <svg viewBox="0 0 1000 16" preserveAspectRatio="none" aria-hidden="true">
                <rect class="track" x="0" y="7" width="1000" height="2" />
                {bars.map(({ name, kind, from, length }) => (
                  <rect key={name} class={`phase-${kind}`} x={(from / whole) * 1000} y={kind === "wait" ? 3 : 1} width={Math.max(2, (length / whole) * 1000)} height={kind === "wait" ? 10 : 14} />
                ))}
              </svg>
              <span class="soft">{bars.map(({ name, length }) => `${name} ${milliseconds(length)}`).join(", ")}</span>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function barsOf({ at_ms: at, connect_ms: connect, first_byte_ms: firstByte, duration_ms: duration, cause }: TryView): Bar[] {
  const bars: Bar[] = [];
  if (connect > 0) bars.push({ name: "connect", kind: "connect", from: at, length: connect });
  const waited = (firstByte > 0 ? firstByte : duration) - connect;
  if (waited > 0) bars.push(firstByte > 0 ? { name: "first byte", kind: "wait", from: at + connect, length: waited } : { name: cause === "done" ? "wait" : cause, kind: "failed", from: at + connect, length: waited });
  if (firstByte > 0 && duration > firstByte) bars.push({ name: "rest", kind: "rest", from: at + firstByte, length: duration - firstByte });
  if (bars.length === 0) bars.push({ name: cause, kind: cause === "done" ? "rest" : "failed", from: at, length: duration });
  return bars;
}

/** What has happened, newest first, each with what it follows from. */
import { useEffect, useState } from "preact/hooks";
import { clock, moment } from "../../view/format.ts";
import type { Level } from "../../view/health.ts";
import type { EventView } from "../../view/shapes.ts";
import { lastEvent } from "../live.ts";
import { hrefOf } from "../route.ts";
import { useStore } from "../store.ts";
import { useFetched } from "../use-fetched.ts";
import { Failure } from "./failure.tsx";
import { Mark } from "./mark.tsx";

interface EventsProps {
  readonly upstream?: string;
  readonly target?: string;
  /** So many are asked for, and so many are shown at first. */
  readonly limit: number;
  readonly first: number;
}

/** Kinds that are trouble, worth a look, and somebody's wish; all others are well. */
const LEVELS: Readonly<Record<Exclude<Level, "ok">, ReadonlySet<string>>> = {
  bad: new Set(["down", "ejected", "silent", "panic", "circuit-open", "worker-died", "worker-hung", "config-rejected", "certificate-failed", "upgrade-failed"]),
  warn: new Set(["check-failed", "ejection-spared", "circuit-half-open", "drain-cut", "instance-ended", "slow-start"]),
  off: new Set(["drain", "maintenance", "stopping", "deregistered", "left", "instance-stopped"]),
};

function levelOf(kind: string): Level {
  return (["bad", "warn", "off"] as const).find((level) => LEVELS[level].has(kind)) ?? "ok";
}

export function Events({ upstream, target, limit, first }: EventsProps) {
  const query = new URLSearchParams({ ...(upstream === undefined ? {} : { upstream }), ...(target === undefined ? {} : { target }), limit: String(limit) });
  const { data, error, again } = useFetched<{ readonly events: readonly EventView[] }>(`/v1/events?${query.toString()}`, 10_000);
  const last = useStore(lastEvent);
  useEffect(() => {
    if (last !== null && (upstream === undefined || last.upstream === upstream) && (target === undefined || last.target === target)) again();
  }, [last]);
  const [all, setAll] = useState(false);
  const events = data?.events ?? [];
  const shown = all ? events : events.slice(0, first);
  const today = new Date().toDateString();
  const byId = new Map(events.map((event) => [event.id, event]));
  return (
    <section class="events" aria-label="Timeline">
      {upstream !== undefined && <h2>Timeline</h2>}
      <Failure error={error} />
      {data !== undefined && events.length === 0 && <p class="nothing">Nothing has happened in the last day.</p>}
      <ol>
        {shown.map((event) => {
          const level = levelOf(event.kind);
          const cause = event.cause === null ? undefined : byId.get(event.cause);
          return (
            <li key={event.id} class={`event at-${level}`}>
              <time dateTime={event.at}>{new Date(event.at).toDateString() === today ? clock(event.at) : moment(event.at)}</time>
              <Mark level={level} />
              <span class="kind">{event.kind}</span>
              <span class="what">
                {target === undefined && event.upstream !== "" && <Place event={event} within={upstream} />}
                {event.summary}
                {cause !== undefined && (
                  <span class="by" title={cause.summary}>
                    after {cause.kind} of {clock(cause.at)}
                  </span>
                )}
                {event.by !== "" && <span class="by">by {event.by}</span>}
              </span>
            </li>
          );
        })}
      </ol>
      {events.length > shown.length && (
        <button type="button" onClick={() => setAll(true)}>
          {events.length - shown.length} more
        </button>
      )}
    </section>
  );
}

function Place({ event: { upstream, target }, within }: { readonly event: EventView; readonly within: string | undefined }) {
  const ofTarget = target !== "";
  if (!ofTarget && within !== undefined) return null;
  const href = ofTarget ? hrefOf({ page: "target", upstream, target }) : hrefOf({ page: "upstream", upstream });
  return <a href={href}>{within === undefined ? `${upstream}${ofTarget ? ` ${target}` : ""}` : target}</a>;
}

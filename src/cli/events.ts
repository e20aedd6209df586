/** `fairlead events`: what has happened in the last day, and what happens. */
import { moment } from "../view/format.ts";
import type { EventView } from "../view/shapes.ts";
import { type AdminOptions, json as asJson, withAdmin } from "./admin-client.ts";
import { type Paint, paintFor } from "./paint.ts";

export interface EventsOptions extends AdminOptions {
  readonly upstream?: string;
  readonly target?: string;
  readonly limit: string;
  readonly follow?: boolean;
  readonly json?: boolean;
}

export async function eventsCommand(options: EventsOptions): Promise<void> {
  const { upstream, target, limit, follow, json } = options;
  const paint = paintFor(process.stdout);
  const print = (event: EventView): boolean => process.stdout.write(`${json === true ? asJson(event) : line(event, paint)}\n`);
  await withAdmin(options, async (admin) => {
    const query = new URLSearchParams({ limit, ...(upstream === undefined ? {} : { upstream }), ...(target === undefined ? {} : { target }) });
    const { events } = await admin.call<{ readonly events: readonly EventView[] }>("GET", `/v1/events?${query.toString()}`);
    // As in a log, the newest is last.
    for (const event of events.toReversed()) print(event);
    if (follow !== true) return;
    const last = events[0]?.id ?? 0;
    for await (const { type, data } of admin.events("/v1/stream?overview=false", { "Last-Event-ID": String(last) })) {
      const event = type === "event" ? admin.told<EventView>(data) : undefined;
      if (event !== undefined && event.id > last && (upstream === undefined || event.upstream === upstream) && (target === undefined || event.target === target)) print(event);
    }
  });
}

function line({ at, upstream, target, kind, summary, by }: EventView, paint: Paint): string {
  const place = [upstream, target].filter((part) => part !== "").join(" ");
  return `${paint("dim", moment(at))}  ${paint("bold", kind.padEnd(16))}${place === "" ? "" : `  ${place}`}  ${summary}${by === "" ? "" : paint("dim", `  by ${by}`)}`;
}

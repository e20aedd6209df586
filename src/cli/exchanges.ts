/** `fairlead exchanges`: those that failed, were slow or were tried again, and how they were decided. */
import { clock, milliseconds } from "../view/format.ts";
import type { ExchangeView } from "../view/shapes.ts";
import { type AdminOptions, withAdmin, json as asJson } from "./admin-client.ts";
import { type Column, columns } from "./columns.ts";
import { paintFor } from "./paint.ts";

export interface ExchangesOptions extends AdminOptions {
  readonly upstream?: string;
  readonly target?: string;
  readonly cause?: string;
  readonly fault?: string;
  readonly requestId?: string;
  readonly limit: string;
  readonly json?: boolean;
}

const COLUMNS: readonly Column<ExchangeView>[] = [
  { title: "TIME", text: ({ at }) => clock(at) },
  { title: "STATUS", text: ({ status }) => (status === 0 ? "–" : String(status)), right: true },
  { title: "CAUSE", text: ({ cause }) => cause, style: ({ cause, status }) => (cause === "done" && status < 500 ? undefined : "red") },
  { title: "TOOK", text: ({ duration_ms }) => milliseconds(duration_ms), right: true },
  { title: "TRIES", text: ({ tries, attempts }) => (tries.length === 0 ? String(attempts) : tries.map(({ target, cause }) => `${target}${cause === "done" ? "" : ` ${cause}`}`).join(", ")) },
  { title: "UPSTREAM", text: ({ upstream }) => upstream },
  { title: "REQUEST", text: ({ method, host, path, protocol }) => (method === "" ? protocol : `${method} ${host}${path}`) },
  { title: "ID", text: ({ id, request_id: requestId }) => requestId || id },
];

/** @param id of a record; undefined: all that match */
export async function exchangesCommand(id: string | undefined, options: ExchangesOptions): Promise<void> {
  await withAdmin({ ...options, json: id !== undefined || options.json === true }, async (admin) => {
    if (id !== undefined) return void process.stdout.write(`${asJson(await admin.call<ExchangeView>("GET", `/v1/exchanges/${encodeURIComponent(id)}`), 2)}\n`);
    const { upstream, target, cause, fault, requestId, limit } = options;
    const query = new URLSearchParams({ limit });
    for (const [key, value] of Object.entries({ upstream, target, cause, fault, request_id: requestId })) if (value !== undefined) query.set(key, value);
    const { exchanges } = await admin.call<{ readonly exchanges: readonly ExchangeView[] }>("GET", `/v1/exchanges?${query.toString()}`);
    if (options.json === true) for (const exchange of exchanges) process.stdout.write(`${asJson(exchange)}\n`);
    else process.stdout.write(exchanges.length === 0 ? "none is like that\n" : `${columns(exchanges, COLUMNS, undefined, paintFor(process.stdout)).join("\n")}\n`);
  });
}

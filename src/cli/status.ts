/** `fairlead status`: is anything wrong, and how much goes through. */
import { bytes, count, milliseconds, percent, plural, rate, span } from "../view/format.ts";
import { findingsOf } from "../view/findings.ts";
import { errorShare, inRotation, type Level, upstreamHealth } from "../view/health.ts";
import type { Overview, UpstreamView } from "../view/shapes.ts";
import { type AdminOptions, withAdmin, json as asJson } from "./admin-client.ts";
import { type Column, columns } from "./columns.ts";
import { type Paint, paintFor } from "./paint.ts";

export interface StatusOptions extends AdminOptions {
  readonly json?: boolean;
}

export async function statusCommand(options: StatusOptions): Promise<void> {
  await withAdmin(options, async (admin) => {
    const overview = await admin.call<Overview>("GET", "/v1/overview");
    process.stdout.write(options.json === true ? `${asJson(overview, 2)}\n` : `${statusLines(overview, paintFor(process.stdout)).join("\n")}\n`);
  });
}

export const STYLES: Readonly<Record<Level, Parameters<Paint>[0] | undefined>> = { ok: undefined, warn: "yellow", bad: "red", off: "cyan" };
const WORDS: Readonly<Record<Level, string>> = { ok: "well", warn: "look at", bad: "BROKEN", off: "on purpose" };

export function findingLines(overview: Overview, paint: Paint): string[] {
  const findings = findingsOf(overview);
  if (findings.length === 0) return [paint("green", "nothing is wrong")];
  return findings.map(({ level, subject, text }) => `${paint(STYLES[level] ?? "dim", WORDS[level].padEnd(10))}  ${subject} ${text}`);
}

export const UPSTREAM_COLUMNS: readonly Column<UpstreamView>[] = [
  { title: "UPSTREAM", text: ({ name }) => name, least: 8 },
  { title: "STATE", text: (upstream) => upstreamHealth(upstream).word, style: (upstream) => STYLES[upstreamHealth(upstream).level] },
  { title: "TARGETS", text: (upstream) => `${inRotation(upstream)}/${upstream.target_count}`, right: true },
  { title: "REQ/S", text: ({ rate: perSecond }) => rate(perSecond), right: true },
  { title: "ERRORS", text: (upstream) => percent(errorShare(upstream)), right: true },
  { title: "P50", text: ({ p50_ms }) => milliseconds(p50_ms), right: true, optional: true },
  { title: "P99", text: ({ p99_ms }) => milliseconds(p99_ms), right: true },
  { title: "OPEN", text: ({ open_requests }) => count(open_requests), right: true },
  { title: "QUEUED", text: ({ queued }) => count(queued), right: true, optional: true },
  { title: "POLICY", text: ({ policy }) => policy, least: 6, optional: true },
];

function statusLines(overview: Overview, paint: Paint): string[] {
  const { instance, totals, upstreams } = overview;
  return [
    `${paint("bold", `Fairlead ${instance.version}`)}  generation ${instance.generation}, up ${span(Date.now() - Date.parse(instance.started_at))}, ${plural(instance.workers.length, "worker")}, process ${instance.pid}${instance.state === "draining" ? paint("yellow", ", draining") : ""}`,
    totalsLine(overview),
    `in ${bytes(totals.bytes_in_rate)}/s, out ${bytes(totals.bytes_out_rate)}/s`,
    "",
    ...findingLines(overview, paint),
    "",
    ...columns(upstreams, UPSTREAM_COLUMNS, undefined, paint),
  ];
}

export function totalsLine({ totals }: Overview): string {
  return `${rate(totals.rate)} requests/s, ${percent(errorShare(totals))} errors, p50 ${milliseconds(totals.p50_ms)}, p99 ${milliseconds(totals.p99_ms)}, ${count(totals.open_requests)} open, ${plural(totals.open_clients, "client")}`;
}

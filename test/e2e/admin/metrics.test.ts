/** GET /metrics of a running instance: over a worker's death and reloads, within its bounds, and as examples and docs tell of it. */
import { beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { FAMILIES } from "../../../src/metrics/metrics.ts";
import { CAUSE_NAMES } from "../../../src/observability/cause.ts";
import { needs } from "../../support/needs.ts";
import { freePort } from "../../support/ports.ts";
import { type MetricFamily, Scrape } from "../../support/prometheus-text.ts";
import { readPromql } from "../../support/promql.ts";
import { run } from "../../support/real-clients.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import { tlsExchange } from "../../support/tls-client.ts";
import { type TomlTable, toToml } from "../../support/toml.ts";
import { until } from "../../support/until.ts";

const ROOT = resolve(import.meta.dir, "../../..");
const TOKEN = "a-token-for-metrics";
const stage = openStage();
let front: Balanced;
let admin = 0;
let secure = 0;
let targets: TomlTable[] = [];

const ask = (path = "/metrics", headers: Record<string, string> = { Authorization: `Bearer ${TOKEN}` }): Promise<Response> => fetch(`http://127.0.0.1:${admin}${path}`, { headers });
const scrape = async (): Promise<Scrape> => new Scrape(await (await ask()).text());

function config(port: number, routes: readonly TomlTable[], top: TomlTable = {}): string {
  return toToml({
    workers: 2,
    admin: { address: `127.0.0.1:${admin}`, token: TOKEN },
    metrics: { per_target_limit: 2 },
    ...top,
    listeners: [
      { name: "front", address: `127.0.0.1:${port}`, upstream: "main" },
      { name: "secure", address: `127.0.0.1:${secure}`, tls: "self-signed", upstream: "main" },
    ],
    routes,
    upstreams: [{ name: "main", targets, circuit_breaker: {}, health_check: { interval: "1s" } }],
  });
}

async function reload(text: string, message: string): Promise<void> {
  const { fairlead } = front;
  const file = join(fairlead.directory, "fairlead.toml");
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
  const from = fairlead.log.length;
  fairlead.signal("SIGHUP");
  await fairlead.line(message, ({ msg }) => msg === message, from);
}

/** So many requests, each over a connection of its own, so that both workers get some. */
async function requests(count: number, path = "/"): Promise<void> {
  for (let i = 0; i < count; i++) await (await fetch(`${front.url}${path}`, { headers: { Connection: "close" } })).arrayBuffer();
}

const settled = (expected: number, labels: Record<string, string>, name = "fairlead_listener_requests_total"): Promise<Scrape> =>
  until(`${expected} of ${name}${JSON.stringify(labels)}`, async () => {
    const now = await scrape();
    return now.find(name, labels) === expected ? now : undefined;
  });

const ROUTE = { path_prefix: "/api", upstream: "main" };

beforeAll(async () => {
  targets = (await stage.backends(3)).map(({ address }) => ({ address }));
  admin = await freePort();
  secure = await freePort();
  // The stage's own configuration has no place for a second listener: this one is there from the first reload on.
  front = await stage.fairlead({ targets: targets.map(({ address }) => String(address)), top: { workers: 2, admin: { address: `127.0.0.1:${admin}`, token: TOKEN } } });
  await reload(config(front.port, [ROUTE]), "Reload applied");
});

describe("/metrics", () => {
  test("is shown to whom may look, as Prometheus or as OpenMetrics", async () => {
    expect((await ask("/metrics", {})).status).toBe(401);
    const text = await ask();
    expect([text.status, text.headers.get("content-type")]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
    const open = await ask("/metrics", { Authorization: `Bearer ${TOKEN}`, Accept: "application/openmetrics-text; version=1.0.0" });
    expect(open.headers.get("content-type")).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
    const openText = await open.text();
    expect(openText).toEndWith("\n# EOF\n");
    expect(openText).toContain("# TYPE fairlead_worker_restarts counter\nfairlead_worker_restarts_total 0\n");
    // One leaves the other as it was.
    expect((await scrape()).find("fairlead_worker_restarts_total")).toBe(0);
  });

  test("a worker that is killed takes no count with it; a reload keeps what keeps its name", async () => {
    await requests(40);
    await requests(10, "/api/x");
    const before = await settled(50, { listener: "front" });
    expect(before.find("fairlead_route_requests_total", { route: "/api" })).toBe(10);
    const served = before.families.get("fairlead_worker_open_clients")!.series.length;
    expect(served).toBe(2);

    const { workers } = (await (await ask("/v1/status")).json()) as { readonly workers: readonly number[] };
    process.kill(workers[0]!, "SIGKILL");
    await settled(1, {}, "fairlead_worker_restarts_total");
    expect((await settled(2, {}, "fairlead_workers")).find("fairlead_listener_requests_total", { listener: "front" })).toBe(50);
    await requests(20);
    await settled(70, { listener: "front" });

    // A route before it, and listeners that are served by new workers.
    await reload(config(front.port, [{ hosts: ["other.test"], upstream: "main" }, ROUTE], { workers: 1 }), "Reload applied");
    await requests(10, "/api");
    const after = await settled(80, { listener: "front" });
    expect(after.find("fairlead_route_requests_total", { route: "/api" })).toBe(20);
    expect(after.find("fairlead_listener_request_duration_seconds_count", { listener: "front" })).toBe(80);
    expect(after.find("fairlead_config_generation")).toBe(3);

    await reload("nonsense = 1", "Reload rejected; nothing has changed");
    const rejected = await scrape();
    expect([rejected.find("fairlead_config_last_reload_successful"), rejected.find("fairlead_config_generation")]).toEqual([0, 3]);
    expect(rejected.find("fairlead_config_last_reload_timestamp_seconds")!).toBeGreaterThan(rejected.find("fairlead_config_applied_timestamp_seconds")!);
  }, 30_000);

  test("other buckets: histograms begin anew, counters go on", async () => {
    await reload(config(front.port, [ROUTE], { workers: 1, metrics: { buckets: ["500us", "2.5ms", "1s"], per_target_limit: 2 } }), "Reload applied");
    const now = await scrape();
    expect([now.find("fairlead_listener_requests_total", { listener: "front" }), now.find("fairlead_listener_request_duration_seconds_count", { listener: "front" })]).toEqual([80, 0]);
    await requests(5);
    const after = await settled(5, { listener: "front" }, "fairlead_listener_request_duration_seconds_count");
    const bounds = after.families.get("fairlead_listener_request_duration_seconds")!.series.filter(({ name, labels }) => name.endsWith("_bucket") && labels["listener"] === "front").map(({ labels }) => labels["le"]);
    expect(bounds).toEqual(["0.0005", "0.0025", "1", "+Inf"]);
    expect(after.find("fairlead_config_last_reload_successful")).toBe(1);
  });

  test("of so many targets as the configuration lets, and upstreams have all", async () => {
    const now = await scrape();
    const told = (name: string): number => new Set(now.families.get(name)!.series.map(({ labels }) => labels["target"])).size;
    expect([told("fairlead_target_requests_total"), told("fairlead_target_up"), now.find("fairlead_targets_without_metrics")]).toEqual([2, 2, 1]);
    expect(now.find("fairlead_upstream_targets", { upstream: "main", state: "up" })).toBe(3);
    expect(now.find("fairlead_upstream_attempts_total", { upstream: "main" })).toBe(85);
    expect(now.find("fairlead_target_attempts_total", { upstream: "main" })!).toBeLessThan(85);
  });

  test("knows checks, certificates, and each of its processes", async () => {
    await tlsExchange(secure, {});
    const now = await until("a check of each target", async () => {
      const found = await scrape();
      return (found.find("fairlead_upstream_health_check_duration_seconds_count", { upstream: "main" }) ?? 0) >= 3 ? found : undefined;
    });
    expect(now.find("fairlead_upstream_health_checks_total", { upstream: "main", result: "passed" })!).toBeGreaterThanOrEqual(3);
    expect(now.find("fairlead_upstream_health_checks_total", { upstream: "main", result: "failed" })).toBe(0);
    expect(now.find("fairlead_listener_certificate_expiry_timestamp_seconds", { listener: "secure" })!).toBeGreaterThan(Date.now() / 1000);
    expect(now.find("fairlead_listener_tls_handshakes_total", { listener: "secure", kind: "full" })).toBe(1);
    const processes = now.families.get("fairlead_process_resident_memory_bytes")!.series.map(({ labels }) => labels["process"]!.replace(/\d+/, "N"));
    expect(processes).toEqual(process.platform === "linux" ? ["supervisor", "worker-N"] : []);
  });
});

describe("what is told", () => {
  let exposed: ReadonlyMap<string, MetricFamily>;
  let text = "";

  beforeAll(async () => {
    ({ families: exposed, text } = await scrape());
  });

  test("is what is declared: names, types, and labels", () => {
    expect([...exposed.keys()]).toEqual(FAMILIES.map(({ name }) => name));
    for (const { name, type, labels, help } of FAMILIES) {
      const family = exposed.get(name)!;
      expect([name, family.type, family.help]).toEqual([name, type, help]);
      for (const series of family.series) expect([name, Object.keys(series.labels).filter((label) => label !== "le")]).toEqual([name, [...labels]]);
    }
  });

  const beside = needs("promtool");

  beside.test(`promtool has nothing to say about it`, async () => {
    const child = Bun.spawn(["promtool", "check", "metrics"], { stdin: Buffer.from(text), stdout: "pipe", stderr: "pipe" });
    expect([await new Response(child.stdout).text(), await new Response(child.stderr).text(), await child.exited]).toEqual(["", "", 0]);
  });

  beside.test(`promtool takes the example's rules and scrape configuration`, async () => {
    const { code, stdout } = await run("promtool", ["check", "config", join(ROOT, "examples/observability/prometheus.yml")]);
    expect([code, stdout.includes("rules found")]).toEqual([0, true]);
  });

  beside.test(`the example's alerts fire when it happens, and not otherwise`, async () => {
    const { code, stdout, stderr } = await run("promtool", ["test", "rules", join(import.meta.dir, "alerts.yml")]);
    expect([code, code === 0 ? "" : stdout + stderr]).toEqual([0, ""]);
  });

  test("docs/metrics.md has each of them, and no other", () => {
    const page = readFileSync(join(ROOT, "docs/metrics.md"), "utf8");
    const rows = page.split("\n").filter((line) => line.startsWith("| `fairlead_"));
    expect(rows).toEqual(FAMILIES.map(({ name, type, labels, help }) => `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${help} |`));
  });

  /** An expression asks for series and labels that there are. */
  function check(expression: string, shown: readonly string[]): void {
    const { selectors, labels } = readPromql(expression);
    expect([expression, selectors.length > 0]).toEqual([expression, true]);
    const known = new Set(["instance", "job"]);
    for (const { metric, matchers } of selectors) {
      const part = /_(?:bucket|sum|count)$/.exec(metric)?.[0] ?? "";
      const histogram = exposed.get(metric.slice(0, metric.length - part.length));
      const family = exposed.get(metric) ?? (histogram?.type === "histogram" ? histogram : undefined);
      if (family === undefined || (family.type === "histogram" && part === "")) throw new Error(`${metric} is not told: ${expression}`);
      const declared = FAMILIES.find(({ name }) => name === family.name)!;
      const its = new Set([...declared.labels, "instance", "job", ...(part === "_bucket" ? ["le"] : [])]);
      for (const label of its) known.add(label);
      for (const { label, operator, value } of matchers) {
        if (!its.has(label)) throw new Error(`${metric} has no label ${label}: ${expression}`);
        const values = label === "cause" ? CAUSE_NAMES : family.series.map(({ labels: each }) => each[label]!);
        if (["instance", "listener", "upstream"].includes(label)) continue;
        const wanted = operator.includes("~") ? value.split("|") : [value];
        for (const each of wanted) if (!values.includes(each as never)) throw new Error(`${label} of ${metric} is never ${each}: ${expression}`);
      }
    }
    for (const label of [...labels, ...shown]) if (!known.has(label)) throw new Error(`nothing has a label ${label}: ${expression}`);
  }

  const named = (template: string, pattern: RegExp): string[] => [...template.matchAll(pattern)].map(([, label]) => label!);

  test("each expression of the Grafana dashboard asks for what there is", () => {
    interface Panel {
      readonly title: string;
      readonly type: string;
      readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
    }
    const { panels, annotations, templating } = JSON.parse(readFileSync(join(ROOT, "examples/observability/grafana-dashboard.json"), "utf8")) as {
      readonly panels: readonly Panel[];
      readonly annotations: { readonly list: readonly { readonly expr: string }[] };
      readonly templating: { readonly list: readonly { readonly type: string; readonly definition?: string }[] };
    };
    // Variables as Grafana fills them in.
    const filled = (expr: string): string => expr.replaceAll("$__rate_interval", "1m").replaceAll(/\$(?:instance|listener|upstream)\b/g, ".*");
    const expressions = panels.flatMap(({ targets: each = [] }) => each);
    expect(expressions.length).toBeGreaterThan(50);
    for (const { expr, legendFormat } of expressions) check(filled(expr), named(legendFormat, /\{\{(\w+)\}\}/g));
    for (const { expr } of annotations.list) check(filled(expr), []);
    for (const { definition } of templating.list.filter(({ type }) => type === "query")) {
      const [, series, label] = /^label_values\((.*), (\w+)\)$/.exec(definition!)!;
      check(filled(series!), [label!]);
    }
  });

  test("each alert asks for what there is, and names what it is about", () => {
    const { groups } = Bun.YAML.parse(readFileSync(join(ROOT, "examples/observability/alerts.yml"), "utf8")) as {
      readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string; readonly annotations: Record<string, string>; readonly labels: Record<string, string> }[] }[];
    };
    const rules = groups.flatMap(({ rules: each }) => each);
    expect(rules.length).toBeGreaterThan(10);
    for (const { expr, annotations, labels } of rules) {
      check(expr, Object.values(annotations).flatMap((each) => named(each, /\$labels\.(\w+)/g)));
      expect(["warning", "critical"]).toContain(labels["severity"]!);
    }
  });

  test("such a check finds what is wrong", () => {
    check('sum by (code) (rate(fairlead_listener_requests_total{code="5xx"}[5m]))', ["code"]);
    expect(() => check("sum(rate(fairlead_requests_total[5m]))", [])).toThrow("is not told");
    expect(() => check('fairlead_listener_requests_total{status="500"}', [])).toThrow("no label status");
    expect(() => check('fairlead_listener_requests_total{code="500"}', [])).toThrow("is never 500");
    expect(() => check("sum by (route) (fairlead_listener_requests_total)", [])).toThrow("a label route");
    expect(() => check("histogram_quantile(0.9, rate(fairlead_listener_request_duration_seconds[5m]))", [])).toThrow("is not told");
    expect(() => check("sum by (", [])).toThrow("no PromQL");
  });
});

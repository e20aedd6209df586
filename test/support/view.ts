/** Overviews as GET /v1/overview answers them, for tests of what shows them. */
import type { Overview, Rates, RouteView, TargetView, UpstreamView } from "../../src/view/shapes.ts";

export function rates(rate = 0, failures: { readonly "5xx"?: number; readonly failed?: number } = {}): Rates {
  return { rate, rate_by_class: { "1xx": 0, "2xx": rate, "3xx": 0, "4xx": 0, "5xx": 0, failed: 0, done: 0, ...failures }, p50_ms: null, p99_ms: null };
}

export function targetView(address: string, more: Partial<TargetView> = {}): TargetView {
  return { address, state: "up", since: "2030-01-01T00:00:00.000Z", share: 1, weight: 1, zone: "", tier: 0, open_requests: 0, open_connections: 0, ...rates(), latency_ms: null, check: null, ejected: null, ...more };
}

export function upstreamView(name: string, targets: readonly TargetView[], more: Partial<UpstreamView> = {}): UpstreamView {
  return { name, policy: "p2c", protocol: "h1", open_requests: 0, queued: 0, retries_open: 0, retry_rate: 0, breaker: null, panic: false, ...rates(), target_count: targets.length, healthy_count: targets.filter(({ state }) => !/down|ejected|silent/.test(state)).length, targets: [...targets], ...more };
}

export function routeView(label: string, upstream: string, more: Partial<RouteView> = {}): RouteView {
  return { label, listeners: [], hosts: [label], path_prefix: null, methods: [], headers: [], upstream, ...rates(), ...more };
}

/** One listener "web" that leads to the first upstream what matches no route. */
export function overviewOf(upstreams: readonly UpstreamView[], routes: readonly RouteView[] = [], more: Partial<Overview> = {}): Overview {
  return {
    instance: { version: "0", generation: 7, pid: 1, started_at: "2030-01-01T00:00:00.000Z", state: "ok", workers: [{ pid: 2, slot: 0, clients: 0, lag_ms: 1 }], config: { applied: { generation: 7, at: "2030-01-01T00:00:00.000Z" }, rejected: null }, panicking: [], faults: [] },
    totals: { ...rates(), open_requests: 0, open_clients: 0, bytes_in_rate: 0, bytes_out_rate: 0 },
    listeners: [{ name: "web", address: "127.0.0.1:80", protocol: "http", tls: false, upstream: upstreams[0]!.name, clients: 0, ...rates(), certificates: [] }],
    routes: [...routes],
    upstreams: [...upstreams],
    ...more,
  };
}

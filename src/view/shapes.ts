/** What the admin API tells, as those that show it see it. */

export type CodeClass = "1xx" | "2xx" | "3xx" | "4xx" | "5xx" | "failed";
export const CODE_CLASSES: readonly CodeClass[] = ["1xx", "2xx", "3xx", "4xx", "5xx", "failed"];

/** Of exchanges; rates are per second, percentiles null when there were none. */
export interface Rates {
  readonly rate: number;
  readonly rate_by_class: Readonly<Partial<Record<CodeClass, number>>>;
  readonly p50_ms: number | null;
  readonly p99_ms: number | null;
}

export interface TargetView extends Rates {
  readonly address: string;
  /** In words, several joined by "+": up, down, ejected, silent, draining, maintenance. */
  readonly state: string;
  readonly since: string;
  /** Of its weight, 0 to 1. */
  readonly share: number;
  readonly weight: number;
  readonly zone: string;
  readonly tier: number;
  readonly open_requests: number;
  readonly open_connections: number;
  readonly latency_ms: number | null;
  readonly check: { readonly ok: boolean; readonly reason: string; readonly at: string; readonly milliseconds: number } | null;
  readonly ejected: { readonly detector: string; readonly until: string; readonly times: number } | null;
}

export interface UpstreamView extends Rates {
  readonly name: string;
  readonly policy: string;
  readonly protocol: string;
  readonly open_requests: number;
  readonly queued: number;
  readonly retries_open: number;
  readonly retry_rate: number;
  /** Null: it has none. */
  readonly breaker: "closed" | "open" | "half-open" | null;
  readonly panic: boolean;
  readonly target_count: number;
  readonly healthy_count: number;
  /** At most 200 of them in an overview: those that are not plainly up, then the busiest. */
  readonly targets: readonly TargetView[];
}

export interface RouteView extends Rates {
  readonly label: string;
  readonly listeners: readonly string[];
  readonly hosts: readonly string[];
  readonly path_prefix: string | null;
  readonly methods: readonly string[];
  readonly headers: readonly { readonly name: string; readonly value: string | null }[];
  readonly upstream: string;
}

export interface CertificateView {
  readonly names: readonly string[];
  readonly not_after: string;
  readonly days_left: number;
}

export interface ListenerView extends Rates {
  readonly name: string;
  readonly address: string;
  readonly protocol: string;
  readonly tls: boolean;
  readonly upstream: string | null;
  readonly clients: number;
  readonly certificates: readonly CertificateView[];
}

export interface WorkerView {
  readonly pid: number;
  readonly slot: number;
  readonly clients: number;
  readonly lag_ms: number | null;
}

export interface Overview {
  readonly instance: {
    readonly version: string;
    readonly generation: number;
    readonly pid: number;
    readonly started_at: string;
    readonly state: "ok" | "draining";
    readonly workers: readonly WorkerView[];
    readonly config: { readonly applied: { readonly generation: number; readonly at: string }; readonly rejected: { readonly at: string; readonly errors: readonly string[] } | null };
    readonly panicking: readonly string[];
  };
  readonly totals: Rates & { readonly open_requests: number; readonly open_clients: number; readonly bytes_in_rate: number; readonly bytes_out_rate: number };
  readonly listeners: readonly ListenerView[];
  readonly routes: readonly RouteView[];
  readonly upstreams: readonly UpstreamView[];
}

export interface HistoryPoint extends Rates {
  readonly at: string;
  readonly open: number;
}

export interface History {
  readonly interval_ms: number;
  readonly points: readonly HistoryPoint[];
}

/** An entry of the timeline; null where it is nobody's, or follows from nothing known. */
export interface EventView {
  readonly id: number;
  readonly at: string;
  readonly upstream: string | null;
  readonly target: string | null;
  readonly kind: string;
  readonly summary: string;
  /** The id of another one. */
  readonly cause: number | null;
  readonly by: string | null;
}

export interface TryView {
  readonly target: string;
  readonly at_ms: number;
  readonly connect_ms: number;
  readonly first_byte_ms: number;
  readonly duration_ms: number;
  readonly status: number;
  readonly cause: string;
  readonly detail: string;
  readonly hedge: boolean;
}

/** A decision record. */
export interface ExchangeView {
  readonly id: string | number;
  readonly at: string;
  readonly protocol: string;
  readonly listener: string;
  readonly route: string;
  readonly upstream: string;
  readonly target: string;
  readonly client: string;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly request_id: string;
  readonly status: number;
  readonly cause: string;
  readonly detail: string;
  readonly duration_ms: number;
  readonly queued_ms: number;
  readonly connect_ms: number;
  readonly first_byte_ms: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly attempts: number;
  readonly tries: readonly TryView[];
  readonly candidates: readonly string[];
  readonly candidate_count: number;
}

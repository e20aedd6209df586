/** What the admin API tells, by the schemas that it is declared with. Types only: nothing of the schemas comes into a bundle. */
import type { HistoryAnswer, Overview, OverviewListener, OverviewRoute, OverviewTarget, OverviewUpstream, OverviewWorker } from "../admin/overview.ts";

export type { HistoryAnswer as History, Overview, OverviewListener as ListenerView, OverviewRoute as RouteView, OverviewTarget as TargetView, OverviewUpstream as UpstreamView, OverviewWorker as WorkerView };
export type HistoryPoint = HistoryAnswer["points"][number];

export type CodeClass = keyof Overview["totals"]["rate_by_class"];
export const CODE_CLASSES: readonly CodeClass[] = ["1xx", "2xx", "3xx", "4xx", "5xx", "failed"];

/** Of exchanges; rates are per second, percentiles null when there were none. */
export type Rates = Pick<OverviewTarget, "rate" | "rate_by_class" | "p50_ms" | "p99_ms">;

/** An entry of the timeline; empty names where it is nobody's. */
export interface EventView {
  readonly id: number;
  readonly at: string;
  readonly upstream: string;
  readonly target: string;
  readonly kind: string;
  readonly summary: string;
  /** The id of another one that it follows from. */
  readonly cause: number | null;
  readonly by: string;
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

/** One thing that is wrong with a configuration. */
export interface ConfigError {
  readonly message: string;
  readonly line: number | null;
  readonly column: number | null;
  readonly hint: string | null;
}

export interface Changed {
  readonly name: string;
  readonly open_clients?: number | undefined;
  readonly open_requests?: number | undefined;
  readonly open_connections?: number | undefined;
}

export interface ChangedItems {
  readonly added: readonly string[];
  readonly removed: readonly Changed[];
  readonly changed: readonly Changed[];
}

/** What a configuration would change. */
export interface ConfigDiff {
  readonly changed: boolean;
  readonly summary: string;
  readonly words: readonly string[];
  readonly applies: "in_place" | "new_workers";
  readonly listeners: ChangedItems;
  readonly routes: ChangedItems;
  readonly upstreams: Omit<ChangedItems, "changed"> & { readonly changed: readonly (Changed & { readonly targets: ChangedItems })[] };
}

/** Which configuration runs. */
export interface ConfigView {
  readonly generation: number;
  readonly source: "file" | "api";
  readonly file: { readonly path: string; readonly changed: boolean; readonly since: string | null; readonly problem: string | null } | null;
  readonly applied: { readonly generation: number; readonly at: string; readonly by: string; readonly summary: string };
  readonly rejected: { readonly at: string; readonly by: string; readonly errors: readonly ConfigError[] } | null;
  readonly config: unknown;
}

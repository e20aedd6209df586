/** What the admin API tells, by the schemas that it is declared with. Types only: nothing of the schemas comes into a bundle. */
import type { z } from "zod";
import type { exchangeSchema } from "../admin/exchanges.ts";
import type { EventTold } from "../admin/events.ts";
import type { HistoryAnswer, Overview, OverviewListener, OverviewRoute, OverviewTarget, OverviewUpstream, OverviewWorker } from "../admin/overview.ts";

export type { EventTold as EventView, HistoryAnswer as History, Overview, OverviewListener as ListenerView, OverviewRoute as RouteView, OverviewTarget as TargetView, OverviewUpstream as UpstreamView, OverviewWorker as WorkerView };
export type HistoryPoint = HistoryAnswer["points"][number];

export type CodeClass = keyof Overview["totals"]["rate_by_class"];
export const CODE_CLASSES: readonly CodeClass[] = ["1xx", "2xx", "3xx", "4xx", "5xx", "failed"];

/** A decision record, and one of its tries. */
export type ExchangeView = z.output<typeof exchangeSchema>;
export type TryView = ExchangeView["tries"][number];

/** Of exchanges; rates are per second, percentiles null when there were none. */
export type Rates = Pick<OverviewTarget, "rate" | "rate_by_class" | "p50_ms" | "p99_ms">;

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

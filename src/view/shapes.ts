/** What the admin API tells, by the schemas that it is declared with. Types only: nothing of the schemas comes into a bundle. */
import type { z } from "zod";
import type { ConfigError, ConfigReport, DiffReport } from "../admin/config.ts";
import type { exchangeSchema } from "../admin/exchanges.ts";
import type { EventTold } from "../admin/events.ts";
import type { HistoryAnswer, Overview, OverviewListener, OverviewRoute, OverviewTarget, OverviewUpstream, OverviewWorker } from "../admin/overview.ts";

export type { ConfigError, EventTold as EventView, HistoryAnswer as History, Overview, OverviewListener as ListenerView, OverviewRoute as RouteView, OverviewTarget as TargetView, OverviewUpstream as UpstreamView, OverviewWorker as WorkerView };
export type HistoryPoint = HistoryAnswer["points"][number];

/** A decision record, and one of its tries. */
export type ExchangeView = z.output<typeof exchangeSchema>;
export type TryView = ExchangeView["tries"][number];

/** Of exchanges; rates are per second, percentiles null when there were none. */
export type Rates = Pick<OverviewTarget, "rate" | "rate_by_class" | "p50_ms" | "p99_ms">;

/** Which configuration runs; what another one would change. */
export type ConfigView = ConfigReport & { readonly config: unknown };
export type ConfigDiff = DiffReport;
export type Changed = DiffReport["listeners"]["removed"][number];

/** All that the admin address answers, put together of the parts that know. */
import { Api } from "../admin/api.ts";
import { dashboardEndpoints } from "../admin/dashboard.ts";
import type { Endpoint } from "../admin/endpoint.ts";
import { heartbeatEndpoints } from "../admin/heartbeats.ts";
import { AdminServer } from "../admin/server.ts";
import { type InstanceStatus, statusEndpoints } from "../admin/status.ts";
import { targetEndpoints } from "../admin/targets.ts";
import type { Snapshot } from "../config/snapshot.ts";
import type { HealthMonitor } from "../health/monitor.ts";
import type { Log } from "../observability/log.ts";
import type { Membership } from "./membership.ts";

/** Whom it asks. */
export interface AdminParts {
  readonly log: Log;
  /** In force now. */
  readonly snapshot: () => Snapshot;
  readonly status: () => InstanceStatus;
  readonly health: HealthMonitor;
  readonly membership: Membership;
}

export function createAdmin({ log, snapshot, status, health, membership }: AdminParts): AdminServer {
  const endpoints: Endpoint[] = [
    ...dashboardEndpoints(),
    ...statusEndpoints(status),
    ...heartbeatEndpoints(membership.heartbeats),
    ...targetEndpoints(() => ({ snapshot: snapshot(), rotation: health.rotation, changed: () => membership.moved() })),
  ];
  return new AdminServer(log, new Api(endpoints, () => snapshot().admin, log));
}

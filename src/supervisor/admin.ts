/** All that the admin address answers, put together of the parts that know. */
import { Api } from "../admin/api.ts";
import { dashboardEndpoints } from "../admin/dashboard.ts";
import { Details } from "../admin/details.ts";
import type { Endpoint } from "../admin/endpoint.ts";
import { faultEndpoints, type FaultSettings } from "../admin/faults.ts";
import { logEndpoints } from "../admin/log.ts";
import { type Configurable, configEndpoints } from "../admin/config.ts";
import { eventEndpoints, eventTold } from "../admin/events.ts";
import { explainEndpoints } from "../admin/explain.ts";
import { exchangeEndpoints } from "../admin/exchanges.ts";
import { heartbeatEndpoints } from "../admin/heartbeats.ts";
import { openApiEndpoint } from "../admin/openapi.ts";
import { type ConfigState, overviewEndpoints } from "../admin/overview.ts";
import { metricsEndpoints } from "../admin/metrics.ts";
import { Picture } from "../admin/picture.ts";
import { Problem } from "../admin/problem.ts";
import { resourceEndpoints } from "../admin/resources.ts";
import { AdminServer } from "../admin/server.ts";
import { streamEndpoints, Streams } from "../admin/stream.ts";
import { type InstanceStatus, statusEndpoints } from "../admin/status.ts";
import type { Steering } from "../admin/steering.ts";
import { targetEndpoints } from "../admin/targets.ts";
import type { Snapshot } from "../config/snapshot.ts";
import type { HealthMonitor } from "../health/monitor.ts";
import { Metrics } from "../metrics/metrics.ts";
import type { Clock } from "../net/network.ts";
import type { ExchangeRing } from "../observability/exchange-ring.ts";
import type { Log } from "../observability/log.ts";
import type { Timeline } from "../observability/timeline.ts";
import { Sampler } from "../sampling/sampler.ts";
import type { Scoreboard } from "../scoreboard/scoreboard.ts";
import packageJson from "../../package.json";
import type { LogLevelControl } from "./log-levels.ts";
import type { Membership } from "./membership.ts";
import { Unanswered } from "./questions.ts";
import type { ListeningSockets } from "./sockets.ts";
import type { Workers } from "./workers.ts";

/** Whom it asks. */
export interface AdminParts {
  readonly log: Log;
  /** In force now. */
  readonly snapshot: () => Snapshot;
  readonly status: () => InstanceStatus;
  readonly health: HealthMonitor;
  readonly membership: Membership;
  readonly timeline: Timeline;
  readonly exchanges: ExchangeRing;
  readonly scoreboard: Scoreboard;
  readonly clock: Clock;
  readonly workers: Workers;
  readonly sockets: ListeningSockets;
  readonly config: () => ConfigState;
  readonly configuration: Configurable;
  readonly overrides: Steering;
  readonly levels: LogLevelControl;
  readonly faults: FaultSettings;
}

export function createAdmin({ log, snapshot, status, health, membership, timeline, exchanges, scoreboard, clock, workers, sockets, config, configuration, overrides, levels, faults }: AdminParts): AdminServer {
  const sampler = new Sampler({ scoreboard, clock, snapshot });
  const what = { version: packageJson.version, startedAt: clock.wall(), snapshot, scoreboard, clock, workers: () => workers.serving, config };
  const picture = new Picture({ ...what, health, sampler, faults: () => faults.list, boundTo: (listener) => sockets.all.find(({ name }) => name === listener)?.address });
  const details = new Details({ picture, snapshot, scoreboard, health, clock, supervised: () => membership.supervised.status() });
  const streams = new Streams({
    overview: () => picture.overview(),
    sampled: (tell) => sampler.subscribe(tell),
    happened: (tell) => timeline.subscribe((event) => tell(eventTold(event))),
    missed: (after, limit) => timeline.query({ after, limit }).map(eventTold).toReversed(),
  });
  const endpoints: Endpoint[] = [
    ...dashboardEndpoints(),
    ...statusEndpoints(status, () => ({ draining: scoreboard.draining, generation: snapshot().generation, serving: workers.serving.length, wanted: snapshot().workers })),
    ...overviewEndpoints(picture),
    ...streamEndpoints(streams),
    ...explainEndpoints((request) => told(workers.ask("explain", request)), status),
    ...resourceEndpoints(details),
    ...heartbeatEndpoints(membership.heartbeats),
    ...logEndpoints(levels, () => scoreboard.lostLines, log),
    ...eventEndpoints(timeline),
    ...metricsEndpoints(new Metrics({ ...what, health, restarts: () => workers.restarts, processes: () => [{ name: "supervisor", pid: process.pid }, ...workers.serving.map(({ pid, slot }) => ({ name: `worker-${slot}`, pid }))] })),
    ...exchangeEndpoints(exchanges),
    ...targetEndpoints(() => ({ snapshot: snapshot(), rotation: health.rotation, steering: overrides })),
    ...faultEndpoints(faults, () => clock.wall()),
    ...configEndpoints(() => configuration),
    openApiEndpoint(() => endpoints),
  ];
  const api = new Api(endpoints, () => snapshot().admin, log);
  return new AdminServer(log, api, (isOpen) => {
    if (isOpen) sampler.start();
    else sampler.stop();
  });
}

/** What a worker answers. @throws Problem 503 when none does */
async function told<Answer>(asked: Promise<{ readonly answer: Answer }>): Promise<Answer> {
  try {
    return (await asked).answer;
  } catch (error) {
    throw error instanceof Unanswered ? new Problem(503, error.message) : error;
  }
}

/** Metrics of targets: of so many as the configuration allows, in its order. */
import type { Snapshot } from "../config/snapshot.ts";
import { BYTES_RECEIVED, BYTES_SENT, TOTAL_CALLED_OFF, TOTAL_CONNECTS, TOTAL_REQUESTS, TOTAL_RETRIES } from "../scoreboard/scoreboard.ts";
import { durations, ended, gauge, type Kind, type Row, total } from "./counted.ts";
import type { Family } from "./family.ts";
import type { MetricsSources } from "./sources.ts";

/** Made once for a snapshot: a scrape asks many times. */
const known = new WeakMap<Snapshot, readonly Row[]>();

function rowsOf({ snapshot }: MetricsSources): readonly Row[] {
  const now = snapshot();
  let rows = known.get(now);
  if (rows === undefined) {
    rows = now.upstreams.flatMap(({ name, targets }) => targets.map((target) => ({ slot: target.slot, labels: { upstream: name, target: target.name } }))).slice(0, now.metrics.perTargetLimit);
    known.set(now, rows);
  }
  return rows;
}

const TARGETS: Kind = { prefix: "target", labels: ["upstream", "target"], table: ({ scoreboard }) => scoreboard.targets, rows: rowsOf };

export const TARGET_FAMILIES: readonly Family[] = [
  ended(TARGETS, "Attempts at a target that have ended, by class of the status that it answered with; failed: it could not be reached, broke off or took too long; done: well, where there are no statuses."),
  durations(TARGETS, "request_duration", "From the begin of an attempt to its end (tcp: until it was connected, udp: to the first reply)."),
  total(TARGETS, "attempts", "Requests (tcp: connections, udp: flows) that were sent to it.", TOTAL_REQUESTS),
  total(TARGETS, "called_off", "Attempts that were over before it had its say: the client had gone, or another answer was quicker.", TOTAL_CALLED_OFF),
  total(TARGETS, "retries", "Attempts at it that failed and were followed by another.", TOTAL_RETRIES),
  total(TARGETS, "connects", "Connections to it that were begun.", TOTAL_CONNECTS),
  total(TARGETS, "received_bytes", "Bytes from it, as they are without TLS.", BYTES_RECEIVED),
  total(TARGETS, "sent_bytes", "Bytes to it, as they are without TLS.", BYTES_SENT),
  gauge(TARGETS, "open_requests", "Requests (tcp: connections, udp: flows) that are open to it.", (slot, { scoreboard }) => scoreboard.openRequests(slot)),
  gauge(TARGETS, "open_connections", "Connections to it that are open, idle ones too.", (slot, { scoreboard }) => scoreboard.openConnections(slot)),
  gauge(TARGETS, "up", "1: it is in rotation; 0: it is down, ejected, silent, draining or in maintenance.", (slot, { scoreboard }) => (scoreboard.flags(slot) === 0 ? 1 : 0)),
  gauge(TARGETS, "share", "Share of its configured weight that it gets: below 1 while it starts slowly or its agent wants less.", (slot, { scoreboard }) => scoreboard.share(slot) / 1000),
  {
    name: "fairlead_targets_without_metrics",
    type: "gauge",
    help: "Targets beyond per_target_limit of [metrics]: what their upstream counts is all there is of them.",
    labels: [],
    read: (sources) => [{ labels: {}, value: sources.snapshot().upstreams.reduce((sum, { targets }) => sum + targets.length, 0) - rowsOf(sources).length }],
  },
];

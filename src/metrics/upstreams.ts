/** Metrics of upstreams: each counts by itself, so that none goes back when a target leaves. */
import type { UpstreamConfig } from "../config/snapshot.ts";
import { BREAKER_STATE, BYTES_RECEIVED, BYTES_SENT, CAUSES_OF_ATTEMPTS, CAUSES_OF_END, CHECK_TIMES, CONNECT_TIMES, EJECTIONS, FIRST_BYTE_TIMES, Flag, OPEN_EXCHANGES, OPEN_RETRIES, QUEUE_TIMES, QUEUED, TOTAL_BUDGET_REFUSED, TOTAL_CHECKS_FAILED, TOTAL_CHECKS_PASSED, TOTAL_CONNECTS, TOTAL_H2_CONNECTIONS, TOTAL_H2_GOAWAYS_RECEIVED, TOTAL_H2_GOAWAYS_SENT, TOTAL_H2_RESETS_RECEIVED, TOTAL_H2_RESETS_SENT, TOTAL_H2_STREAMS, TOTAL_HEDGES, TOTAL_HEDGES_WON, TOTAL_REQUESTS, TOTAL_RETRIES } from "../scoreboard/scoreboard.ts";
import { BREAKER_STATES } from "../upstream/circuit-breaker.ts";
import { DETECTORS } from "../upstream/outliers.ts";
import { causes, durations, ended, gauge, type Kind, total, totals } from "./counted.ts";
import type { Family } from "./family.ts";
import type { MetricsSources } from "./sources.ts";

const UPSTREAMS: Kind = {
  prefix: "upstream",
  labels: ["upstream"],
  table: ({ scoreboard }) => scoreboard.upstreams,
  rows: ({ snapshot }) => snapshot().upstreams.map(({ name, slot }) => ({ slot, labels: { upstream: name } })),
};

/** Of several the one that says most: what people want, then what is wrong. */
const STATES = [
  ["maintenance", Flag.MAINTENANCE],
  ["draining", Flag.DRAINING | Flag.CUT],
  ["down", Flag.DOWN],
  ["ejected", Flag.EJECTED],
  ["silent", Flag.SILENT],
] as const;

function stateOf(flags: number): string {
  return STATES.find(([, flag]) => (flags & flag) !== 0)?.[0] ?? "up";
}

const held =
  (what: number) =>
  (slot: number, { scoreboard }: MetricsSources): number =>
    scoreboard.upstreams.held(slot, what);

/** Something that an upstream's configuration has a say in. */
function configured(name: string, help: string, valueOf: (upstream: UpstreamConfig, sources: MetricsSources) => number): Family {
  return { name: `fairlead_upstream_${name}`, type: "gauge", help, labels: ["upstream"], read: (sources) => sources.snapshot().upstreams.map((upstream) => ({ labels: { upstream: upstream.name }, value: valueOf(upstream, sources) })) };
}

export const UPSTREAM_FAMILIES: readonly Family[] = [
  ended(UPSTREAMS, "Requests for an upstream that have ended, by class of the status that the client got, those that came to no target too."),
  durations(UPSTREAMS, "request_duration", "From a request's head to the last byte for its client, with all attempts and waiting."),
  causes(UPSTREAMS, "failures", "Requests for an upstream that ended otherwise than they should, by cause.", CAUSES_OF_END),
  causes(UPSTREAMS, "attempt_failures", "Attempts at targets that came to nothing, by cause, whatever became of their request.", CAUSES_OF_ATTEMPTS),
  gauge(UPSTREAMS, "open_requests", "Requests (tcp: connections, udp: flows) that are open to its targets, or pause before they are tried again.", held(OPEN_EXCHANGES)),
  total(UPSTREAMS, "attempts", "Requests that were sent to its targets, retries and hedges too.", TOTAL_REQUESTS),
  total(UPSTREAMS, "retries", "Attempts that failed and were followed by another.", TOTAL_RETRIES),
  gauge(UPSTREAMS, "open_retries", "Retries and hedges under way, which the retry budget bounds.", held(OPEN_RETRIES)),
  configured("retry_budget", "Retries and hedges that may be under way now.", ({ slot, retry }, { scoreboard }) => Math.max(retry.budgetMin, Math.floor((retry.budget / 100) * Math.max(0, scoreboard.upstreams.held(slot, OPEN_EXCHANGES))))),
  total(UPSTREAMS, "retry_budget_refused", "Retries and hedges that the budget refused.", TOTAL_BUDGET_REFUSED),
  total(UPSTREAMS, "hedges", "Second attempts that were sent because the first took long.", TOTAL_HEDGES),
  total(UPSTREAMS, "hedges_won", "Of them, those that were answered first.", TOTAL_HEDGES_WON),
  gauge(UPSTREAMS, "queued", "Requests that wait for a place at a target.", held(QUEUED)),
  durations(UPSTREAMS, "queue_duration", "How long requests that had to wait for a place waited.", QUEUE_TIMES),
  durations(UPSTREAMS, "connect_duration", "To connect to a target, TLS included, of connects that succeeded.", CONNECT_TIMES),
  durations(UPSTREAMS, "first_byte_duration", "From the begin of an attempt to the first byte of its reply (tcp: until it was connected), of attempts that were answered.", FIRST_BYTE_TIMES),
  total(UPSTREAMS, "connects", "Connections to targets that were begun.", TOTAL_CONNECTS),
  total(UPSTREAMS, "received_bytes", "Bytes from targets, as they are without TLS.", BYTES_RECEIVED),
  total(UPSTREAMS, "sent_bytes", "Bytes to targets, as they are without TLS.", BYTES_SENT),
  total(UPSTREAMS, "h2_connections", "HTTP/2 connections to targets.", TOTAL_H2_CONNECTIONS),
  total(UPSTREAMS, "h2_streams", "HTTP/2 streams to targets.", TOTAL_H2_STREAMS),
  totals(UPSTREAMS, "h2_resets", "RST_STREAM frames from targets and to them.", "direction", { received: TOTAL_H2_RESETS_RECEIVED, sent: TOTAL_H2_RESETS_SENT }),
  totals(UPSTREAMS, "h2_goaways", "GOAWAY frames from targets and to them.", "direction", { received: TOTAL_H2_GOAWAYS_RECEIVED, sent: TOTAL_H2_GOAWAYS_SENT }),
  {
    name: "fairlead_upstream_targets",
    type: "gauge",
    help: "Targets, by state; one that is in several counts where it says most.",
    labels: ["upstream", "state"],
    read: ({ snapshot, scoreboard }) =>
      snapshot().upstreams.flatMap(({ name, targets }) => {
        const counts = new Map<string, number>([["up", 0], ...STATES.map(([state]) => [state, 0] as const)]);
        for (const { slot } of targets) {
          const state = stateOf(scoreboard.flags(slot));
          counts.set(state, counts.get(state)! + 1);
        }
        return [...counts].map(([state, value]) => ({ labels: { upstream: name, state }, value }));
      }),
  },
  configured("panicking", "1: so few of its targets are healthy that all are used.", ({ name }, { health }) => (health.rotation.panicking.includes(name) ? 1 : 0)),
  {
    name: "fairlead_upstream_circuit_breaker_state",
    type: "gauge",
    help: "1 for the state that the circuit breaker is in; upstreams without one have none.",
    labels: ["upstream", "state"],
    read: ({ snapshot, scoreboard }) =>
      snapshot()
        .upstreams.filter(({ circuitBreaker }) => circuitBreaker !== undefined)
        .flatMap(({ name, slot }) => {
          const now = BREAKER_STATES[scoreboard.words[scoreboard.upstreamWordAt(slot, BREAKER_STATE)]! as 0 | 1 | 2];
          return BREAKER_STATES.map((state) => ({ labels: { upstream: name, state }, value: state === now ? 1 : 0 }));
        }),
  },
  totals(UPSTREAMS, "ejections", "Targets that were ejected, by what showed that they fail.", "detector", Object.fromEntries(DETECTORS.map((detector, index) => [detector, EJECTIONS + index]))),
  totals(UPSTREAMS, "health_checks", "Health checks of its targets, by result.", "result", { passed: TOTAL_CHECKS_PASSED, failed: TOTAL_CHECKS_FAILED }),
  durations(UPSTREAMS, "health_check_duration", "How long health checks took.", CHECK_TIMES),
];

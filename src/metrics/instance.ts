/** Metrics of the instance itself: its configuration, its workers, and what its processes use. */
import { FAULT_EFFECTS, WORKER_CLIENTS, WORKER_LAG } from "../scoreboard/scoreboard.ts";
import { bucketLabels, type Family, histogramSamples, type Labels } from "./family.ts";
import type { ProcessUsage } from "./processes.ts";
import type { MetricsSources } from "./sources.ts";

function one(name: string, help: string, valueOf: (sources: MetricsSources) => number, type: "gauge" | "counter" = "gauge"): Family {
  return { name: `fairlead_${name}`, type, help, labels: [], read: (sources) => [{ labels: {}, value: valueOf(sources) }] };
}

function ofWorkers(name: string, help: string, valueOf: (slot: number, sources: MetricsSources) => number): Family {
  return { name: `fairlead_worker_${name}`, type: "gauge", help, labels: ["worker"], read: (sources) => sources.workers().map(({ slot }) => ({ labels: worker(slot), value: valueOf(slot, sources) })) };
}

function worker(slot: number): Labels {
  return { worker: String(slot) };
}

function ofProcesses(name: string, type: "gauge" | "counter", help: string, valueOf: (usage: ProcessUsage) => number): Family {
  return { name: `fairlead_process_${name}`, type, help, labels: ["process"], read: ({ usage }) => usage.map((each) => ({ labels: { process: each.process }, value: valueOf(each) })) };
}

const LAG = "fairlead_worker_event_loop_lag_seconds";

export const INSTANCE_FAMILIES: readonly Family[] = [
  { name: "fairlead_build_info", type: "gauge", help: "1; the version is a label.", labels: ["version"], read: ({ version }) => [{ labels: { version }, value: 1 }] },
  one("start_time_seconds", "When this instance began, in seconds since 1970.", ({ startedAt }) => startedAt / 1000),
  one("draining", "1: it stops.", ({ scoreboard }) => (scoreboard.draining ? 1 : 0)),
  one("config_generation", "Generation of the last configuration that was applied; higher with each, but not by one: overrides and targets that join have generations too.", ({ config }) => config().applied.generation),
  one("config_applied_timestamp_seconds", "When the last configuration was applied, in seconds since 1970.", ({ config }) => Date.parse(config().applied.at) / 1000),
  one("config_last_reload_successful", "0: the last configuration was rejected, and the one before is in force.", ({ config }) => (config().rejected === null ? 1 : 0)),
  one("config_last_reload_timestamp_seconds", "When a configuration was last applied or rejected, in seconds since 1970.", ({ config }) => Date.parse((config().rejected ?? config().applied).at) / 1000),
  one("workers", "Workers that serve.", ({ workers }) => workers().length),
  one("worker_restarts_total", "Workers that died and were replaced.", ({ restarts }) => restarts(), "counter"),
  ofWorkers("open_clients", "Client connections that are open in a worker.", (slot, { scoreboard }) => Math.max(0, scoreboard.workerWord(slot, WORKER_CLIENTS))),
  ofWorkers("event_loop_lag_max_seconds", "The longest that a worker's event loop was late in the last 5 to 10 seconds.", (slot, { scoreboard }) => scoreboard.workerWord(slot, WORKER_LAG) / 1e6),
  {
    name: LAG,
    type: "histogram",
    help: "How late a worker's event loop was, measured every 20 ms.",
    labels: ["worker"],
    *read({ workers, scoreboard }) {
      const les = bucketLabels(scoreboard.bounds.list);
      for (const { slot } of workers()) yield* histogramSamples(LAG, worker(slot), scoreboard.lagOf(slot), les);
    },
  },
  one("access_log_lost_lines_total", "Lines of the access log that nobody took: a pipe without a reader, a full disk.", ({ scoreboard }) => scoreboard.lostLines, "counter"),
  {
    name: "fairlead_faults_injected_total",
    type: "counter",
    help: "What was injected by [faults], by what it did; one that does two things counts for each.",
    labels: ["effect"],
    read: ({ scoreboard }) => scoreboard.faultsInjected.map((value, index) => ({ labels: { effect: FAULT_EFFECTS[index]! }, value })),
  },
  ofProcesses("cpu_seconds_total", "counter", "User and system time of a process of ours.", ({ cpuSeconds }) => cpuSeconds),
  ofProcesses("resident_memory_bytes", "gauge", "Memory of a process of ours that is resident.", ({ residentBytes }) => residentBytes),
  ofProcesses("open_descriptors", "gauge", "Descriptors that a process of ours has open.", ({ openDescriptors }) => openDescriptors),
];

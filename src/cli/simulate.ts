/** `fairlead simulate`: policies beside each other in a scenario, before production finds out. */
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { type Diagnostic, formatDiagnostics, loadConfig, loadConfigValue, type Loaded, SlotAllocator } from "../config/load.ts";
import { nearest } from "../config/suggestion.ts";
import type { Snapshot } from "../config/snapshot.ts";
import { parseDuration, parsePercent } from "../config/values.ts";
import { type Arrivals, fromLog, LogError, poisson } from "../simulate/arrivals.ts";
import { DISTRIBUTIONS } from "../simulate/chance.ts";
import { CANDIDATES, type Candidate, candidateOf, compare, type Compared, fileCandidate, ownCandidate } from "../simulate/comparison.ts";
import { page } from "../simulate/page.ts";
import { LEGEND, table } from "../simulate/report.ts";
import { SCENARIOS } from "../simulate/scenarios.ts";
import { AsynchronousPolicy } from "../simulate/simulation.ts";
import { CAPACITY } from "../supervisor/board.ts";
import { USAGE_ERROR } from "./usage.ts";

export interface SimulateOptions {
  readonly scenario: string;
  readonly config?: string;
  readonly upstream?: string;
  readonly targets: string;
  readonly policy?: readonly string[];
  readonly requests: string;
  readonly load?: string;
  readonly service: string;
  readonly mean: string;
  readonly places: string;
  readonly arrivals?: string;
  readonly speed: string;
  readonly seed: string;
  readonly html?: string;
  readonly json?: boolean;
}

const MAX_REQUESTS = 10_000_000;

export async function simulateCommand(options: SimulateOptions): Promise<void> {
  // Who reads no further, as `head` does, has seen enough.
  process.stdout.on("error", () => process.exit(0));
  const scenario = Object.hasOwn(SCENARIOS, options.scenario) ? SCENARIOS[options.scenario]! : refuse(`there is no scenario "${options.scenario}"`, nearest(options.scenario, Object.keys(SCENARIOS)) ?? `known: ${Object.keys(SCENARIOS).join(", ")}`);
  if (!Object.hasOwn(DISTRIBUTIONS, options.service)) refuse(`there is no distribution "${options.service}"`, `known: ${Object.keys(DISTRIBUTIONS).join(", ")}`);
  const snapshot = snapshotOf(options);
  const upstream = snapshot.upstreams[0]!;
  const count = upstream.targets.length;
  if (count < 2) refuse(`upstream "${upstream.name}" has ${count} target${count === 1 ? "" : "s"}: there is nothing to choose`, "name another one with --upstream, or leave --config out");
  const mean = parseDuration(options.mean) || refuse(`--mean ${options.mean} is not a duration from 1ms to 24 days`, 'write it as "20ms"');
  const places = whole("--places", options.places, 1, 10_000);
  const requests = whole("--requests", options.requests, 100, MAX_REQUESTS);
  const seed = whole("--seed", options.seed, 0, 2 ** 31);
  const load = options.load === undefined ? scenario.load : (parsePercent(options.load) || refuse(`--load ${options.load} is not a percentage above 0 and up to 100`, 'write it as "60%"')) / 100;
  const candidates = candidatesOf(options.policy, ownCandidate(upstream));
  // Requests a ms that all targets together could serve.
  const rate = ((count * places) / mean) * load;
  const log = options.arrivals === undefined ? undefined : read(options.arrivals);
  const arrivals = (): Arrivals => (log === undefined ? poisson(requests, rate, scenario) : fromLog(log, upstream.hash.key, Number(options.speed)));
  if (log !== undefined && !(Number(options.speed) > 0)) refuse(`--speed ${options.speed} is not a number above 0`, "2 is twice as fast");
  try {
    const { count: total, duration } = arrivals();
    const facts = [`${total.toLocaleString("en")} requests in ${(duration / 1000).toFixed(1)} s`, `${count} targets of ${places} places`, `${options.service} service times of ${options.mean}`, log === undefined ? `${Math.round(load * 100)} % load` : "arrivals from a log", `seed ${seed}`];
    if (options.json !== true) process.stdout.write(`${options.scenario}: ${scenario.says}\n${facts.join(", ")}\n\n`);
    const compared: Compared[] = [];
    for await (const each of compare({ snapshot, scenario: options.scenario, candidates, arrivals, distribution: options.service, mean, places, seed })) compared.push(each);
    if (options.json === true) process.stdout.write(`${JSON.stringify({ scenario: options.scenario, seed, requests: total, policies: compared.map(({ label, result }) => ({ policy: label, ...result })) })}\n`);
    else process.stdout.write(`${table(compared)}\n\n${LEGEND}\n`);
    if (options.html === undefined) return;
    writeFileSync(options.html, page({ scenario: options.scenario, says: scenario.says, facts, compared }));
    if (options.json !== true) process.stdout.write(`\nCharts: ${options.html}\n`);
  } catch (error) {
    if (error instanceof LogError) refuse(`${options.arrivals}: ${error.message}`, "");
    if (error instanceof AsynchronousPolicy || (error instanceof Error && error.message.startsWith("policy "))) refuse(error.message, "");
    throw error;
  }
}

/** One upstream of the file, or as many equal targets as wanted. */
function snapshotOf({ config, upstream, targets }: SimulateOptions): Snapshot {
  const how = { slots: new SlotAllocator(CAPACITY), generation: 1 };
  const loaded: Loaded =
    config === undefined
      ? loadConfigValue(
          {
            listeners: [{ address: ":1", upstream: "targets" }],
            upstreams: [{ name: "targets", health_check: { type: "tcp" }, targets: Array.from({ length: whole("--targets", targets, 2, 10_000) }, (_, n) => ({ address: `10.0.${n >> 8}.${n & 255}:80` })) }],
          },
          undefined,
          "simulate",
          how,
        )
      : loadConfig(config, how);
  if (!loaded.ok) return refuseConfig(loaded.diagnostics);
  const { upstreams } = loaded.snapshot;
  const names = upstreams.map(({ name }) => name);
  const chosen = upstream === undefined ? upstreams[0]! : (upstreams.find(({ name }) => name === upstream) ?? refuse(`there is no upstream "${upstream}"`, nearest(upstream, names) ?? `known: ${names.join(", ")}`));
  // Back ends that would be started get their addresses then.
  const instances = Array.from({ length: chosen.supervised?.instances ?? 0 }, (_, n) => ({ address: `127.0.0.1:${n + 1}` }));
  const complete = loaded.again({ ...how, joined: new Map([[chosen.name, instances]]) });
  if (!complete.ok) return refuseConfig(complete.diagnostics);
  return { ...complete.snapshot, upstreams: complete.snapshot.upstreams.filter(({ name }) => name === chosen.name) };
}

function refuseConfig(diagnostics: readonly Diagnostic[]): never {
  process.stderr.write(formatDiagnostics(diagnostics, { color: process.stderr.isTTY === true && process.env["NO_COLOR"] === undefined }));
  process.exit(1);
}

/** The upstream's own first. */
function candidatesOf(labels: readonly string[] | undefined, own: Candidate): Candidate[] {
  const named = (labels ?? CANDIDATES).flatMap((label) => label.split(",")).map((label) => (/\.[cm]?[jt]s$/.test(label) ? fileCandidate(label, resolve(label)) : candidateOf(label)) ?? refuse(`there is no policy "${label}"`, nearest(label, CANDIDATES) ?? `as ${CANDIDATES.join(", ")}`));
  if (labels !== undefined) return named;
  return [own, ...named.filter(({ label }) => label !== own.label)];
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    return refuse(`cannot read ${path}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`, "");
  }
}

function whole(option: string, text: string, from: number, to: number): number {
  const value = Number(text);
  return Number.isInteger(value) && value >= from && value <= to ? value : refuse(`${option} ${text} is not a whole number from ${from} to ${to}`, "");
}

function refuse(message: string, hint: string): never {
  process.stderr.write(`fairlead: ${message}${hint === "" ? "" : `\n  ${hint}`}\n`);
  process.exit(USAGE_ERROR);
}

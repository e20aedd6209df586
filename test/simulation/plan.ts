/** What a seed stands for: a configuration, back ends with their manners, clients with their habits, and what goes wrong when. */
import { POLICY_NAMES } from "../../src/policies/registry.ts";
import type { Dice } from "../support/random.ts";
import type { EchoManners, EchoPlan } from "./echo.ts";
import type { Manners } from "./http-backend.ts";
import type { H2Manners } from "./h2-backend.ts";
import { type H2Clients, h2Clients, h2Manners, listenerLimits, tunnelPlans } from "./h2-plan.ts";
import type { ClientPlan } from "./http-client.ts";
import type { RequestPlan, Sendings } from "./ledger.ts";
import type { TunnelPlan } from "./tunnel-client.ts";
import type { Wire } from "./socket.ts";
import type { World } from "./world.ts";

export const WEB_PORT = 1_000;
export const ECHO_PORT = 1_001;
/** Back ends listen from here on. */
export const TARGET_PORT = 2_000;
export const ECHO_TARGET_PORT = 3_000;

export const FAULTS = ["reset", "stall", "target-dies", "target-hangs", "target-unreachable", "worker-dies", "worker-hangs", "supervisor-hangs", "reload", "clock-jumps", "drain", "cut"] as const;

export interface Fault {
  /** When, in ms. */
  readonly at: number;
  readonly kind: (typeof FAULTS)[number];
  /** Uniform in [0, 1): whom of those that are there. */
  readonly whom: number;
  /** For how long, in ms. */
  readonly time: number;
}

export interface Plan {
  /** Nothing is done to anybody, and nobody misbehaves: all must be answered. */
  readonly calm: boolean;
  readonly workers: number;
  /** Of the processes, for all sockets; undefined: any number. */
  readonly openFiles: number | undefined;
  /** The first one is started with; reloads go from one to the next. */
  readonly configs: readonly object[];
  readonly sendings: Sendings;
  readonly targets: number;
  readonly echoTargets: number;
  readonly manners: Manners;
  readonly echoManners: EchoManners;
  readonly clients: readonly ClientPlan[];
  /** Those of them that speak HTTP/2, and what they do instead. */
  readonly h2Clients: H2Clients;
  /** How targets speak HTTP/2; undefined: they do not. */
  readonly h2Manners: H2Manners | undefined;
  readonly hasHttp2: boolean;
  /** A proxy speaks for each client, by the PROXY protocol. */
  readonly proxied: boolean;
  readonly tunnels: readonly TunnelPlan[];
  readonly echoes: readonly EchoPlan[];
  readonly faults: readonly Fault[];
  /** By the port that is connected to. */
  readonly wire: Wire;
  readonly slowWire: Wire;
  /** Of a request's body so much is kept. */
  readonly retryBuffer: number;
}

/** The streams of chance that say who speaks HTTP/2, and how targets do: such that nobody does in the worlds that found something before there was any. */
const MODERN = 71;
const MODERN_TARGETS = 9;
/** … who has a tunnel, and whether a proxy speaks for all: nobody in those worlds either. */
const PROXIES = 22;
const TUNNELS = 20;

/** Whole ms. */
function time(dice: Dice, from: number, to: number): string {
  return `${from + dice.below(to - from)}ms`;
}

const GOOD: Manners = { silent: 0, breaks: 0, garbles: 0, truncates: 0, overruns: 0, fails: 0, closes: 0.1, vanishes: 0, turnsDeaf: 0, early: 0, interim: 0.1, thinks: 20, dawdles: 3, largest: 60_000, ill: 0 };

function manners(dice: Dice): Manners {
  const some = (most: number): number => (dice.chance(0.35) ? dice.random() * most : 0);
  return {
    silent: some(0.15),
    breaks: some(0.3),
    garbles: some(0.1),
    truncates: some(0.3),
    overruns: some(0.1),
    fails: some(0.3),
    closes: some(0.3),
    vanishes: some(0.3),
    turnsDeaf: some(0.5),
    early: some(0.4),
    interim: some(0.2),
    thinks: dice.one([2, 30, 150]),
    dawdles: dice.one([0, 3, 30]),
    largest: dice.one([2_000, 30_000, 100_000]),
    ill: some(0.3),
  };
}

function wire(dice: Dice, quick: boolean): Wire {
  return {
    latency: dice.one([0.05, 0.3, quick ? 0.3 : 15]),
    jitter: dice.one([0, 0.5, quick ? 1 : 20]),
    capacity: dice.one([1_500, 8_192, 65_536, 262_144]),
    readSize: dice.one([500, 4_096, 65_536, 524_288]),
    shortReads: dice.chance(0.4) ? dice.random() * 0.5 : 0,
    shortWrites: dice.chance(0.4) ? dice.random() * 0.5 : 0,
  };
}

interface Shape {
  readonly calm: boolean;
  readonly targets: number;
  readonly echoTargets: number;
  readonly retries: number;
  readonly retryBuffer: number;
  readonly hedged: boolean;
}

/** Longer than anybody in calm weather pauses: as long as everybody goes on, nobody is given up. */
const CALM_PAUSE = "1500ms";
const CALM_TIMEOUTS = { connect: "60s", response: "60s", body: CALM_PAUSE, idle: "300ms" };

interface Config {
  readonly listeners: readonly object[];
  readonly upstreams: readonly object[];
}

function config(dice: Dice, shape: Shape): Config {
  const { calm, retries, retryBuffer, hedged } = shape;
  const targets = Array.from({ length: shape.targets }, (_, i) => ({ address: `127.0.0.1:${TARGET_PORT + i}`, weight: 1 + dice.below(3), ...(dice.chance(0.15) && i > 0 ? { backup: true } : {}) }));
  const policy = dice.one(POLICY_NAMES.filter((name) => name !== "single"));
  const limited = !calm && dice.chance(0.4);
  return {
    listeners: [
      {
        name: "web",
        address: `127.0.0.1:${WEB_PORT}`,
        upstream: "app",
        timeouts: calm
          ? { client_header: "60s", client_body: CALM_PAUSE, client_idle: "10s", tunnel_idle: "10s" }
          : { client_header: time(dice, 100, 600), client_body: time(dice, 100, 600), client_idle: time(dice, 50, 800), tunnel_idle: "1500ms", request: dice.chance(0.3) ? time(dice, 100, 1_500) : "off" },
        ...(calm ? {} : { limits: { body_bytes: dice.chance(0.2) ? 10_000 : "off" }, ...(dice.chance(0.15) ? { max_clients: 2 + dice.below(3) } : {}), ...(dice.chance(0.1) ? { max_clients_per_ip: 1 } : {}) }),
      },
      {
        name: "raw",
        address: `127.0.0.1:${ECHO_PORT}`,
        protocol: "tcp",
        upstream: "echo",
        timeouts: { tunnel_idle: calm ? CALM_PAUSE : time(dice, 200, 1_500) },
      },
    ],
    upstreams: [
      {
        name: "app",
        policy,
        ...(policy.includes("hash") ? { ...(policy === "hash" ? { hash_key: dice.one(["client-ip", "path"]) } : {}), hash_method: dice.one(["ketama", "maglev", "rendezvous"]), bounded_load: dice.one([0, 1.25]) } : {}),
        targets: calm || dice.chance(0.7) ? targets : targets.slice(dice.below(targets.length)),
        pool_size: dice.one([0, 1, 4, 256]),
        retries,
        retry_buffer: retryBuffer,
        retry_backoff: dice.one(["off", "5ms", "25ms"]),
        retry_budget_min: dice.one([0, 3, 20]),
        ...(dice.chance(0.2) ? { retry_on: ["connect-failure", "reset", "timeout", 503] } : {}),
        ...(hedged ? { hedge: { percentile: 50 + dice.below(45), min_delay: time(dice, 2, 20) } } : {}),
        ...(limited ? { [dice.one(["max_requests", "max_connections"])]: 1 + dice.below(3), queue_size: dice.below(6), queue_timeout: time(dice, 30, 400) } : {}),
        ...(!calm && dice.chance(0.2) ? { circuit_breaker: { failure_rate: dice.one([20, 50]), min_requests: 2 + dice.below(4), window: "500ms", open_for: time(dice, 50, 300), probes: 1 + dice.below(3) } } : {}),
        ...(calm ? {} : { outlier_detection: dice.chance(0.5) ? false : { consecutive_5xx: dice.below(4), base_ejection: time(dice, 50, 300), interval: "100ms", max_ejected: dice.one([10, 50, 100]) } }),
        ...(dice.chance(0.3) ? { sticky: { secret: "0123456789abcdef0123456789abcdef" } } : {}),
        ...(dice.chance(0.4) ? { health_check: { type: dice.one(["http", "tcp"]), path: "/health", interval: time(dice, 50, 300), timeout: calm ? "10s" : time(dice, 20, 100), rise: 1, fall: 1 + dice.below(2) } } : {}),
        ...(dice.chance(0.2) ? { slow_start: "300ms" } : {}),
        drain_timeout: time(dice, 50, 500),
        timeouts: calm ? CALM_TIMEOUTS : { connect: time(dice, 50, 300), response: time(dice, 50, 500), attempt: dice.chance(0.3) ? time(dice, 30, 200) : "off", body: time(dice, 50, 400), idle: time(dice, 50, 600) },
      },
      {
        name: "echo",
        retries: dice.below(3),
        targets: Array.from({ length: shape.echoTargets }, (_, i) => ({ address: `127.0.0.1:${ECHO_TARGET_PORT + i}` })),
        ...(!calm && dice.chance(0.3) ? { max_connections: 1 + dice.below(2), queue_size: dice.below(4), queue_timeout: time(dice, 30, 400) } : {}),
        drain_timeout: time(dice, 50, 500),
        timeouts: calm ? CALM_TIMEOUTS : { connect: time(dice, 50, 300) },
      },
    ],
  };
}

function request(dice: Dice, id: number, largest: number): RequestPlan {
  const method = dice.one(["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "PATCH"] as const);
  const minor = dice.chance(0.06) ? 0 : 1;
  const hasBody = method === "POST" || method === "PUT" || method === "PATCH";
  const framing = hasBody ? dice.one(minor === 1 ? (["length", "chunked"] as const) : (["length"] as const)) : "none";
  const length = framing === "none" ? 0 : dice.chance(0.3) ? dice.below(largest) : dice.below(Math.min(500, largest));
  return { id, method, framing, length, minor, closes: dice.chance(0.12), expects: framing !== "none" && length > 0 && minor === 1 && dice.chance(0.1) };
}

function client(dice: Dice, calm: boolean, nextId: () => number): ClientPlan {
  const hurried = dice.chance(0.04);
  const largest = hurried ? 30_000 : dice.one([500, 20_000, 100_000]);
  const requests = Array.from({ length: hurried ? 20 + dice.below(40) : 1 + dice.below(5) }, () => request(dice, nextId(), largest));
  return {
    at: dice.random() * 400,
    requests,
    pipeline: hurried ? requests.length : dice.chance(0.3) ? 2 + dice.below(3) : 1,
    slowWrites: hurried ? 0 : dice.chance(0.3) ? dice.one([2, 30, 150]) : 0,
    slowReads: dice.chance(0.3) ? dice.one([2, 20, 100, 400]) : 0,
    leaves: !calm && dice.chance(0.2) ? { after: dice.one(["bytes", "time"]), amount: dice.below(dice.one([300, 5_000])), how: dice.one(["reset", "close", "fin"]) } : undefined,
    goodbye: dice.one(["close", "close", "reset", "wait"]),
  };
}

function echo(dice: Dice, calm: boolean, nextId: () => number): EchoPlan {
  return {
    id: nextId(),
    at: dice.random() * 400,
    length: dice.below(dice.one([50, 3_000, 60_000])),
    slowWrites: dice.chance(0.3) ? 20 : 0,
    slowReads: dice.chance(0.3) ? 20 : 0,
    leavesAfter: !calm && dice.chance(0.15) ? dice.below(3_000) : undefined,
  };
}

function faults(dice: Dice): Fault[] {
  const kinds = FAULTS.filter(() => dice.chance(0.4));
  if (kinds.length === 0) return [];
  return Array.from({ length: dice.below(7) }, () => ({ at: dice.random() * 700, kind: dice.one(kinds), whom: dice.random(), time: dice.one([5, 60, 400, 1_200]) * dice.random() })).toSorted((a, b) => a.at - b.at);
}

/** A configuration, with what it says of clients of HTTP/2 beside. */
function withClients(speak: boolean, config: Config, dice: Dice): Config {
  const [web, ...others] = config.listeners;
  return speak ? { ...config, listeners: [{ ...web, http2: listenerLimits(dice) }, ...others] } : config;
}

/** … of a proxy before it; */
function withProxy(speaks: boolean, config: Config, calm: boolean): Config {
  const proxy = { proxy_protocol: { from: ["10.0.0.0/8"], timeout: calm ? "60s" : "300ms" } };
  return speaks ? { ...config, listeners: config.listeners.map((listener) => ({ ...listener, ...proxy })) } : config;
}

/** … and of targets; now and then it talks HTTP/1 with them all the same. */
function withTargets(speak: boolean, config: Config, dice: Dice): Config {
  const [app, ...others] = config.upstreams;
  return speak && dice.chance(0.85) ? { ...config, upstreams: [{ ...app, protocol: "h2c", max_concurrent_streams: dice.one([1, 2, 10, 100]) }, ...others] } : config;
}

export function planOf(world: World): Plan {
  const dice = world.diceOf(2);
  const calm = dice.chance(0.3);
  const shape: Shape = {
    calm,
    targets: 1 + dice.below(4),
    echoTargets: 1 + dice.below(2),
    retries: dice.below(4),
    retryBuffer: dice.one([0, 1_000, 65_536]),
    hedged: dice.chance(0.25),
  };
  const configs = Array.from({ length: 3 }, () => config(dice, shape));
  let lastId = 0;
  const nextId = (): number => ++lastId;
  const people = world.diceOf(3);
  const clients = Array.from({ length: 1 + people.below(6) }, () => client(people, calm, nextId));
  const echoes = Array.from({ length: people.chance(0.4) ? 1 + people.below(3) : 0 }, () => echo(people, calm, nextId));
  const modern = world.diceOf(MODERN);
  const speaks = modern.chance(0.35) ? "h1" : modern.one(["clients", "targets", "both"] as const);
  const h2 = speaks === "clients" || speaks === "both";
  const h2Targets = speaks === "targets" || speaks === "both";
  const targets = world.diceOf(MODERN_TARGETS);
  const proxied = world.diceOf(PROXIES).chance(0.15);
  return {
    calm,
    workers: 1 + dice.below(2),
    openFiles: !calm && dice.chance(0.08) ? 128 + 6 + dice.below(12) : undefined,
    configs: configs.map((each) => withTargets(h2Targets, withProxy(proxied, withClients(h2, each, modern), calm), targets)),
    sendings: shape,
    targets: shape.targets,
    echoTargets: shape.echoTargets,
    manners: calm ? GOOD : manners(dice),
    echoManners: calm ? { resets: 0, closes: 0, slow: 5 } : { resets: dice.random() * 0.3, closes: dice.random() * 0.2, slow: 30 },
    clients,
    h2Clients: h2 ? h2Clients(modern, calm, clients.length, (id, largest) => request(modern, id, largest), nextId) : [],
    h2Manners: h2Targets ? h2Manners(targets, calm) : undefined,
    hasHttp2: speaks !== "h1",
    proxied,
    tunnels: tunnelPlans(world.diceOf(TUNNELS), calm, h2, nextId),
    echoes,
    faults: calm ? [] : faults(world.diceOf(4)),
    wire: wire(dice, true),
    slowWire: wire(dice, false),
    retryBuffer: shape.retryBuffer,
  };
}

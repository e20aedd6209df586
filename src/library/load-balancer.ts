/** Fairlead as a library: the same data plane and health checks in one process, without a supervisor. */
import { withHealth } from "../admin/explain.ts";
import { type Explained, type RequestToExplain, requestToExplain } from "../admin/explained.ts";
import { diagnosticLine, loadConfig, loadConfigText, loadConfigValue, SlotAllocator, type Loaded, type LoadOptions } from "../config/load.ts";
import { randomBytes } from "node:crypto";
import { formatAddress } from "../config/values.ts";
import type { Snapshot } from "../config/snapshot.ts";
import type { TargetStatus } from "../health/checker.ts";
import { HealthMonitor } from "../health/monitor.ts";
import { Metrics } from "../metrics/metrics.ts";
import { bunNetwork } from "../net/bun.ts";
import { openFilesLimit } from "../net/open-files.ts";
import type { NetListener } from "../net/network.ts";
import { LogRotation } from "../observability/log-rotation.ts";
import { oneLog, silentLog, type Log } from "../observability/log.ts";
import type { Account, Witness } from "../observability/account.ts";
import { type EventQuery, Timeline, type TimelineEvent } from "../observability/timeline.ts";
import type { PolicyFactory, RoutingPolicy } from "../policies/policy.ts";
import { LISTENER_ROWS, MAX_ROUTES, Scoreboard } from "../scoreboard/scoreboard.ts";
import packageJson from "../../package.json";
import { DataPlane } from "../worker/data-plane.ts";

export interface LoadBalancerOptions {
  /** Where clients connect; 0 (default) takes a free port. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default http. */
  readonly protocol?: "http" | "tcp" | "udp";
  /** As the config's tls of a listener: a table, with paths relative to the working directory, or "self-signed"; absent: clients speak cleartext. */
  readonly tls?: "self-signed" | Readonly<Record<string, unknown>>;
  /** As the config's tls of an upstream; absent: targets are spoken to in the clear. */
  readonly targetTls?: true | Readonly<Record<string, unknown>>;
  /** Addresses to balance over, as "127.0.0.1:9001". */
  readonly targets?: readonly (string | { readonly address: string; readonly weight?: number })[];
  /** A built-in policy by name, a policy, or a factory of one. Default round-robin. */
  readonly policy?: string | RoutingPolicy | PolicyFactory;
  /** As in the config's [upstreams.health_check]; absent: targets are not watched. */
  readonly healthCheck?: Readonly<Record<string, unknown>>;
  /** Instead of all above: the text of a configuration. */
  readonly config?: string;
  /** Instead of all above: the path of a configuration. */
  readonly configFile?: string;
  /** Hears of each exchange when it has ended, with each attempt: whoever hears must be quick, for the next one waits. */
  readonly onExchange?: (account: Account) => void;
  /** A pino-like logger; default: silence. */
  readonly log?: Log;
}

/** The options make no configuration: `message` says everything that is wrong. */
export class ConfigurationError extends Error {
  readonly code = "FAIRLEAD_CONFIG";
}

/** How long `stop` waits for open requests, in ms. */
const STOP_TIMEOUT = 30_000;
const SLOTS = { targets: 16_384, upstreams: 256 };
const ALL_ROWS = { ...SLOTS, listeners: LISTENER_ROWS, routes: MAX_ROUTES };
/** The name under which a policy made in code is known to the configuration. */
const OWN_POLICY = "policy-in-code";

/** Whatever it throws, the exchange has ended well, and so does the next one. */
function witnessOf(onExchange: (account: Account) => void, log: Log): Witness {
  return {
    wants: () => true,
    tell: (account) => {
      try {
        onExchange(account);
      } catch (error) {
        log.error({ reason: String(error) }, "onExchange threw");
      }
    },
  };
}

/**
 * A load balancer in this process.
 *
 * ```ts
 * const lb = new LoadBalancer({ port: 0, targets: ["127.0.0.1:9001", "127.0.0.1:9002"], policy: new RoundRobinPolicy() });
 * await lb.start();
 * console.log(lb.uri);
 * await lb.stop();
 * ```
 */
export class LoadBalancer {
  private readonly options: LoadBalancerOptions;
  private readonly slots = new SlotAllocator(SLOTS);
  private readonly timeline = new Timeline(() => Date.now());
  private readonly board = Scoreboard.local({ ...SLOTS, workers: 1 });
  private plane: DataPlane | undefined = undefined;
  private rotation: LogRotation | undefined = undefined;
  private monitor: HealthMonitor | undefined = undefined;
  private metered: Metrics | undefined = undefined;
  private snapshot: Snapshot | undefined = undefined;
  private readonly listeners = new Map<string, NetListener>();

  constructor(options: LoadBalancerOptions = {}) {
    this.options = options;
  }

  /**
   * Listen and serve. @returns this
   * @throws ConfigurationError, or the system's error when an address cannot be had
   */
  async start(): Promise<this> {
    if (this.plane !== undefined) throw new Error("this load balancer runs already");
    const loaded = this.load(1);
    if (!loaded.ok) throw new ConfigurationError(loaded.diagnostics.map(diagnosticLine).join("\n"));
    const { snapshot } = loaded;
    this.board.setBounds(snapshot.metrics.buckets, ALL_ROWS);
    const acme = snapshot.listeners.find(({ tls }) => tls?.acme !== undefined);
    if (acme !== undefined) throw new ConfigurationError(`listener "${acme.name}" wants a certificate by ACME, which a supervisor orders: use fairlead run, or name the files of a certificate`);
    if (snapshot.user !== undefined) throw new ConfigurationError(`user = "${snapshot.user.name}" is for workers, and there are none in one process: start it as that user, or use fairlead run`);
    const network = bunNetwork();
    const { log = silentLog(), onExchange } = this.options;
    const monitor = new HealthMonitor({ network, scoreboard: this.board, log, chronicle: this.timeline });
    const plane = new DataPlane({ network, scoreboard: this.board, slot: 0, logs: oneLog(log), policies: this.policies, openFiles: openFilesLimit(), report: (outlier) => monitor.ejection.report(outlier), turned: (change) => monitor.turned(change), ...(onExchange === undefined ? {} : { witnesses: [witnessOf(onExchange, log)] }) });
    try {
      await plane.apply(snapshot);
      for (const { name } of snapshot.listeners) this.listeners.set(name, plane.open(name));
    } catch (error) {
      plane.stop();
      this.listeners.clear();
      throw error;
    }
    this.plane = plane;
    this.rotation = new LogRotation(log, () => plane.reopenLogs());
    this.rotation.apply(snapshot.accessLog);
    this.snapshot = snapshot;
    monitor.apply(snapshot);
    this.monitor = monitor;
    const startedAt = network.clock.wall();
    const config = { applied: { generation: snapshot.generation, at: new Date(startedAt).toISOString() }, rejected: null };
    this.metered = new Metrics({
      version: packageJson.version,
      startedAt,
      clock: network.clock,
      scoreboard: this.board,
      snapshot: () => snapshot,
      health: monitor,
      workers: () => [{ pid: process.pid, slot: 0 }],
      processes: () => [{ name: "library", pid: process.pid }],
      restarts: () => 0,
      config: () => config,
    });
    return this;
  }

  private get policies(): ReadonlyMap<string, PolicyFactory> {
    const { policy } = this.options;
    if (policy === undefined || typeof policy === "string") return new Map();
    return new Map([[OWN_POLICY, typeof policy === "function" ? policy : () => policy]]);
  }

  private load(generation: number): Loaded {
    const { port = 0, host = "127.0.0.1", protocol = "http", tls, targetTls, targets = [], policy, healthCheck, config, configFile } = this.options;
    const how: LoadOptions = { slots: this.slots, generation, policies: [...this.policies.keys()], secret: () => randomBytes(32).toString("hex") };
    if (configFile !== undefined) return loadConfig(configFile, how);
    if (config !== undefined) return loadConfigText(config, "config", how);
    const value = {
      listeners: [{ name: "default", address: host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`, protocol, ...(tls === undefined ? {} : { tls }), upstream: "default" }],
      upstreams: [
        {
          name: "default",
          ...(policy === undefined ? {} : { policy: typeof policy === "string" ? policy : OWN_POLICY }),
          ...(targetTls === undefined ? {} : { tls: targetTls }),
          ...(healthCheck === undefined ? {} : { health_check: healthCheck }),
          targets: targets.map((target) => (typeof target === "string" ? { address: target } : target)),
        },
      ],
    };
    return loadConfigValue(value, undefined, "options", how);
  }

  /** The bound port of a listener; of the first one by default. */
  port(listener?: string): number {
    const found = listener === undefined ? this.listeners.values().next().value : this.listeners.get(listener);
    if (found === undefined) throw new Error(this.plane === undefined ? "this load balancer does not run" : `no listener "${listener}"`);
    return found.port;
  }

  /** Where the first listener can be reached, as http://127.0.0.1:8080, https://127.0.0.1:8443 or tcp://127.0.0.1:8080. */
  get uri(): string {
    const port = this.port();
    const { protocol, address, tls } = this.snapshot!.listeners[0]!;
    if (address.kind !== "tcp") return formatAddress(address);
    const host = address.host === "0.0.0.0" || address.host === "::" ? "127.0.0.1" : address.host;
    return `${protocol === "http" && tls !== undefined ? "https" : protocol}://${host.includes(":") ? `[${host}]` : host}:${port}`;
  }

  /** All that is counted, as Prometheus reads it (text format 0.0.4). */
  async metrics(): Promise<string> {
    if (this.metered === undefined) throw new Error("this load balancer does not run");
    return (await this.metered.text()).text;
  }

  /** What the health checks know of each target. */
  get health(): readonly TargetStatus[] {
    return this.monitor?.checker.status() ?? [];
  }

  /**
   * Which way a request would go, and why; nothing is sent, and no turn is taken. The answer is that of `POST /v1/explain`.
   * @throws Error that says what is wrong with the request, or that this load balancer does not run
   */
  async explain(request: RequestToExplain): Promise<Explained> {
    const { plane, monitor } = this;
    if (plane === undefined || monitor === undefined) throw new Error("this load balancer does not run");
    const checked = requestToExplain.safeParse(request);
    if (!checked.success) throw new TypeError(checked.error.issues.map(({ path, message }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`)).join("; "));
    const { checker, rotation, ejection } = monitor;
    const told = await plane.explain(checked.data);
    return withHealth(told, { targets: checker.status().map((target) => ({ ...target, ...rotation.status(target.slot) })), ejections: ejection.status() });
  }

  /** What has happened to targets in the last day, newest first; at most `limit` events (default 1,000). */
  events(query: Partial<EventQuery> = {}): readonly TimelineEvent[] {
    return this.timeline.query({ limit: 1_000, ...query });
  }

  /** Stop accepting and let open requests end, for at most `timeout` ms (default 30,000). */
  async stop(timeout = STOP_TIMEOUT): Promise<void> {
    const { plane } = this;
    if (plane === undefined) return;
    this.plane = undefined;
    this.monitor?.stop();
    await plane.drain(timeout);
    this.rotation?.stop();
    this.listeners.clear();
  }
}

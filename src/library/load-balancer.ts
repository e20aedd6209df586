/** Fairlead as a library: the same data plane and health checks in one process, without a supervisor. */
import { diagnosticLine, loadConfig, loadConfigText, loadConfigValue, SlotAllocator, type Loaded, type LoadOptions } from "../config/load.ts";
import { randomBytes } from "node:crypto";
import type { Snapshot } from "../config/snapshot.ts";
import { HealthChecker, type TargetStatus } from "../health/checker.ts";
import { Ejection } from "../health/ejection.ts";
import { Rotation } from "../health/rotation.ts";
import { bunNetwork } from "../net/bun.ts";
import { openFilesLimit } from "../net/open-files.ts";
import type { NetListener } from "../net/network.ts";
import { silentLog, type Log } from "../observability/log.ts";
import type { PolicyFactory, RoutingPolicy } from "../policies/policy.ts";
import { Scoreboard } from "../scoreboard/scoreboard.ts";
import { DataPlane } from "../worker/data-plane.ts";

export interface LoadBalancerOptions {
  /** Where clients connect; 0 (default) takes a free port. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default http. */
  readonly protocol?: "http" | "tcp" | "udp";
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
/** The name under which a policy made in code is known to the configuration. */
const OWN_POLICY = "policy-in-code";

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
  private readonly board = Scoreboard.local({ ...SLOTS, workers: 1 });
  private plane: DataPlane | undefined = undefined;
  private checker: HealthChecker | undefined = undefined;
  private unwatch: () => void = () => {};
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
    const network = bunNetwork();
    const log = this.options.log ?? silentLog();
    const rotation = new Rotation({ scoreboard: this.board, clock: network.clock, log });
    const ejection = new Ejection({ scoreboard: this.board, rotation, clock: network.clock, log });
    const plane = new DataPlane({ network, scoreboard: this.board, slot: 0, log, policies: this.policies, openFiles: openFilesLimit(), report: (outlier) => ejection.report(outlier) });
    try {
      await plane.apply(snapshot);
      for (const { name } of snapshot.listeners) this.listeners.set(name, plane.open(name));
    } catch (error) {
      plane.stop();
      this.listeners.clear();
      throw error;
    }
    this.plane = plane;
    this.snapshot = snapshot;
    const checker = new HealthChecker({ network, scoreboard: this.board, rotation, log, passed: (slot, back) => ejection.passed(slot, back) });
    for (const each of [rotation, checker, ejection]) each.apply(snapshot);
    this.checker = checker;
    this.unwatch = () => {
      for (const each of [checker, ejection, rotation]) each.stop();
    };
    return this;
  }

  private get policies(): ReadonlyMap<string, PolicyFactory> {
    const { policy } = this.options;
    if (policy === undefined || typeof policy === "string") return new Map();
    return new Map([[OWN_POLICY, typeof policy === "function" ? policy : () => policy]]);
  }

  private load(generation: number): Loaded {
    const { port = 0, host = "127.0.0.1", protocol = "http", targets = [], policy, healthCheck, config, configFile } = this.options;
    const how: LoadOptions = { slots: this.slots, generation, policies: [...this.policies.keys()], secret: () => randomBytes(32).toString("hex") };
    if (configFile !== undefined) return loadConfig(configFile, how);
    if (config !== undefined) return loadConfigText(config, "config", how);
    const value = {
      listeners: [{ name: "default", address: host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`, protocol, upstream: "default" }],
      upstreams: [
        {
          name: "default",
          ...(policy === undefined ? {} : { policy: typeof policy === "string" ? policy : OWN_POLICY }),
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

  /** Where the first listener can be reached, as http://127.0.0.1:8080 or tcp://127.0.0.1:8080. */
  get uri(): string {
    const port = this.port();
    const { protocol, address } = this.snapshot!.listeners[0]!;
    if (address.kind === "unix") return `unix:${address.path}`;
    const host = address.host === "0.0.0.0" || address.host === "::" ? "127.0.0.1" : address.host;
    return `${protocol}://${host.includes(":") ? `[${host}]` : host}:${port}`;
  }

  /** What the health checks know of each target. */
  get health(): readonly TargetStatus[] {
    return this.checker?.status() ?? [];
  }

  /** Stop accepting and let open requests end, for at most `timeout` ms (default 30,000). */
  async stop(timeout = STOP_TIMEOUT): Promise<void> {
    const { plane } = this;
    if (plane === undefined) return;
    this.plane = undefined;
    this.unwatch();
    await plane.drain(timeout);
    this.listeners.clear();
  }
}

/**
 * Back ends that Fairlead starts itself: as many as the config says, each with a port of its own, replaced when they end or stay unhealthy,
 * rolled one at a time. An instance becomes a target when its upstream's check has passed once.
 */
import type { JoinedTarget } from "../config/joined.ts";
import type { HealthCheckConfig, Snapshot, SupervisedConfig, TargetConfig, UpstreamConfig } from "../config/snapshot.ts";
import type { CheckContext } from "../health/check.ts";
import { HangingConnects } from "../health/hanging.ts";
import { kindOf } from "../health/kinds.ts";
import type { Rotation } from "../health/rotation.ts";
import type { Network } from "../net/network.ts";
import type { EventKind } from "../observability/event-kind.ts";
import type { Log, LogFormat } from "../observability/log.ts";
import type { Chronicle } from "../observability/timeline.ts";
import { Flag, type Scoreboard } from "../scoreboard/scoreboard.ts";
import { freePort, Instance, nextPause } from "./instance.ts";
import { KeeperProcess } from "./keeper-process.ts";
import type { FromKeeper } from "./messages.ts";

/** Between two checks of an instance that starts, in ms. */
const ASK_EVERY = 50;
/** Between two looks at the health of those that serve, in ms. */
const LOOK_EVERY = 250;
/** Between two looks at what is open to one that leaves, in ms; so long workers have at the least to see that it does. */
const DRAIN_LOOK_EVERY = 40;
/** An instance that ran for this long has come up well: the pauses begin anew. */
const STABLE = 60_000;

/** Without a check of the upstream's own, who takes a connection is ready. */
const CONNECT: Omit<HealthCheckConfig, "timeout"> = { type: "tcp", interval: 1_000, rise: 1, fall: 1, initial: "up", path: "", method: "GET", headers: [], statuses: [], service: "", tls: false, command: [] };

export interface SupervisedOptions {
  readonly self: readonly string[];
  readonly logFormat: LogFormat;
  readonly scoreboard: Scoreboard;
  /** Descriptor of its file, without the lock that all who serve have on it. */
  readonly watch: number;
  readonly rotation: Rotation;
  readonly network: Network;
  readonly log: Log;
  readonly chronicle: Chronicle;
  /** Whom back ends run as, "uid:gid"; "-": as this process. */
  readonly user: () => string;
  /** See CheckContext. */
  readonly starter: () => readonly string[];
  /** Other instances serve than before. */
  readonly changed: () => void;
}

/** For inspection. */
export interface InstanceStatus {
  readonly upstream: string;
  readonly address: string;
  readonly pid: number;
  readonly state: string;
  readonly restarts: number;
}

export class Supervised {
  private readonly options: SupervisedOptions;
  private readonly context: CheckContext;
  private snapshot: Snapshot | undefined = undefined;
  private keeper: KeeperProcess | undefined = undefined;
  private readonly instances = new Set<Instance>();
  private nextId = 1;
  /** What is done one after another, by upstream. */
  private readonly work = new Map<string, Promise<void>>();
  private cancelLook: () => void = () => {};
  private stopping = false;
  /** An instance serves, or is given up. */
  private moved: () => void = () => {};

  constructor(options: SupervisedOptions) {
    this.options = options;
    this.context = { network: options.network, hanging: new HangingConnects(), starter: options.starter };
  }

  /** Run what this snapshot asks for from now on. @param roll replace also what has not changed, where the config wants that */
  apply(snapshot: Snapshot, roll = false): void {
    this.follow(snapshot);
    const wanted = new Map(snapshot.upstreams.filter(({ supervised }) => supervised !== undefined).map((upstream) => [upstream.name, upstream]));
    for (const name of new Set([...wanted.keys(), ...[...this.instances].map(({ upstream }) => upstream)])) {
      this.inTurn(name, () => this.settle(name, wanted.get(name)?.supervised, roll));
    }
    this.lookAfter();
  }

  /** The configuration has changed in other ways: the instances are the same. */
  follow(snapshot: Snapshot): void {
    this.snapshot = snapshot;
    for (const instance of this.instances) instance.target = this.targetOf(instance) ?? instance.target;
  }

  /** Each upstream that wants instances has one that serves. False: that took too long, will not happen, or is not wanted any more. */
  async firstServing(patience: number, stopped: AbortSignal): Promise<boolean> {
    const wanting = this.snapshot!.upstreams.filter(({ supervised }) => supervised !== undefined);
    const complete = (): boolean => wanting.every(({ name }) => this.of(name).some(({ state }) => state === "serving"));
    if (complete()) return true;
    return new Promise((resolve) => {
      const cancel = this.options.network.clock.after(patience, () => resolve(complete()));
      stopped.addEventListener("abort", () => resolve(false));
      this.moved = () => {
        const hopeless = wanting.some(({ name }) => this.of(name).length === 0);
        if (!hopeless && !complete()) return;
        cancel();
        resolve(complete());
      };
    });
  }

  joined(): Map<string, JoinedTarget[]> {
    const joined = new Map<string, JoinedTarget[]>();
    for (const { upstream, address, state } of this.instances) {
      if (state !== "serving" && state !== "leaving") continue;
      joined.set(upstream, [...(joined.get(upstream) ?? []), { address }]);
    }
    return joined;
  }

  status(): InstanceStatus[] {
    return [...this.instances].map(({ upstream, address, pid, state, restarts }) => ({ upstream, address, pid, state, restarts: restarts.length }));
  }

  /** Start nothing any more; what runs goes on. */
  rest(): void {
    this.stopping = true;
    this.cancelLook();
    for (const { cancel } of this.instances) cancel();
  }

  /** Ask all to end; resolves when they have. */
  async stop(): Promise<void> {
    this.rest();
    await this.keeper?.stop();
  }

  /** End all at once. */
  kill(): void {
    this.rest();
    this.keeper?.kill();
  }

  private of(upstream: string): Instance[] {
    return [...this.instances].filter((instance) => instance.upstream === upstream);
  }

  private inTurn(upstream: string, work: () => Promise<void>): void {
    const before = this.work.get(upstream) ?? Promise.resolve();
    this.work.set(
      upstream,
      before.then(work).catch((error: unknown) => this.options.log.error({ upstream, reason: error instanceof Error ? error.message : String(error) }, "Supervised back ends")),
    );
  }

  /** The right number of them, of the right kind. */
  private async settle(upstream: string, config: SupervisedConfig | undefined, roll: boolean): Promise<void> {
    if (this.stopping) return;
    const own = this.of(upstream).filter(({ state }) => state !== "leaving" && state !== "over");
    if (config === undefined) {
      await Promise.all(own.map((instance) => this.retire(instance)));
      return;
    }
    const stale = own.filter((instance) => (roll && config.rollOnReload) || kindOfInstance(instance.config) !== kindOfInstance(config));
    const current = own.filter((instance) => !stale.includes(instance));
    for (const instance of current) instance.config = config;
    for (const instance of current.splice(config.instances)) stale.push(instance);
    const missing = config.instances - own.length;
    await Promise.all(Array.from({ length: missing }, () => this.launch(upstream, config)));
    const spare = Math.max(0, own.length - config.instances);
    await Promise.all(stale.splice(0, spare).map((instance) => this.retire(instance)));
    // One at a time: the new one serves before the old one drains.
    for (const old of stale) {
      if (this.stopping) return;
      const fresh = await this.launch(upstream, config);
      if ((await this.outcome(fresh)) === "serving") await this.retire(old);
      else {
        await this.retire(fresh);
        this.options.log.error({ upstream, instance: fresh.address }, "The new back end does not come up; the old ones stay");
        return;
      }
    }
  }

  private async launch(upstream: string, config: SupervisedConfig): Promise<Instance> {
    const instance = new Instance(this.nextId++, upstream, config, 0);
    this.instances.add(instance);
    await this.start(instance);
    return instance;
  }

  private async start(instance: Instance): Promise<void> {
    const { network } = this.options;
    const { config, upstream } = instance;
    const ports = new Set([...this.instances].filter((other) => other !== instance).map(({ port }) => port));
    instance.state = "starting";
    instance.startedAt = network.clock.precise();
    try {
      instance.port = await freePort(config.port, ports);
    } catch (error) {
      return this.ended(instance, error instanceof Error ? error.message : String(error));
    }
    if (this.stopping) return;
    instance.unhealthySince = undefined;
    this.keeper ??= this.startKeeper();
    this.keeper.say({
      type: "start",
      id: instance.id,
      command: config.command,
      directory: config.directory,
      user: this.options.user(),
      environment: { ...config.environment, PORT: String(instance.port) },
      label: `${upstream}:${instance.port}`,
      stopTimeout: config.stopTimeout,
    });
    this.await(instance);
  }

  private startKeeper(): KeeperProcess {
    const { self, watch, logFormat, log } = this.options;
    return new KeeperProcess({
      self,
      watch,
      logFormat,
      hear: (message) => this.hear(message),
      died: (how) => {
        this.keeper = undefined;
        if (this.stopping) return;
        log.error({ how }, "The process that keeps the back ends died; starting them anew");
        for (const instance of this.instances) this.ended(instance, "lost");
      },
    });
  }

  private hear(message: FromKeeper): void {
    const instance = [...this.instances].find(({ id }) => id === message.id);
    if (instance === undefined) return;
    if (message.type === "started") {
      instance.pid = message.pid;
      this.tell(instance, "instance-started", `Back end started as process ${message.pid}`, "instance-ended");
    }
    else this.ended(instance, message.how);
  }

  /** Ask until its check passes. */
  private await(instance: Instance): void {
    const { network, log } = this.options;
    const { clock } = network;
    const until = clock.precise() + instance.config.startTimeout;
    const upstream = this.snapshot?.upstreams.find(({ name }) => name === instance.upstream);
    const check = this.checkOf(instance, upstream);
    const { id } = instance;
    const ask = (): void => {
      instance.cancel = check.run(this.context, ({ ok, reason }) => {
        if (instance.id !== id || instance.state !== "starting" || this.stopping) return;
        if (ok) return this.serve(instance);
        if (clock.precise() > until) {
          log.error({ upstream: instance.upstream, instance: instance.address, process: instance.pid, reason }, "Back end does not come up; starting it anew");
          this.tell(instance, "instance-stopped", `Back end does not come up within ${instance.config.startTimeout} ms (${reason}): it is killed`, "instance-started");
          this.keeper?.say({ type: "kill", id: instance.id });
          return;
        }
        instance.cancel = clock.after(ASK_EVERY, ask);
      });
    };
    ask();
  }

  private checkOf(instance: Instance, upstream: UpstreamConfig | undefined): ReturnType<ReturnType<typeof kindOf>["prepare"]> {
    const config: HealthCheckConfig = upstream?.healthCheck ?? { ...CONNECT, timeout: 1_000 };
    const target: TargetConfig = { address: { kind: "tcp", host: "127.0.0.1", port: instance.port }, name: instance.address, weight: 1, slot: -1, zone: "", tier: 0, maxConnections: 0, maxRequests: 0, drain: false };
    return kindOf(target, config).prepare(target, config);
  }

  private serve(instance: Instance): void {
    const { log, network, changed } = this.options;
    instance.state = "serving";
    // One that drained may have had the same port a moment ago.
    const before = this.targetOf(instance);
    if (before !== undefined) this.options.rotation.setWithdrawn(before.slot, Flag.DRAINING, "supervised", false);
    const milliseconds = Math.round(network.clock.precise() - instance.startedAt);
    log.info({ upstream: instance.upstream, instance: instance.address, process: instance.pid, milliseconds }, "Back end serves");
    this.tell(instance, "instance-serving", `Back end serves, ${milliseconds} ms after its start`, "instance-started");
    changed();
    this.moved();
  }

  /** Its process is gone. */
  private ended(instance: Instance, how: string): void {
    const { log, network, changed } = this.options;
    const { state, config, upstream } = instance;
    instance.cancel();
    if (state === "waiting" || state === "over") return;
    if (state === "leaving" || this.stopping) return this.forget(instance);
    const served = state === "serving";
    const now = network.clock.precise();
    if (served && now - instance.startedAt > STABLE) instance.restarts = instance.restarts.filter((at) => at > instance.startedAt);
    const pause = nextPause(config, instance.restarts, now);
    const fields = { upstream, instance: instance.address, process: instance.pid, how };
    const next = pause === undefined ? `too often (${config.maxRestarts} restarts): it is left alone until the next reload` : pause === 0 ? "it is started again" : `it is started again in ${pause} ms`;
    this.tell(instance, "instance-ended", `Back end ended (${how}): ${next}`, "instance-stopped", "instance-started");
    instance.pid = 0;
    if (pause === undefined) {
      log.error({ ...fields, restarts: config.maxRestarts }, "Back end ended too often; it is left alone until the next reload");
      this.forget(instance);
    } else {
      log.error({ ...fields, milliseconds: pause }, "Back end ended; it is started again");
      instance.state = "waiting";
      // What comes late of the process before is another one's.
      instance.id = this.nextId++;
      instance.cancel = network.clock.after(pause, () => this.inTurn(upstream, () => this.restart(instance)));
    }
    if (served) changed();
  }

  private async restart(instance: Instance): Promise<void> {
    if (!this.stopping && instance.state === "waiting") await this.start(instance);
  }

  private forget(instance: Instance): void {
    const served = instance.state === "serving" || instance.state === "leaving";
    instance.state = "over";
    this.instances.delete(instance);
    instance.end();
    this.moved();
    if (served) this.options.changed();
  }

  /** No new requests, what is open ends, then it is stopped. */
  private async retire(instance: Instance): Promise<void> {
    const { rotation, scoreboard, network, log } = this.options;
    instance.cancel();
    if (instance.state === "waiting") return this.forget(instance);
    const wasServing = instance.state === "serving";
    instance.state = "leaving";
    // Its upstream may be gone from the configuration, but not what is open to it.
    const found = this.targetOf(instance) ?? instance.target;
    if (wasServing && found !== undefined) {
      const { slot, drainTimeout } = found;
      rotation.setWithdrawn(slot, Flag.DRAINING, "supervised", true);
      const until = network.clock.precise() + drainTimeout;
      const idle = (): boolean => scoreboard.openRequests(slot) === 0 || network.clock.precise() > until || instance.pid === 0;
      // Once at the least: a worker that has not looked yet may still send something.
      do await new Promise<void>((resolve) => network.clock.after(DRAIN_LOOK_EVERY, resolve));
      while (!idle() && !this.stopping);
    }
    log.info({ upstream: instance.upstream, instance: instance.address, process: instance.pid }, "Back end is stopped");
    this.tell(instance, "instance-stopped", "Back end is stopped: it is not wanted any more", "drain");
    this.keeper?.say({ type: "stop", id: instance.id });
    if (this.keeper !== undefined && !this.stopping) await instance.ended;
  }

  /** @param follows the newest of these led to it */
  private tell({ upstream, address }: Instance, kind: EventKind, summary: string, ...follows: EventKind[]): void {
    const { chronicle } = this.options;
    chronicle.record({ kind, upstream, target: address, summary, by: "supervised", cause: chronicle.latest(upstream, address, ...follows)?.id ?? 0 });
  }

  private targetOf(instance: Instance): { readonly slot: number; readonly drainTimeout: number } | undefined {
    const upstream = this.snapshot?.upstreams.find(({ name }) => name === instance.upstream);
    const target = upstream?.targets.find(({ name }) => name === instance.address);
    return upstream === undefined || target === undefined ? undefined : { slot: target.slot, drainTimeout: upstream.drainTimeout };
  }

  /** It serves, or it has ended. */
  private async outcome(instance: Instance): Promise<"serving" | "ended"> {
    const { clock } = this.options.network;
    while (instance.state === "starting" && !this.stopping) await new Promise<void>((resolve) => clock.after(ASK_EVERY, resolve));
    return instance.state === "serving" ? "serving" : "ended";
  }

  /** Who stays unhealthy is ended, and so replaced. */
  private lookAfter(): void {
    const { rotation, network, log } = this.options;
    this.cancelLook();
    if (this.instances.size === 0 && this.work.size === 0) return;
    this.cancelLook = network.clock.after(LOOK_EVERY, () => {
      const now = network.clock.precise();
      for (const instance of this.instances) {
        const { replaceAfter } = instance.config;
        if (instance.state !== "serving" || replaceAfter === 0) continue;
        const found = this.targetOf(instance);
        const sick = found !== undefined && (rotation.flags(found.slot) & (Flag.DOWN | Flag.SILENT)) !== 0;
        instance.unhealthySince = sick ? (instance.unhealthySince ?? now) : undefined;
        if (instance.unhealthySince === undefined || now - instance.unhealthySince < replaceAfter) continue;
        log.error({ upstream: instance.upstream, instance: instance.address, process: instance.pid, milliseconds: replaceAfter }, "Back end stays unhealthy; it is replaced");
        instance.unhealthySince = undefined;
        this.tell(instance, "instance-stopped", `Back end stays unhealthy for ${replaceAfter} ms: it is replaced`, "down", "silent");
        // It may not hear: what it has open is lost in any case.
        this.keeper?.say({ type: "stop", id: instance.id });
      }
      this.lookAfter();
    });
  }
}

/** What makes an instance another one. */
function kindOfInstance({ command, directory, environment }: SupervisedConfig): string {
  return JSON.stringify([command, directory, environment]);
}

/**
 * The supervisor: owns configuration, listening sockets, scoreboard, health checks and workers. It touches no traffic.
 * What happens when: start, reload, a worker's death, upgrade, stop; each is one method here.
 */
import type { Diagnostic, Loaded, LoadOptions } from "../config/load.ts";
import { diagnosticLine } from "../config/load.ts";
import type { Snapshot } from "../config/snapshot.ts";
import { formatAddress } from "../config/values.ts";
import { ADMIN, changeTarget, withdraw } from "../admin/targets.ts";
import type { JoinedTarget } from "../config/load.ts";
import { HealthChecker } from "../health/checker.ts";
import { Ejection } from "../health/ejection.ts";
import { Heartbeats } from "../health/heartbeats.ts";
import { Rotation } from "../health/rotation.ts";
import { bunNetwork } from "../net/bun.ts";
import type { Log, LogFormat } from "../observability/log.ts";
import { AdminError, HealthEndpoint, type InstanceStatus, type ReloadResult } from "../admin/health.ts";
import { Flag, type Scoreboard } from "../scoreboard/scoreboard.ts";
import { Supervised } from "../supervised/supervised.ts";
import { trafficOf } from "../admin/traffic.ts";
import { CAPACITY, createBoard } from "./board.ts";
import { StartError } from "./errors.ts";
import { handDown, inherit, type Inheritance, UPGRADE_VARIABLE } from "./inheritance.ts";
import { machineSecret } from "./machine-secret.ts";
import { PendingSlots } from "./pending-slots.ts";
import { checkOpenFiles } from "./limits.ts";
import { policyProblem } from "./policy-check.ts";
import { type InstanceState, type RuntimeDirectory, slotName } from "./runtime-directory.ts";
import { ListeningSockets } from "./sockets.ts";
import { Workers } from "./workers.ts";

export interface SupervisorOptions {
  /** Reads the configuration anew each time it is called. */
  readonly load: (options: LoadOptions) => Loaded;
  /** What makes two starts the same instance. */
  readonly identity: string;
  /** Command that starts Fairlead itself, without arguments. */
  readonly self: readonly string[];
  /** The arguments of this start, for an upgrade. */
  readonly args: readonly string[];
  readonly log: Log;
  readonly logFormat: LogFormat;
  readonly runtimeDirectory?: string | undefined;
  /** What workers do when this process dies: go on serving, or end with it. Default: serve. */
  readonly alone?: "serve" | "end";
  /** Aborted when the start is not wanted any more. */
  readonly stopped?: AbortSignal;
  /** Called when the workers serve, before others are told to go. */
  readonly serving?: () => void;
}

type Applicable = Loaded & { readonly ok: true };

/** Targets that join or leave within this time are one change, in ms. */
const JOIN_PAUSE = 20;
/** And when that did not work, it is tried again after this, in ms. */
const JOIN_AGAIN = 1_000;
/** How long back ends that we start ourselves are waited for before clients are let in, in ms. */
const FIRST_SERVING = 10_000;
/** How long the new binary may take to serve, in ms. */
const UPGRADE_TIMEOUT = 60_000;

/** What a config that cannot be run has to say. */
export class ConfigError extends StartError {
  readonly diagnostics: readonly Diagnostic[];

  constructor(diagnostics: readonly Diagnostic[]) {
    super(diagnostics.map(diagnosticLine).join("\n"));
    this.diagnostics = diagnostics;
  }
}

export class Supervisor {
  readonly ended: Promise<void>;
  /** Clients are served: from now on targets may join by themselves. */
  private serving = false;
  private readonly options: SupervisorOptions;
  private readonly log: Log;
  private readonly directory: RuntimeDirectory;
  private readonly sockets: ListeningSockets;
  private readonly slots: PendingSlots;
  private readonly board: Scoreboard;
  private readonly rotation: Rotation;
  private readonly checker: HealthChecker;
  private readonly ejection: Ejection;
  private readonly heartbeats: Heartbeats;
  private readonly supervised: Supervised;
  private readonly workers: Workers;
  private readonly admin: HealthEndpoint;
  private loaded: Applicable;
  private joinTimer: Timer | undefined = undefined;
  /** Targets beyond the file's that `loaded` has; undefined: not those that it should have. */
  private joinedNow: string | undefined = "[]";
  /** Reloads, upgrades and stops happen one after another. */
  private queue: Promise<void> = Promise.resolve();
  /** A reload that has not begun yet. */
  private nextReload: Promise<boolean> | undefined = undefined;
  private stopping = false;
  /** Workers of a supervisor before us that have not been told to go yet. */
  private orphans: InstanceState["workers"] = [];
  /** The process that an upgrade has started. */
  private successor: Bun.Subprocess | undefined = undefined;
  private lastReload: ReloadResult | undefined = undefined;
  private end: () => void = () => {};
  /** The new binary needs no watching any more. */
  private calm: () => void = () => {};

  /** Up and serving, or not at all. @throws StartError that says why not */
  static async start(options: SupervisorOptions): Promise<Supervisor> {
    const slots = new PendingSlots(CAPACITY);
    const loaded = options.load({ slots, generation: 1, secret: machineSecret });
    if (!loaded.ok) throw new ConfigError(loaded.diagnostics);
    options.log.level = loaded.snapshot.log.level;
    for (const warning of loaded.warnings) options.log.warn(warning);
    const warning = checkOpenFiles(loaded.snapshot);
    if (warning !== undefined) options.log.warn(warning);
    const problem = await policyProblem(options.self, loaded.snapshot);
    if (problem !== undefined) throw new StartError(problem);
    const inheritance = await inherit(options.identity, options.runtimeDirectory, options.log);
    const { directory } = inheritance;
    const sockets = new ListeningSockets(inheritance.sockets);
    const prepared = await sockets.prepare(loaded.snapshot);
    prepared.commit();
    slots.take();
    const supervisor = new Supervisor(options, loaded, slots, directory, sockets);
    try {
      await supervisor.serve(inheritance);
    } catch (error) {
      await supervisor.abandon(inheritance);
      throw error;
    }
    await inheritance.release();
    supervisor.workers.receive();
    supervisor.orphans = [];
    supervisor.writeState();
    supervisor.serving = true;
    supervisor.rejoinSoon();
    return supervisor;
  }

  private constructor(options: SupervisorOptions, loaded: Applicable, slots: PendingSlots, directory: RuntimeDirectory, sockets: ListeningSockets) {
    const { log, self, logFormat } = options;
    const { snapshot } = loaded;
    this.options = options;
    this.log = log;
    this.loaded = loaded;
    this.slots = slots;
    this.directory = directory;
    this.sockets = sockets;
    this.board = createBoard(snapshot.workers, snapshot.upstreams.reduce((sum, { targets }) => sum + targets.length, 0));
    this.board.generation = snapshot.generation;
    const network = bunNetwork();
    this.rotation = new Rotation({ scoreboard: this.board, clock: network.clock, log });
    this.ejection = new Ejection({ scoreboard: this.board, rotation: this.rotation, clock: network.clock, log });
    this.checker = new HealthChecker({ network, scoreboard: this.board, rotation: this.rotation, log, passed: (slot, back) => this.ejection.passed(slot, back) });
    const changed = (): void => this.rejoinSoon();
    this.heartbeats = new Heartbeats({ rotation: this.rotation, clock: network.clock, log, changed });
    this.supervised = new Supervised({ self, logFormat, scoreboard: this.board, rotation: this.rotation, network, log, changed });
    this.workers = new Workers({ self, logFormat, log, board: this.board, used: () => slots.used, report: (outlier) => this.ejection.report(outlier), sockets, directory, alone: options.alone ?? "serve", changed: () => this.writeState() });
    this.admin = new HealthEndpoint(
      log,
      () => this.status(),
      (request, path) => changeTarget(request, path, { snapshot: this.snapshot, heartbeats: this.heartbeats, rotation: this.rotation, changed }),
    );
    this.ended = new Promise((resolve) => (this.end = resolve));
  }

  private get snapshot(): Snapshot {
    return this.loaded.snapshot;
  }

  private status(): InstanceStatus {
    return {
      generation: this.snapshot.generation,
      draining: this.board.draining,
      workers: this.workers.pids,
      targets: this.checker.status().map((target) => ({ ...target, ...this.rotation.status(target.slot) })),
      panicking: this.rotation.panicking,
      ejections: this.ejection.status(),
      supervised: this.supervised.status(),
      traffic: this.snapshot.upstreams.map(({ name, slot, targets }) => trafficOf(this.board, name, slot, targets)),
      lastReload: this.lastReload,
    };
  }

  private async serve(inheritance: Inheritance): Promise<void> {
    const { health, sockets } = inheritance;
    const heir = sockets.size > 0;
    const said = heir ? this.directory.readSaid() : { beats: [], states: [] };
    this.heartbeats.restore(said.beats);
    this.adoptHealth(health);
    this.join();
    for (const { upstream, target, state } of said.states) {
      const slot = this.snapshot.upstreams.find(({ name }) => name === upstream)?.targets.find(({ name }) => name === target)?.slot;
      if (slot !== undefined) withdraw(this.rotation, slot, state);
    }
    this.supervised.apply(this.snapshot);
    const stopped = this.options.stopped ?? new AbortController().signal;
    if (!(await this.supervised.firstServing(FIRST_SERVING, stopped)) && !stopped.aborted) this.log.error("Not every upstream with supervised back ends has one that serves yet; clients are let in all the same");
    if (stopped.aborted) throw new StartError("stopped while it was starting");
    this.join();
    // Others serve these sockets already, so there is time to find out who is healthy where that is not known.
    if (heir && (health === undefined || this.snapshot.upstreams.some(({ healthCheck }) => healthCheck?.initial === "down"))) await this.firstChecks();
    if (!heir) await this.openAdmin(this.snapshot);
    await this.workers.start(this.snapshot);
    this.orphans = inheritance.orphans;
    this.writeState(this.snapshot);
    this.options.serving?.();
    if (heir) this.admin.openWhenFree(this.snapshot.admin?.address);
    const addresses = Object.fromEntries(this.sockets.all.map(({ name, address }) => [name, formatAddress(address)]));
    this.log.info({ addresses, workers: this.workers.pids, generation: this.snapshot.generation }, "Fairlead is ready");
  }

  /** @throws StartError */
  private async openAdmin({ admin }: Snapshot): Promise<void> {
    try {
      await this.admin.open(admin?.address);
    } catch (error) {
      throw error instanceof AdminError ? new StartError(error.message) : error;
    }
  }

  /** Who was down is down still, until checks say otherwise. */
  private adoptHealth(health: ReadonlyMap<string, boolean> | undefined): void {
    for (const { name, slot, targets } of this.snapshot.upstreams) {
      for (const target of targets) if (health?.get(slotName(name, target.name)) === false) this.board.setFlags(slot, target.slot, Flag.DOWN);
    }
    this.watch(this.snapshot);
  }

  /** Everything that decides who is in rotation goes by this snapshot from now on. */
  private watch(snapshot: Snapshot): void {
    this.rotation.apply(snapshot);
    this.heartbeats.apply(snapshot);
    this.checker.apply(snapshot);
    this.ejection.apply(snapshot);
    this.supervised.follow(snapshot);
  }

  private unwatch(): void {
    clearTimeout(this.joinTimer);
    this.heartbeats.stop();
    this.checker.stop();
    this.ejection.stop();
    this.rotation.stop();
  }

  /** Each target was checked once, or 2 s went by. */
  private async firstChecks(): Promise<void> {
    const end = performance.now() + 2_000;
    const checked = (): boolean => this.checker.status().every(({ check, lastResult }) => check === "none" || lastResult !== undefined);
    while (performance.now() < end && !checked()) await Bun.sleep(20);
  }

  /** The start came to nothing: leave no process and no socket, and those before us as they were. */
  private async abandon({ sockets }: Inheritance): Promise<void> {
    this.unwatch();
    this.admin.stop();
    this.workers.kill();
    await this.supervised.stop();
    if (sockets.size > 0) this.sockets.letGo();
    else this.sockets.close();
    this.board.unlink();
    this.directory.remove();
  }

  /** For whoever comes after us. @param snapshot when it is a new one */
  private writeState(snapshot?: Snapshot): void {
    if (this.successor !== undefined) return;
    const workers = this.workers.all.map(({ pid, controlSocket }) => ({ pid, controlSocket }));
    try {
      if (snapshot !== undefined) this.directory.writeSlots(snapshot);
      this.directory.write({
        supervisor: process.pid,
        board: this.board.path!,
        // Ours first: they have the sockets of these listeners for sure.
        workers: [...workers, ...this.orphans],
        sockets: this.sockets.all.map(({ name, key, address, seat }) => ({ name, key, address, seat })),
      });
    } catch (error) {
      // A disk that is full is no reason to stop serving.
      this.log.error({ reason: (error as Error).message }, "State for a takeover cannot be written");
    }
  }

  private enqueue<T>(work: () => Promise<T>): Promise<T> {
    const done = this.queue.then(work);
    this.queue = done.then(
      () => {},
      () => {},
    );
    return done;
  }

  /** Read the configuration again and run it; a bad one changes nothing. True: it is applied. */
  reload(): Promise<boolean> {
    // One that waits its turn will read what there is by then: a second one would read the same.
    this.nextReload ??= this.enqueue(async () => {
      this.nextReload = undefined;
      if (this.stopping) return false;
      const errors = await this.reloadNow();
      this.lastReload = { applied: errors.length === 0, at: new Date().toISOString(), errors };
      return errors.length === 0;
    });
    return this.nextReload;
  }

  /** What every configuration of ours is made with. */
  private get how(): LoadOptions {
    return { slots: this.slots, generation: this.snapshot.generation + 1, secret: machineSecret, joined: this.joined() };
  }

  /** Targets beyond the file's: those that registered, and those that we started. */
  private joined(): Map<string, readonly JoinedTarget[]> {
    const joined = new Map<string, readonly JoinedTarget[]>(this.heartbeats.joined());
    for (const [upstream, targets] of this.supervised.joined()) joined.set(upstream, [...(joined.get(upstream) ?? []), ...targets]);
    return joined;
  }

  /** @returns why it was rejected; nothing: it is applied */
  private async reloadNow(): Promise<readonly string[]> {
    const began = performance.now();
    const joined = this.joined();
    const loaded = this.options.load({ ...this.how, joined });
    if (!loaded.ok) {
      for (const diagnostic of loaded.diagnostics) this.log.error({ ...diagnostic.place }, diagnosticLine(diagnostic));
      this.log.error({ errors: loaded.diagnostics.length, generation: this.snapshot.generation }, "Reload rejected; nothing has changed");
      return loaded.diagnostics.map(diagnosticLine);
    }
    for (const warning of loaded.warnings) this.log.warn(warning);
    const { snapshot } = loaded;
    const reason = await this.adopt(loaded);
    if (reason !== undefined) {
      this.log.error({ generation: this.snapshot.generation, reason }, "Reload rejected; nothing has changed");
      return [reason];
    }
    this.joinedNow = JSON.stringify([...joined]);
    this.log.level = snapshot.log.level;
    this.log.info({ generation: snapshot.generation, milliseconds: Math.round(performance.now() - began), workers: this.workers.pids }, "Reload applied");
    this.supervised.apply(snapshot, true);
    return [];
  }

  /** Run it from now on. @returns why that is not possible; undefined: it is run */
  private async adopt(loaded: Applicable): Promise<string | undefined> {
    const before = this.loaded;
    for (const slot of loaded.freshSlots) this.board.clearTarget(slot);
    for (const slot of loaded.freshUpstreams) this.board.clearUpstream(slot);
    try {
      const problem = await policyProblem(this.options.self, loaded.snapshot, before.snapshot);
      if (problem !== undefined) throw new StartError(problem);
      await this.switchTo(loaded, before);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    this.slots.take();
    this.writeState(loaded.snapshot);
    return undefined;
  }

  /** Targets have joined or left. */
  private rejoinSoon(pause = JOIN_PAUSE): void {
    if (!this.serving) return;
    this.joinTimer ??= setTimeout(() => {
      this.joinTimer = undefined;
      void this.enqueue(() => this.rejoin());
    }, pause);
  }

  private async rejoin(): Promise<void> {
    if (this.stopping) return;
    this.writeSaid();
    const loaded = this.withJoined();
    if (loaded === undefined) return;
    const reason = await this.adopt(loaded);
    if (reason === undefined) {
      this.log.debug({ generation: this.snapshot.generation }, "Targets have joined or left");
      return;
    }
    this.log.error({ reason }, "Targets that joined or left cannot be applied; trying again");
    this.joinedNow = undefined;
    this.rejoinSoon(JOIN_AGAIN);
  }

  /** The same before workers run. */
  private join(): void {
    const loaded = this.withJoined();
    if (loaded === undefined) return;
    this.slots.take();
    this.loaded = loaded;
    this.watch(loaded.snapshot);
  }

  /** The configuration with those that have joined by now; undefined: it would be the same, or cannot be. */
  private withJoined(): Applicable | undefined {
    const joined = this.joined();
    const key = JSON.stringify([...joined]);
    if (key === this.joinedNow) return undefined;
    this.joinedNow = key;
    const loaded = this.loaded.again({ ...this.how, joined });
    if (loaded.ok) return loaded;
    this.log.error({ reason: loaded.diagnostics.map(diagnosticLine).join("; ") }, "Targets that joined cannot be applied");
    return undefined;
  }

  private writeSaid(): void {
    const said = { beats: this.heartbeats.save(), states: this.rotation.withdrawnBy(ADMIN) };
    const before = this.directory.readSaid();
    if (said.beats.length + said.states.length + before.beats.length + before.states.length === 0) return;
    try {
      this.directory.writeSaid(said);
    } catch (error) {
      this.log.error({ reason: (error as Error).message }, "State for a takeover cannot be written");
    }
  }

  /** All workers run `snapshot`, or all run `before`. */
  private async switchTo(loaded: Applicable, previous: Applicable): Promise<void> {
    const { snapshot } = loaded;
    const before = previous.snapshot;
    const inPlace = !this.sockets.differs(snapshot) && sameListeners(snapshot, before) && snapshot.workers === before.workers;
    const prepared = inPlace ? undefined : await this.sockets.prepare(snapshot);
    try {
      // The same address may still be another's, whom we wait for.
      if (JSON.stringify(snapshot.admin?.address) !== JSON.stringify(before.admin?.address)) await this.openAdmin(snapshot);
    } catch (error) {
      prepared?.abandon();
      throw error;
    }
    this.loaded = loaded;
    this.watch(snapshot);
    try {
      if (prepared === undefined) await this.workers.apply(snapshot, before);
      else await this.workers.roll(snapshot, prepared.sockets, () => prepared.commit());
    } catch (error) {
      prepared?.abandon();
      this.loaded = previous;
      this.watch(before);
      this.admin.openWhenFree(before.admin?.address);
      throw error;
    }
    this.board.generation = snapshot.generation;
  }

  /** Start the binary that is on disk now, with our sockets; when it serves, we go. */
  upgrade(): Promise<void> {
    return this.enqueue(async () => {
      if (this.stopping) return;
      if (this.successor !== undefined) return this.log.warn({ successor: this.successor.pid }, "Upgrade: the new binary is starting already");
      this.log.info({ pid: process.pid }, "Upgrade: starting the new binary");
      const { descriptors, text } = handDown(this.sockets.all, this.directory);
      let child: Bun.Subprocess;
      try {
        child = Bun.spawn([...this.options.self, ...this.options.args], { stdio: ["ignore", "inherit", "inherit", ...descriptors], env: { ...process.env, [UPGRADE_VARIABLE]: text } });
      } catch (error) {
        return this.log.error({ reason: (error as Error).message }, "Upgrade failed: the new binary does not start; going on with this one");
      }
      this.successor = child;
      const late = setTimeout(() => child.kill("SIGKILL"), UPGRADE_TIMEOUT);
      void child.exited.then((code) => {
        clearTimeout(late);
        if (this.stopping) return;
        this.successor = undefined;
        this.writeState();
        this.log.error({ code: child.signalCode ?? code }, "Upgrade failed: the new binary ended; going on with this one");
      });
      // Once it serves it lives longer than we do.
      child.unref();
      this.calm = () => clearTimeout(late);
    });
  }

  /** The new supervisor serves. */
  async succeeded(): Promise<void> {
    if (this.successor === undefined || this.stopping) return;
    this.calm();
    // It waits for the address.
    this.admin.stop();
    await this.leave(true);
  }

  /** Let open exchanges end, then end. A second call ends at once. */
  async stop(): Promise<void> {
    if (this.stopping) {
      this.log.warn("Stopping at once");
      this.workers.kill();
      this.supervised.kill();
      return;
    }
    // Who stops us while the new binary starts does not want the new one either.
    this.successor?.kill("SIGTERM");
    await this.leave(false);
  }

  /** @param succeeded others go on with the sockets */
  private async leave(succeeded: boolean): Promise<void> {
    this.stopping = true;
    this.log.info({ timeout: this.snapshot.drainTimeout, succeeded }, "Draining");
    this.supervised.rest();
    this.unwatch();
    if (succeeded) this.sockets.letGo();
    else {
      // Who comes now is refused at once instead of waiting in a queue that nobody serves.
      this.sockets.close();
      this.board.draining = true;
    }
    await this.workers.drain(this.snapshot.drainTimeout);
    await this.supervised.stop();
    this.admin.stop();
    this.board.unlink();
    this.directory.remove();
    this.log.info({ pid: process.pid }, "Stopped");
    this.end();
  }
}

/** Same names, addresses and protocols: the workers' sockets serve on. */
function sameListeners(a: Snapshot, b: Snapshot): boolean {
  const shape = ({ listeners }: Snapshot): string => JSON.stringify(listeners.map(({ name, address, protocol }) => [name, address, protocol]));
  return shape(a) === shape(b);
}

/**
 * The supervisor: owns configuration, listening sockets, scoreboard, health checks and workers. It touches no traffic.
 * What happens when: start, reload, a worker's death, upgrade, stop; each is one method here.
 */
import type { Diagnostic, Loaded, LoadOptions } from "../config/load.ts";
import { diagnosticLine } from "../config/load.ts";
import type { Snapshot } from "../config/snapshot.ts";
import { formatAddress } from "../config/values.ts";
import { HealthChecker } from "../health/checker.ts";
import { bunNetwork } from "../net/bun.ts";
import type { Log, LogFormat } from "../observability/log.ts";
import { HealthEndpoint } from "../admin/health.ts";
import type { Scoreboard } from "../scoreboard/scoreboard.ts";
import { CAPACITY, createBoard } from "./board.ts";
import { StartError } from "./errors.ts";
import { handDown, inherit, UPGRADE_VARIABLE } from "./inheritance.ts";
import { PendingSlots } from "./pending-slots.ts";
import { RuntimeDirectory } from "./runtime-directory.ts";
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
}

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
  private readonly options: SupervisorOptions;
  private readonly log: Log;
  private readonly directory: RuntimeDirectory;
  private readonly sockets: ListeningSockets;
  private readonly slots: PendingSlots;
  private readonly board: Scoreboard;
  private readonly checker: HealthChecker;
  private readonly workers: Workers;
  private readonly admin: HealthEndpoint;
  private snapshot: Snapshot;
  /** Reloads, upgrades and stops happen one after another. */
  private queue: Promise<void> = Promise.resolve();
  private stopping = false;
  private successor = false;
  private end: () => void = () => {};

  /** Up and serving, or not at all. @throws StartError that says why not */
  static async start(options: SupervisorOptions): Promise<Supervisor> {
    const slots = new PendingSlots(CAPACITY);
    const loaded = options.load({ slots, generation: 1 });
    if (!loaded.ok) throw new ConfigError(loaded.diagnostics);
    options.log.level = loaded.snapshot.log.level;
    for (const warning of loaded.warnings) options.log.warn(warning);
    const directory = new RuntimeDirectory(options.identity, options.runtimeDirectory);
    const inheritance = await inherit(directory, options.log);
    const sockets = new ListeningSockets(inheritance.sockets);
    const prepared = await sockets.prepare(loaded.snapshot.listeners);
    prepared.commit();
    slots.take();
    const supervisor = new Supervisor(options, loaded.snapshot, slots, directory, sockets);
    try {
      await supervisor.serve(inheritance.sockets.size > 0);
    } catch (error) {
      supervisor.abandon();
      throw error;
    }
    await inheritance.release();
    return supervisor;
  }

  private constructor(options: SupervisorOptions, snapshot: Snapshot, slots: PendingSlots, directory: RuntimeDirectory, sockets: ListeningSockets) {
    const { log, self, logFormat } = options;
    this.options = options;
    this.log = log;
    this.snapshot = snapshot;
    this.slots = slots;
    this.directory = directory;
    this.sockets = sockets;
    this.board = createBoard(snapshot.workers);
    this.board.generation = snapshot.generation;
    this.checker = new HealthChecker({ network: bunNetwork(), scoreboard: this.board, log });
    this.workers = new Workers({ self, logFormat, log, board: this.board, usedTargets: () => slots.used, sockets, directory, alone: options.alone ?? "serve", changed: () => this.writeState() });
    this.admin = new HealthEndpoint(log, () => ({ generation: this.snapshot.generation, draining: this.board.draining, workers: this.workers.pids, targets: this.checker.status() }));
    this.ended = new Promise((resolve) => (this.end = resolve));
  }

  /** @param heir others serve these sockets already, so there is time to find out who is healthy */
  private async serve(heir: boolean): Promise<void> {
    this.checker.apply(this.snapshot);
    if (heir) await this.firstChecks();
    this.admin.apply(this.snapshot.admin?.address);
    await this.workers.start(this.snapshot);
    this.writeState();
    const addresses = Object.fromEntries(this.sockets.all.map(({ name, address }) => [name, formatAddress(address)]));
    this.log.info({ addresses, workers: this.workers.pids, generation: this.snapshot.generation }, "Fairlead is ready");
  }

  /** Each target was checked once, or 2 s went by. */
  private async firstChecks(): Promise<void> {
    const end = performance.now() + 2_000;
    const checked = (): boolean => this.checker.status().every(({ check, lastResult }) => check === "none" || lastResult !== undefined);
    while (performance.now() < end && !checked()) await Bun.sleep(20);
  }

  /** The start came to nothing: leave no process and no socket. */
  private abandon(): void {
    this.checker.stop();
    this.admin.stop();
    this.workers.kill();
    this.sockets.letGo();
    this.board.unlink();
    this.directory.remove();
  }

  private writeState(): void {
    if (this.successor) return;
    this.directory.write({
      supervisor: process.pid,
      workers: this.workers.all.map(({ pid, controlSocket }) => ({ pid, controlSocket })),
      sockets: this.sockets.all.map(({ name, key, address }) => ({ name, key, address })),
    });
  }

  private enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.queue.then(work);
    this.queue = done.catch(() => {});
    return done;
  }

  /** Read the configuration again and run it; a bad one changes nothing. True: it is applied. */
  async reload(): Promise<boolean> {
    let applied = false;
    await this.enqueue(async () => {
      if (!this.stopping) applied = await this.reloadNow();
    });
    return applied;
  }

  private async reloadNow(): Promise<boolean> {
    const began = performance.now();
    const loaded = this.options.load({ slots: this.slots, generation: this.snapshot.generation + 1 });
    if (!loaded.ok) {
      for (const diagnostic of loaded.diagnostics) this.log.error({ ...diagnostic.place }, diagnosticLine(diagnostic));
      this.log.error({ errors: loaded.diagnostics.length, generation: this.snapshot.generation }, "Reload rejected; nothing has changed");
      return false;
    }
    for (const warning of loaded.warnings) this.log.warn(warning);
    for (const slot of loaded.freshSlots) this.board.clearTarget(slot);
    const before = this.snapshot;
    const { snapshot } = loaded;
    try {
      await this.switchTo(snapshot, before);
    } catch (error) {
      this.log.error({ generation: before.generation, reason: error instanceof Error ? error.message : String(error) }, "Reload rejected; nothing has changed");
      return false;
    }
    this.slots.take();
    this.log.level = snapshot.log.level;
    this.admin.apply(snapshot.admin?.address);
    this.writeState();
    this.log.info({ generation: snapshot.generation, milliseconds: Math.round(performance.now() - began), workers: this.workers.pids }, "Reload applied");
    return true;
  }

  /** All workers run `snapshot`, or all run `before`. */
  private async switchTo(snapshot: Snapshot, before: Snapshot): Promise<void> {
    const inPlace = !this.sockets.differs(snapshot.listeners) && sameListeners(snapshot, before) && snapshot.workers === before.workers;
    const prepared = inPlace ? undefined : await this.sockets.prepare(snapshot.listeners);
    this.snapshot = snapshot;
    this.checker.apply(snapshot);
    try {
      if (prepared === undefined) await this.workers.apply(snapshot, before);
      else await this.workers.roll(snapshot, prepared.sockets, () => prepared.commit());
    } catch (error) {
      this.snapshot = before;
      this.checker.apply(before);
      throw error;
    }
    this.board.generation = snapshot.generation;
  }

  /** Start the binary that is on disk now, with our sockets; when it serves, we go. */
  upgrade(): Promise<void> {
    return this.enqueue(async () => {
      if (this.stopping) return;
      const sockets = this.sockets.all;
      this.log.info({ pid: process.pid }, "Upgrade: starting the new binary");
      const child = Bun.spawn([...this.options.self, ...this.options.args], {
        stdio: ["ignore", "inherit", "inherit", ...sockets.map(({ fd }) => fd)],
        env: { ...process.env, [UPGRADE_VARIABLE]: handDown(sockets) },
      });
      this.successor = true;
      void child.exited.then((code) => {
        if (this.stopping) return;
        this.successor = false;
        this.writeState();
        this.log.error({ code }, "Upgrade failed: the new binary ended; going on with this one");
      });
      child.unref();
    });
  }

  /** The new supervisor serves. */
  succeeded(): Promise<void> {
    if (!this.successor) return Promise.resolve();
    return this.stop();
  }

  /** Let open exchanges end, then end. A second call ends at once. */
  async stop(): Promise<void> {
    if (this.stopping) {
      this.log.warn("Stopping at once");
      this.workers.kill();
      return;
    }
    this.stopping = true;
    this.log.info({ timeout: this.snapshot.drainTimeout, successor: this.successor }, "Draining");
    this.checker.stop();
    if (this.successor) this.sockets.letGo();
    else {
      // Who comes now is refused at once instead of waiting in a queue that nobody serves.
      this.sockets.close();
      this.board.draining = true;
    }
    await this.workers.drain(this.snapshot.drainTimeout);
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

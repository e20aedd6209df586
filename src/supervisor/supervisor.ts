/**
 * The supervisor: owns configuration, listening sockets, scoreboard, health checks and workers. It touches no traffic.
 * What happens when: start, reload, a worker's death, upgrade, stop; each is one method here.
 */
import { Acme } from "../acme/acme.ts";
import { certificatesOf } from "../admin/certificates.ts";
import { AdminError, type AdminServer } from "../admin/server.ts";
import type { InstanceStatus } from "../admin/status.ts";
import { trafficOf } from "../admin/traffic.ts";
import type { Snapshot } from "../config/snapshot.ts";
import { formatAddress } from "../config/values.ts";
import { formatDuration } from "../health/check.ts";
import { HealthMonitor } from "../health/monitor.ts";
import { bunNetwork } from "../net/bun.ts";
import type { Log, LogFormat, ServiceLog } from "../observability/log.ts";
import { ExchangeRing } from "../observability/exchange-ring.ts";
import { Timeline } from "../observability/timeline.ts";
import type { Scoreboard } from "../scoreboard/scoreboard.ts";
import type { Supervised } from "../supervised/supervised.ts";
import { createAdmin } from "./admin.ts";
import { CAPACITY, createBoard } from "./board.ts";
import { takeActivated } from "./activation.ts";
import { begin, type Beginning, beginWithFile } from "./beginning.ts";
import { CertificateWatch } from "./certificate-watch.ts";
import { type Applicable, checkStateFile, Configuration, type ConfigSource } from "./configuration.ts";
import { AdminUnavailable, StartError } from "./errors.ts";
import { FaultControl } from "./faults.ts";
import { adoptHealth, handDown, inherit, type Inheritance } from "./inheritance.ts";
import { tellForgotten, tellStarted, tellUpgradeFailed } from "./instance-events.ts";
import { checkOpenFiles } from "./limits.ts";
import { Logging } from "./logging.ts";
import { Membership } from "./membership.ts";
import { Notifier } from "./notify.ts";
import { Overrides } from "./overrides.ts";
import { PendingSlots } from "./pending-slots.ts";
import { policyProblem } from "./policy-check.ts";
import { giveLogs, ownerWord, programStarter, runAs, userWarning } from "./run-as.ts";
import type { RuntimeDirectory } from "./runtime-directory.ts";
import { ListeningSockets } from "./sockets.ts";
import { Successor } from "./successor.ts";
import { Switching } from "./switching.ts";
import { TakeoverState } from "./takeover-state.ts";
import { TimelineJournal } from "./timeline-journal.ts";
import { Turns } from "./turns.ts";
import { Workers } from "./workers.ts";

export interface SupervisorOptions extends ConfigSource {
  /** What makes two starts the same instance. */
  readonly identity: string;
  /** Command that starts Fairlead itself, without arguments. */
  readonly self: readonly string[];
  /** The arguments of this start, for an upgrade. */
  readonly args: readonly string[];
  readonly logs: ServiceLog;
  readonly logFormat: LogFormat;
  readonly runtimeDirectory?: string | undefined;
  /** What workers do when this process dies: go on serving, or end with it. Default: serve. */
  readonly alone?: "serve" | "end";
  /** Aborted when the start is not wanted any more. */
  readonly stopped?: AbortSignal;
  /** Called when the workers serve, before others are told to go. */
  readonly serving?: () => void;
}

/** How long back ends that we start ourselves are waited for before clients are let in, in ms. */
const FIRST_SERVING = 10_000;
/** How long a first check of each target is waited for, in ms. */
const FIRST_CHECKS = 2_000;

export class Supervisor {
  readonly ended: Promise<void>;
  private readonly options: SupervisorOptions;
  private readonly log: Log;
  private readonly directory: RuntimeDirectory;
  private readonly sockets: ListeningSockets;
  private readonly notifier: Notifier;
  private readonly slots: PendingSlots;
  private readonly board: Scoreboard;
  private readonly timeline: Timeline;
  private readonly journal: TimelineJournal;
  private readonly exchanges: ExchangeRing;
  private readonly health: HealthMonitor;
  private readonly membership: Membership;
  private readonly supervised: Supervised;
  private readonly workers: Workers;
  private readonly state: TakeoverState;
  private readonly switching: Switching;
  private readonly logging: Logging;
  private readonly faults: FaultControl;
  private readonly acme: Acme;
  private readonly admin: AdminServer;
  private readonly certificates: CertificateWatch;
  private readonly overrides: Overrides;
  private readonly configuration: Configuration;
  /** Reloads, upgrades and stops happen one after another. */
  private readonly turns = new Turns();
  private stopping = false;
  /** The process that an upgrade has started. */
  private successor: Successor | undefined = undefined;
  private end: () => void = () => {};

  /** Up and serving, or not at all. @throws StartError that says why not */
  static async start(options: SupervisorOptions): Promise<Supervisor> {
    const activated = takeActivated(process.env);
    const notifier = new Notifier(process.env);
    const slots = new PendingSlots(CAPACITY);
    const { logs } = options;
    const log = logs.of("supervisor");
    let beginning = await begin(options, slots, log, options.identity, options.runtimeDirectory);
    const { loaded } = beginning;
    logs.set(loaded.snapshot.log);
    logs.moveTo(loaded.snapshot.log.path);
    for (const warning of loaded.warnings) logs.of("config").warn(warning);
    for (const warning of [checkOpenFiles(loaded.snapshot), userWarning(loaded.snapshot)]) if (warning !== undefined) log.warn(warning);
    const problem = await policyProblem(options.self, loaded.snapshot);
    if (problem !== undefined) throw new StartError(problem);
    checkStateFile(loaded.snapshot);
    const inheritance = await inherit(options.identity, options.runtimeDirectory, log);
    const { directory } = inheritance;
    // Nobody serves what was brought by the API any more.
    if (beginning.kept !== undefined && inheritance.sockets.size === 0) beginning = await beginWithFile(options, slots);
    const { snapshot } = beginning.loaded;
    const sockets = new ListeningSockets(inheritance.sockets, activated);
    const prepared = await sockets.prepare(snapshot);
    prepared.commit();
    for (const socket of sockets.unused(snapshot.listeners)) log.warn({ socket }, "Systemd passed a socket that is no listener's: who connects there is served by nobody");
    slots.take();
    const supervisor = new Supervisor(options, beginning, slots, directory, sockets, notifier);
    try {
      await supervisor.serve(inheritance);
    } catch (error) {
      await supervisor.abandon(inheritance);
      throw error;
    }
    await inheritance.release();
    supervisor.workers.receive();
    supervisor.state.orphans = [];
    supervisor.state.write();
    supervisor.journal.open();
    supervisor.certificates.follow(supervisor.configuration.loaded);
    supervisor.acme.apply(supervisor.snapshot, false);
    supervisor.membership.open();
    return supervisor;
  }

  private constructor(options: SupervisorOptions, { loaded, kept }: Beginning, slots: PendingSlots, directory: RuntimeDirectory, sockets: ListeningSockets, notifier: Notifier) {
    const { logs, self, logFormat } = options;
    const { snapshot } = loaded;
    this.options = options;
    this.log = logs.of("supervisor");
    this.slots = slots;
    this.directory = directory;
    this.sockets = sockets;
    this.notifier = notifier;
    const { board, watch } = createBoard(snapshot.workers, snapshot.upstreams.reduce((sum, { targets }) => sum + targets.length, 0));
    this.board = board;
    giveLogs(snapshot);
    this.board.generation = snapshot.generation;
    this.board.setBounds(snapshot.metrics.buckets, this.slots.used);
    const network = bunNetwork();
    const chronicle = new Timeline(() => network.clock.wall());
    this.timeline = chronicle;
    this.journal = new TimelineJournal(chronicle, directory, network.clock, logs.of("supervisor"));
    tellForgotten(chronicle);
    this.exchanges = new ExchangeRing(network.clock.wall());
    const starter = (): string[] => programStarter(self, runAs(this.snapshot));
    this.health = new HealthMonitor({ network, scoreboard: this.board, log: logs.of("health"), chronicle, starter });
    const { rotation, ejection } = this.health;
    this.membership = new Membership({ self, logFormat, scoreboard: this.board, watch, rotation, network, directory, logs, chronicle, starter, user: () => ownerWord(runAs(this.snapshot)), changed: () => void this.turns.take(() => this.configuration.rejoin()) });
    this.supervised = this.membership.supervised;
    this.workers = new Workers({ self, logFormat, log: logs.of("workers"), levels: () => this.logging.levels.levels, chronicle, board: this.board, used: () => slots.used, report: (outlier) => ejection.report(outlier), turned: (change) => this.health.turned(change), keep: (batch) => this.exchanges.add(batch), sockets, directory, alone: options.alone ?? "serve", changed: () => this.state.write() });
    // Who starts as our successor writes its own.
    this.state = new TakeoverState({ directory, board: this.board, workers: this.workers, sockets, log: this.log, isOthers: () => this.successor !== undefined });
    this.switching = new Switching({ self, board, sockets, workers: this.workers, used: () => slots.used, openAdmin: (now) => this.openAdmin(now), returnAdmin: (before) => this.admin.openWhenFree(before.admin?.address), run: (now) => this.run(now) });
    this.logging = new Logging(logs, this.workers);
    this.logging.follow(snapshot);
    this.faults = new FaultControl({ clock: network.clock, log: logs.of("supervisor"), chronicle, snapshot: () => this.snapshot, send: (overlay) => this.workers.inject(overlay), keep: (kept) => this.state.keepFaults(kept), closed: () => this.closed });
    this.certificates = new CertificateWatch(logs.of("tls"), () => void this.turns.take(() => this.configuration.renewCertificates()));
    this.acme = new Acme({ clock: network.clock, random: () => network.random(), log: logs.of("acme"), chronicle, show: (challenges) => this.workers.show(challenges) });
    this.overrides = new Overrides({
      rotation,
      board: this.board,
      clock: network.clock,
      log: logs.of("admin"),
      loaded: () => this.configuration.loaded,
      take: (work) => this.turns.take(work),
      compile: (laid) => this.configuration.compile(laid),
      adopt: (again) => this.adopt(again),
      keep: (all) => directory.writeOverrides(all),
      closed: () => this.closed,
      chronicle,
    });
    this.configuration = new Configuration(
      {
        source: options,
        first: loaded,
        kept,
        slots,
        turns: this.turns,
        log: logs.of("config"),
        board: this.board,
        membership: this.membership,
        workers: () => this.workers.pids,
        closed: () => this.closed,
        adopt: (other) => this.adopt(other),
        logged: (now) => this.logging.follow(now),
        applied: (now) => {
          this.faults.follow(now);
          this.supervised.apply(now, true);
          this.acme.apply(now, true);
        },
        isInPlace: (candidate) => this.switching.isInPlace(candidate, this.snapshot),
        policyProblem: (candidate) => policyProblem(self, candidate, this.snapshot),
        announce: (what) => notifier[what](),
        keep: (config) => this.state.keepConfig(config),
        chronicle,
      },
      this.overrides,
    );
    this.admin = createAdmin({ log: logs.of("admin"), levels: this.logging.levels, snapshot: () => this.snapshot, status: () => this.status(), health: this.health, membership: this.membership, timeline: chronicle, exchanges: this.exchanges, scoreboard: this.board, clock: network.clock, workers: this.workers, sockets, config: () => this.configuration.state, configuration: this.configuration, overrides: this.overrides, faults: this.faults });
    this.ended = new Promise((resolve) => (this.end = resolve));
  }

  private get snapshot(): Snapshot {
    return this.configuration.snapshot;
  }

  /** Why nobody can change anything now; undefined: they can. */
  private get closed(): string | undefined {
    if (this.stopping) return "this instance is stopping";
    return this.successor === undefined ? undefined : "this instance is being upgraded: the new one takes changes when it serves";
  }

  private status(): InstanceStatus {
    const { checker, rotation, ejection } = this.health;
    return {
      generation: this.snapshot.generation,
      draining: this.board.draining,
      workers: this.workers.pids,
      targets: checker.status().map((target) => ({ ...target, ...rotation.status(target.slot) })),
      panicking: rotation.panicking,
      ejections: ejection.status(),
      supervised: this.supervised.status(),
      traffic: this.snapshot.upstreams.map(({ name, slot, targets }) => trafficOf(this.board, name, slot, targets)),
      certificates: certificatesOf(this.snapshot, Date.now()),
      acme: this.acme.status(),
      lastReload: this.configuration.lastReload,
    };
  }

  private async serve(inheritance: Inheritance): Promise<void> {
    const { health, sockets } = inheritance;
    const heir = sockets.size > 0;
    if (heir) this.membership.restoreBeats();
    else this.membership.save();
    this.state.keepConfig(this.configuration.kept);
    // Who was down is down still, until checks say otherwise.
    adoptHealth(this.board, this.snapshot, health);
    this.overrides.restore(heir ? this.directory.readOverrides() : undefined, this.snapshot.admin?.stateFile);
    this.faults.restore(heir ? this.directory.readFaults() : undefined);
    if (this.configuration.withSaid() !== undefined) this.slots.take();
    this.watch(this.snapshot);
    this.join();
    this.supervised.apply(this.snapshot);
    const stopped = this.options.stopped ?? new AbortController().signal;
    if (!(await this.supervised.firstServing(FIRST_SERVING, stopped)) && !stopped.aborted) this.log.error("Not every upstream with supervised back ends has one that serves yet; clients are let in all the same");
    if (stopped.aborted) throw new StartError("stopped while it was starting");
    this.join();
    // Others serve these sockets already, so there is time to find out who is healthy where that is not known.
    if (heir && (health === undefined || this.snapshot.upstreams.some(({ healthCheck }) => healthCheck?.initial === "down"))) await this.health.firstChecks(FIRST_CHECKS);
    this.faults.follow(this.snapshot);
    if (!heir) await this.openAdmin(this.snapshot);
    await this.workers.start(this.snapshot);
    this.state.orphans = inheritance.orphans;
    this.state.write(this.snapshot);
    tellStarted(this.timeline, this.snapshot, this.workers.pids.length, !heir ? "started" : this.state.orphans.length > 0 ? "taken-over" : "upgraded");
    this.options.serving?.();
    this.notifier.ready();
    if (heir) this.admin.openWhenFree(this.snapshot.admin?.address);
    const addresses = Object.fromEntries(this.sockets.all.map(({ name, address }) => [name, formatAddress(address)]));
    this.log.info({ addresses, workers: this.workers.pids, generation: this.snapshot.generation }, "Fairlead is ready");
  }

  /** @throws StartError */
  private async openAdmin({ admin }: Snapshot): Promise<void> {
    try {
      await this.admin.open(admin?.address);
    } catch (error) {
      throw error instanceof AdminError ? new AdminUnavailable(error.message) : error;
    }
  }

  /** Everything that decides who is in rotation goes by this snapshot from now on. */
  private watch(snapshot: Snapshot): void {
    this.exchanges.apply(snapshot.exchanges?.keep ?? 0, snapshot.exchanges?.memory ?? 0);
    this.health.apply(snapshot);
    this.membership.apply(snapshot);
    this.overrides.follow(snapshot);
  }

  private run(loaded: Applicable): void {
    this.configuration.loaded = loaded;
    this.watch(loaded.snapshot);
  }

  private unwatch(): void {
    this.overrides.stop();
    this.membership.close();
    this.health.stop();
    this.certificates.stop();
    this.faults.stop();
    this.logging.stop();
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

  /** Read the configuration again and run it; a bad one changes nothing. @param by who wants it, for the log */
  async reload(by: string): Promise<void> {
    // Who signals one that stops expects no answer.
    if (this.closed === undefined) await this.configuration.reloadFile(by).catch((error: Error) => this.log.error({ reason: error.message }, "Reload failed"));
  }

  /** Run it from now on. @returns why that is not possible; undefined: it is run */
  private async adopt(loaded: Applicable): Promise<string | undefined> {
    const problem = await this.switching.to(loaded, this.configuration.loaded);
    if (problem !== undefined) return problem;
    this.slots.take();
    this.state.write(loaded.snapshot);
    this.certificates.follow(loaded);
    return undefined;
  }

  /** Targets have joined before workers run. */
  private join(): void {
    const loaded = this.configuration.withJoined();
    if (loaded === undefined) return;
    this.slots.take();
    this.run(loaded);
  }

  /** Somebody has renamed the files of the logs. */
  reopenLogs(): void {
    this.logging.reopen();
  }

  /** Start the binary that is on disk now, with our sockets; when it serves, we go. */
  upgrade(): Promise<void> {
    return this.turns.take(async () => {
      if (this.stopping) return;
      if (this.successor !== undefined) return this.log.warn({ successor: this.successor.pid }, "Upgrade: the new binary is starting already");
      this.log.info({ pid: process.pid }, "Upgrade: starting the new binary");
      this.timeline.record({ kind: "upgrade", summary: "Upgrade: the new binary is being started", by: "supervisor" });
      this.journal.flush();
      try {
        this.successor = new Successor([...this.options.self, ...this.options.args], handDown(this.sockets.all, this.directory, this.board), this.notifier.path, (how) => this.successorEnded(how));
      } catch (error) {
        this.log.error({ reason: (error as Error).message }, "Upgrade failed: the new binary does not start; going on with this one");
        tellUpgradeFailed(this.timeline, `does not start: ${(error as Error).message}`);
      }
    });
  }

  private successorEnded(how: number | string): void {
    if (this.stopping) return;
    this.successor = undefined;
    this.state.write();
    this.log.error({ code: how }, "Upgrade failed: the new binary ended; going on with this one");
    tellUpgradeFailed(this.timeline, `ended (${how})`);
  }

  /** The new supervisor serves. */
  async succeeded(): Promise<void> {
    if (this.successor === undefined || this.stopping) return;
    this.successor.serves();
    this.notifier.succeededBy(this.successor.pid);
    this.journal.close();
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
    this.successor?.stop();
    this.notifier.stopping();
    this.timeline.record({ kind: "stopping", summary: `Stopping: what is open may go on for ${formatDuration(this.snapshot.drainTimeout)}`, by: "supervisor" });
    this.journal.close();
    await this.leave(false);
  }

  /** @param succeeded others go on with the sockets */
  private async leave(succeeded: boolean): Promise<void> {
    this.stopping = true;
    this.log.info({ timeout: this.snapshot.drainTimeout, succeeded }, "Draining");
    this.supervised.rest();
    this.unwatch();
    this.acme.stop();
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

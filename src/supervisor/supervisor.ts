/**
 * The supervisor: owns configuration, listening sockets, scoreboard, health checks and workers. It touches no traffic.
 * What happens when: start, reload, a worker's death, upgrade, stop; each is one method here.
 */
import { Acme, makePlaceholders } from "../acme/acme.ts";
import { certificatesOf } from "../admin/certificates.ts";
import type { ConfigState } from "../admin/overview.ts";
import { AdminError, type AdminServer } from "../admin/server.ts";
import type { InstanceStatus, ReloadResult } from "../admin/status.ts";
import { trafficOf } from "../admin/traffic.ts";
import { diagnosticLine, type Loaded, type LoadOptions } from "../config/load.ts";
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
import { CertificateWatch } from "./certificate-watch.ts";
import { ConfigError, StartError } from "./errors.ts";
import { adoptHealth, handDown, inherit, type Inheritance } from "./inheritance.ts";
import { tellApplied, tellMoved, tellRejected, tellRenewed, tellStarted, tellUnrenewed, tellUpgradeFailed } from "./instance-events.ts";
import { checkOpenFiles } from "./limits.ts";
import { Logging } from "./logging.ts";
import { machineSecret } from "./machine-secret.ts";
import { type JoinedTargets, Membership } from "./membership.ts";
import { Notifier } from "./notify.ts";
import { PendingSlots } from "./pending-slots.ts";
import { policyProblem } from "./policy-check.ts";
import { type InstanceState, type RuntimeDirectory } from "./runtime-directory.ts";
import { keptSelfSigned } from "./self-signed-file.ts";
import { ListeningSockets } from "./sockets.ts";
import { Successor } from "./successor.ts";
import { TimelineJournal } from "./timeline-journal.ts";
import { Turns } from "./turns.ts";
import { canApplyInPlace, Workers } from "./workers.ts";

export interface SupervisorOptions {
  /** Reads the configuration anew each time it is called. */
  readonly load: (options: LoadOptions) => Loaded;
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

type Applicable = Loaded & { readonly ok: true };

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
  private readonly logging: Logging;
  private readonly acme: Acme;
  private readonly admin: AdminServer;
  private readonly certificates: CertificateWatch;
  private loaded: Applicable;
  /** Reloads, upgrades and stops happen one after another. */
  private readonly turns = new Turns();
  /** A reload that has not begun yet. */
  private nextReload: Promise<boolean> | undefined = undefined;
  private stopping = false;
  /** Workers of a supervisor before us that have not been told to go yet. */
  private orphans: InstanceState["workers"] = [];
  /** The process that an upgrade has started. */
  private successor: Successor | undefined = undefined;
  private lastReload: ReloadResult | undefined = undefined;
  /** When the configuration was applied, ISO 8601. */
  private appliedAt = new Date().toISOString();
  private end: () => void = () => {};

  /** Up and serving, or not at all. @throws StartError that says why not */
  static async start(options: SupervisorOptions): Promise<Supervisor> {
    const activated = takeActivated(process.env);
    const notifier = new Notifier(process.env);
    const slots = new PendingSlots(CAPACITY);
    const how: LoadOptions = { slots, generation: 1, secret: machineSecret, selfSigned: keptSelfSigned };
    const read = options.load(how);
    if (!read.ok) throw new ConfigError(read.diagnostics);
    const loaded = await withPlaceholders(read, how);
    const { logs } = options;
    const log = logs.of("supervisor");
    logs.set(loaded.snapshot.log);
    logs.moveTo(loaded.snapshot.log.path);
    for (const warning of loaded.warnings) logs.of("config").warn(warning);
    const warning = checkOpenFiles(loaded.snapshot);
    if (warning !== undefined) log.warn(warning);
    const problem = await policyProblem(options.self, loaded.snapshot);
    if (problem !== undefined) throw new StartError(problem);
    const inheritance = await inherit(options.identity, options.runtimeDirectory, log);
    const { directory } = inheritance;
    const sockets = new ListeningSockets(inheritance.sockets, activated);
    const prepared = await sockets.prepare(loaded.snapshot);
    prepared.commit();
    for (const socket of sockets.unused(loaded.snapshot.listeners)) log.warn({ socket }, "Systemd passed a socket that is no listener's: who connects there is served by nobody");
    slots.take();
    const supervisor = new Supervisor(options, loaded, slots, directory, sockets, notifier);
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
    supervisor.journal.open();
    supervisor.certificates.follow(supervisor.loaded);
    supervisor.acme.apply(supervisor.snapshot, false);
    supervisor.membership.open();
    return supervisor;
  }

  private constructor(options: SupervisorOptions, loaded: Applicable, slots: PendingSlots, directory: RuntimeDirectory, sockets: ListeningSockets, notifier: Notifier) {
    const { logs, self, logFormat } = options;
    const { snapshot } = loaded;
    this.options = options;
    this.log = logs.of("supervisor");
    this.loaded = loaded;
    this.slots = slots;
    this.directory = directory;
    this.sockets = sockets;
    this.notifier = notifier;
    this.board = createBoard(snapshot.workers, snapshot.upstreams.reduce((sum, { targets }) => sum + targets.length, 0));
    this.board.generation = snapshot.generation;
    this.board.setBounds(snapshot.metrics.buckets, this.slots.used);
    const network = bunNetwork();
    const chronicle = new Timeline(() => network.clock.wall());
    this.timeline = chronicle;
    this.journal = new TimelineJournal(chronicle, directory, network.clock, logs.of("supervisor"));
    this.exchanges = new ExchangeRing(network.clock.wall());
    this.health = new HealthMonitor({ network, scoreboard: this.board, log: logs.of("health"), chronicle });
    const { rotation, ejection } = this.health;
    this.membership = new Membership({ self, logFormat, scoreboard: this.board, rotation, network, directory, logs, chronicle, changed: () => void this.turns.take(() => this.rejoin()) });
    this.supervised = this.membership.supervised;
    this.workers = new Workers({ self, logFormat, log: logs.of("workers"), levels: () => this.logging.levels.levels, chronicle, board: this.board, used: () => slots.used, report: (outlier) => ejection.report(outlier), turned: (change) => this.health.turned(change), keep: (batch) => this.exchanges.add(batch), sockets, directory, alone: options.alone ?? "serve", changed: () => this.writeState() });
    this.logging = new Logging(logs, this.workers);
    this.logging.follow(snapshot);
    this.certificates = new CertificateWatch(logs.of("tls"), () => void this.turns.take(() => this.renewCertificates()));
    this.acme = new Acme({ clock: network.clock, random: () => network.random(), log: logs.of("acme"), chronicle, show: (challenges) => this.workers.show(challenges) });
    this.admin = createAdmin({ log: logs.of("admin"), levels: this.logging.levels, snapshot: () => this.snapshot, status: () => this.status(), health: this.health, membership: this.membership, timeline: chronicle, exchanges: this.exchanges, scoreboard: this.board, clock: network.clock, workers: this.workers, sockets, config: () => this.configState });
    this.ended = new Promise((resolve) => (this.end = resolve));
  }

  private get snapshot(): Snapshot {
    return this.loaded.snapshot;
  }

  private get configState(): ConfigState {
    const { lastReload } = this;
    return { applied: { generation: this.snapshot.generation, at: this.appliedAt }, rejected: lastReload === undefined || lastReload.applied ? null : { at: lastReload.at, errors: [...lastReload.errors] } };
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
      lastReload: this.lastReload,
    };
  }

  private async serve(inheritance: Inheritance): Promise<void> {
    const { health, sockets } = inheritance;
    const heir = sockets.size > 0;
    if (heir) this.membership.restoreBeats();
    // Who was down is down still, until checks say otherwise.
    adoptHealth(this.board, this.snapshot, health);
    this.watch(this.snapshot);
    this.join();
    if (heir) this.membership.restoreStates(this.snapshot);
    this.supervised.apply(this.snapshot);
    const stopped = this.options.stopped ?? new AbortController().signal;
    if (!(await this.supervised.firstServing(FIRST_SERVING, stopped)) && !stopped.aborted) this.log.error("Not every upstream with supervised back ends has one that serves yet; clients are let in all the same");
    if (stopped.aborted) throw new StartError("stopped while it was starting");
    this.join();
    // Others serve these sockets already, so there is time to find out who is healthy where that is not known.
    if (heir && (health === undefined || this.snapshot.upstreams.some(({ healthCheck }) => healthCheck?.initial === "down"))) await this.health.firstChecks(FIRST_CHECKS);
    if (!heir) await this.openAdmin(this.snapshot);
    await this.workers.start(this.snapshot);
    this.orphans = inheritance.orphans;
    this.writeState(this.snapshot);
    tellStarted(this.timeline, this.snapshot, this.workers.pids.length, !heir ? "started" : this.orphans.length > 0 ? "taken-over" : "upgraded");
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
      throw error instanceof AdminError ? new StartError(error.message) : error;
    }
  }

  /** Everything that decides who is in rotation goes by this snapshot from now on. */
  private watch(snapshot: Snapshot): void {
    this.exchanges.apply(snapshot.exchanges?.keep ?? 0, snapshot.exchanges?.memory ?? 0);
    this.health.apply(snapshot);
    this.membership.apply(snapshot);
  }

  private unwatch(): void {
    this.membership.close();
    this.health.stop();
    this.certificates.stop();
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
        sockets: this.sockets.all.map(({ fd: _fd, ...socket }) => socket),
      });
    } catch (error) {
      // A disk that is full is no reason to stop serving.
      this.log.error({ reason: (error as Error).message }, "State for a takeover cannot be written");
    }
  }

  /** Read the configuration again and run it; a bad one changes nothing. True: it is applied. */
  reload(): Promise<boolean> {
    // One that waits its turn will read what there is by then: a second one would read the same.
    this.nextReload ??= this.turns.take(async () => {
      this.nextReload = undefined;
      if (this.stopping) return false;
      this.notifier.reloading();
      const errors = await this.reloadNow();
      if (errors.length > 0) tellRejected(this.timeline, this.snapshot, errors, "config");
      this.notifier.ready();
      this.lastReload = { applied: errors.length === 0, at: new Date().toISOString(), errors };
      return errors.length === 0;
    });
    return this.nextReload;
  }

  /** What every configuration of ours is made with. */
  private how(joined: JoinedTargets): LoadOptions {
    return { slots: this.slots, generation: this.snapshot.generation + 1, secret: machineSecret, selfSigned: keptSelfSigned, joined };
  }

  /** @returns why it was rejected; nothing: it is applied */
  private async reloadNow(): Promise<readonly string[]> {
    const began = performance.now();
    const before = this.snapshot;
    const joined = this.membership.joined();
    const how = this.how(joined);
    const read = this.options.load(how);
    if (!read.ok) {
      for (const diagnostic of read.diagnostics) this.options.logs.of("config").error({ ...diagnostic.place }, diagnosticLine(diagnostic));
      this.log.error({ errors: read.diagnostics.length, generation: this.snapshot.generation }, "Reload rejected; nothing has changed");
      return read.diagnostics.map(diagnosticLine);
    }
    for (const warning of read.warnings) this.options.logs.of("config").warn(warning);
    const { snapshot } = read;
    const reason = await withPlaceholders(read, how).then(
      (loaded) => this.adopt(loaded),
      (error: Error) => error.message,
    );
    if (reason !== undefined) {
      this.log.error({ generation: this.snapshot.generation, reason }, "Reload rejected; nothing has changed");
      return [reason];
    }
    this.membership.hasApplied(joined);
    this.logging.follow(snapshot);
    tellApplied(this.timeline, before, this.snapshot, "config");
    this.log.info({ generation: snapshot.generation, milliseconds: Math.round(performance.now() - began), workers: this.workers.pids }, "Reload applied");
    this.supervised.apply(snapshot, true);
    this.acme.apply(snapshot, true);
    return [];
  }

  /** Run it from now on. @returns why that is not possible; undefined: it is run */
  private async adopt(loaded: Applicable): Promise<string | undefined> {
    const before = this.loaded;
    for (const slot of loaded.freshSlots) this.board.clearTarget(slot);
    for (const slot of loaded.freshUpstreams) this.board.clearUpstream(slot);
    for (const slot of loaded.freshListeners) this.board.listeners.clear(slot, "totals");
    for (const slot of loaded.freshRoutes) this.board.routes.clear(slot, "all");
    try {
      const problem = await policyProblem(this.options.self, loaded.snapshot, before.snapshot);
      if (problem !== undefined) throw new StartError(problem);
      await this.switchTo(loaded, before);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    this.slots.take();
    this.appliedAt = new Date().toISOString();
    this.writeState(loaded.snapshot);
    this.certificates.follow(loaded);
    return undefined;
  }

  /** The files of certificates have changed: workers get what is in them now, and their connections go on. */
  private async renewCertificates(): Promise<void> {
    if (this.stopping) return;
    const joined = this.membership.joined();
    const loaded = this.loaded.again({ ...this.how(joined), renewCertificates: true });
    const reasons = loaded.ok ? loaded.unrenewed : loaded.diagnostics.map(diagnosticLine);
    for (const reason of reasons) this.log.error({ reason }, "A certificate cannot be renewed; the one before serves on");
    tellUnrenewed(this.timeline, reasons);
    if (!loaded.ok || sameCertificates(loaded.snapshot, this.snapshot)) return;
    const reason = await this.adopt(loaded);
    if (reason !== undefined) {
      this.log.error({ reason }, "Certificates cannot be renewed; those before serve on");
      return;
    }
    this.membership.hasApplied(joined);
    for (const warning of loaded.warnings) this.log.warn(warning);
    const certificates = certificatesOf(this.snapshot, Date.now());
    tellRenewed(this.timeline, certificates);
    this.log.info({ generation: this.snapshot.generation, certificates }, "Certificates renewed");
  }

  /** Targets have joined or left, or something was said of one. */
  private async rejoin(): Promise<void> {
    if (this.stopping) return;
    this.membership.save();
    const before = this.snapshot;
    const loaded = this.withJoined();
    if (loaded === undefined) return;
    const reason = await this.adopt(loaded);
    if (reason === undefined) {
      tellMoved(this.timeline, before, this.snapshot);
      this.log.debug({ generation: this.snapshot.generation }, "Targets have joined or left");
      return;
    }
    this.log.error({ reason }, "Targets that joined or left cannot be applied; trying again");
    this.membership.hasFailed();
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
    const joined = this.membership.toApply();
    if (joined === undefined) return undefined;
    const loaded = this.loaded.again(this.how(joined));
    if (loaded.ok) return loaded;
    this.log.error({ reason: loaded.diagnostics.map(diagnosticLine).join("; ") }, "Targets that joined cannot be applied");
    return undefined;
  }

  /** All workers run `snapshot`, or all run `before`. */
  private async switchTo(loaded: Applicable, previous: Applicable): Promise<void> {
    const { snapshot } = loaded;
    const before = previous.snapshot;
    const inPlace = !this.sockets.differs(snapshot) && canApplyInPlace(snapshot, before);
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
    this.board.setBounds(snapshot.metrics.buckets, this.slots.used);
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
        this.successor = new Successor([...this.options.self, ...this.options.args], handDown(this.sockets.all, this.directory), this.notifier.path, (how) => this.successorEnded(how));
      } catch (error) {
        this.log.error({ reason: (error as Error).message }, "Upgrade failed: the new binary does not start; going on with this one");
        tellUpgradeFailed(this.timeline, `does not start: ${(error as Error).message}`);
      }
    });
  }

  private successorEnded(how: number | string): void {
    if (this.stopping) return;
    this.successor = undefined;
    this.writeState();
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

/** With something to show on every listener that gets its certificate by itself. @throws StartError when that cannot be kept */
async function withPlaceholders(loaded: Applicable, how: LoadOptions): Promise<Applicable> {
  try {
    if (!(await makePlaceholders(loaded.snapshot, Date.now()))) return loaded;
  } catch (error) {
    throw new StartError((error as Error).message);
  }
  const again = loaded.again({ ...how, renewCertificates: true });
  if (!again.ok) throw new ConfigError(again.diagnostics);
  return again;
}

function sameCertificates(a: Snapshot, b: Snapshot): boolean {
  const shown = ({ listeners, upstreams }: Snapshot): string => JSON.stringify([listeners.map(({ tls }) => tls ?? null), upstreams.map(({ tls }) => tls ?? null)]);
  return shown(a) === shown(b);
}

/** Fairlead in a simulated world: workers with the product's own data plane, a supervisor with its health monitor, one scoreboard. */
import { loadConfigValue, SlotAllocator } from "../../src/config/load.ts";
import type { Snapshot } from "../../src/config/snapshot.ts";
import { HealthMonitor } from "../../src/health/monitor.ts";
import type { Account, Witness } from "../../src/observability/account.ts";
import { oneLog, type Log } from "../../src/observability/log.ts";
import { NO_CHRONICLE } from "../../src/observability/timeline.ts";
import { LISTENER_ROWS, MAX_ROUTES, Scoreboard } from "../../src/scoreboard/scoreboard.ts";
import { DataPlane } from "../../src/worker/data-plane.ts";
import type { Internet } from "./internet.ts";
import { Process } from "./process.ts";
import type { World } from "./world.ts";

/** Workers at a time, and those that still end. */
const SLOTS = { targets: 12, upstreams: 4, workers: 3 };
const USED = { targets: SLOTS.targets, upstreams: SLOTS.upstreams, listeners: 4, routes: 2 };
const ALL_ROWS = { ...SLOTS, listeners: LISTENER_ROWS, routes: MAX_ROUTES };

function nothing(): void {}
const SILENT = { debug: nothing, info: nothing, warn: nothing, error: nothing } as unknown as Log;

export class Worker {
  readonly process: Process;
  readonly plane: DataPlane;
  readonly slot: number;

  constructor(process: Process, plane: DataPlane, slot: number) {
    this.process = process;
    this.plane = plane;
    this.slot = slot;
  }
}

export interface InstanceOptions {
  readonly workers: number;
  readonly openFiles: number | undefined;
  readonly configs: readonly object[];
  readonly tell: (account: Account) => void;
}

export class Instance {
  readonly board = Scoreboard.local(SLOTS);
  readonly supervisor: Process;
  readonly monitor: HealthMonitor;
  snapshot: Snapshot;
  workers: Worker[] = [];
  /** A worker was killed: what it had counted and not yet ended stays half told. */
  deaths = 0;
  private readonly world: World;
  private readonly internet: Internet;
  private readonly options: InstanceOptions;
  private readonly slots = new SlotAllocator(SLOTS);
  private generation = 0;
  private born = 0;

  constructor(world: World, internet: Internet, options: InstanceOptions) {
    this.world = world;
    this.internet = internet;
    this.options = options;
    this.supervisor = new Process(world, internet, "supervisor", "127.0.0.1");
    this.snapshot = this.load();
    this.monitor = new HealthMonitor({ network: this.supervisor, scoreboard: this.board, log: SILENT, chronicle: NO_CHRONICLE });
    for (const { address } of this.snapshot.listeners) if (address.kind === "tcp") internet.hold(address.port);
    for (let i = 0; i < options.workers; i++) this.start(i);
    world.within(this.supervisor, () => this.monitor.apply(this.snapshot));
  }

  private load(): Snapshot {
    const { configs } = this.options;
    const loaded = loadConfigValue(configs[this.generation % configs.length], undefined, "simulation", { slots: this.slots, generation: ++this.generation });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
    const { board } = this;
    for (const slot of loaded.freshSlots) board.clearTarget(slot);
    for (const slot of loaded.freshUpstreams) board.clearUpstream(slot);
    for (const slot of loaded.freshListeners) board.listeners.clear(slot, "totals");
    board.setBounds(loaded.snapshot.metrics.buckets, ALL_ROWS);
    return loaded.snapshot;
  }

  private start(slot: number): void {
    const { world, options, board } = this;
    const process = new Process(world, this.internet, `worker${++this.born}`, "127.0.0.1");
    const witness: Witness = { wants: () => true, tell: (account) => options.tell(account) };
    world.within(process, () => {
      const plane = new DataPlane({
        network: process,
        scoreboard: board,
        slot,
        logs: oneLog(SILENT),
        openFiles: options.openFiles,
        witnesses: [witness],
        // What a worker says reaches the supervisor a little later.
        report: (outlier) => void world.after(1, this.supervisor, () => this.monitor.ejection.report(outlier)),
        turned: (change) => void world.after(1, this.supervisor, () => this.monitor.turned(change)),
      });
      this.workers.push(new Worker(process, plane, slot));
      this.apply(process, plane, () => {
        for (const { name } of this.snapshot.listeners) plane.open(name);
      });
    });
  }

  /** Policies may take their time to load; then what follows happens. */
  private apply(process: Process, plane: DataPlane, then: () => void = nothing): void {
    plane.apply(this.snapshot).then(then, (error: unknown) => {
      throw new Error(`${process.name} does not take the configuration: ${String(error)}`);
    });
  }

  reload(): void {
    this.world.note("reload", 0, this.generation);
    this.snapshot = this.load();
    this.world.within(this.supervisor, () => this.monitor.apply(this.snapshot));
    for (const { process, plane } of this.workers) this.world.after(this.world.dice.random(), process, () => this.apply(process, plane));
  }

  /** Kill a worker; the supervisor sees it a little later, takes back what it held, and starts another one. */
  killWorker(worker: Worker): void {
    worker.process.kill();
    this.workers = this.workers.filter((other) => other !== worker);
    this.deaths++;
    this.world.after(this.world.dice.random() * 5, this.supervisor, () => {
      this.board.reclaim(worker.slot, USED);
      this.world.after(20 * this.world.dice.random(), this.supervisor, () => this.start(worker.slot));
    });
  }
}

/** A data plane in this process: real sockets, one worker, and a scoreboard whose states the test writes. */
import { loadConfigText, SlotAllocator } from "../../src/config/load.ts";
import type { FaultRule, Snapshot } from "../../src/config/snapshot.ts";
import type { FaultOverlay } from "../../src/faults/faults.ts";
import { bunNetwork } from "../../src/net/bun.ts";
import type { Witness } from "../../src/observability/account.ts";
import { CAUSE_NUMBERS, type Cause } from "../../src/observability/cause.ts";
import { type Log, oneLog, silentLog } from "../../src/observability/log.ts";
import type { PolicyFactory } from "../../src/policies/policy.ts";
import { CAUSES_OF_END, LISTENER_ROWS, MAX_ROUTES, Scoreboard } from "../../src/scoreboard/scoreboard.ts";
import type { OutlierReport } from "../../src/upstream/outliers.ts";
import { DataPlane } from "../../src/worker/data-plane.ts";

const SLOTS = { targets: 256, upstreams: 8 };
const ALL_ROWS = { ...SLOTS, listeners: LISTENER_ROWS, routes: MAX_ROUTES };

export interface PlaneOptions {
  readonly policies?: ReadonlyMap<string, PolicyFactory>;
  readonly log?: Log;
  readonly openFiles?: number;
  readonly witnesses?: readonly Witness[];
  /** Chance, uniform in [0, 1). */
  readonly random?: () => number;
}

export class Plane {
  readonly board = Scoreboard.local({ ...SLOTS, workers: 1 });
  readonly reports: OutlierReport[] = [];
  readonly network = bunNetwork();
  private readonly slots = new SlotAllocator(SLOTS);
  private readonly options: PlaneOptions;
  private readonly plane: DataPlane;
  private snapshot!: Snapshot;
  private ports: ReadonlyMap<string, number> = new Map();

  private constructor(options: PlaneOptions) {
    this.options = options;
    const { log = silentLog(), policies, openFiles, witnesses = [], random } = options;
    if (random !== undefined) this.network.random = random;
    this.plane = new DataPlane({ network: this.network, scoreboard: this.board, slot: 0, logs: oneLog(log), openFiles, witnesses, ...(policies === undefined ? {} : { policies }), report: (outlier) => void this.reports.push(outlier) });
  }

  static async start(toml: string, options: PlaneOptions = {}): Promise<Plane> {
    const plane = new Plane(options);
    await plane.apply(toml);
    plane.ports = new Map(plane.snapshot.listeners.map(({ name }) => [name, plane.plane.open(name).port]));
    return plane;
  }

  /** From now on this is the configuration, with the same listeners. */
  async apply(toml: string): Promise<void> {
    const loaded = loadConfigText(toml, "test", { slots: this.slots, generation: 1, policies: [...(this.options.policies?.keys() ?? [])] });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
    this.snapshot = loaded.snapshot;
    this.board.setBounds(loaded.snapshot.metrics.buckets, ALL_ROWS);
    await this.plane.apply(loaded.snapshot);
  }

  /** Of a listener; the first one's by default. */
  port(listener = this.snapshot.listeners[0]!.name): number {
    return this.ports.get(listener)!;
  }

  /** A listener's place on the scoreboard. */
  slotOf(listener: string): number {
    return this.snapshot.listeners.find(({ name }) => name === listener)!.slot;
  }

  private row(address: string): { readonly upstream: number; readonly target: number } {
    for (const { slot, targets } of this.snapshot.upstreams) for (const target of targets) if (target.name === address) return { upstream: slot, target: target.slot };
    throw new Error(`no target ${address}`);
  }

  /** What a supervisor would find out. @param flags of the scoreboard's Flag; 0: it is well */
  flag(target: { readonly address: string }, flags: number): void {
    const row = this.row(target.address);
    this.board.setFlags(row.upstream, row.target, flags);
  }

  openRequests(target: { readonly address: string }): number {
    return this.board.openRequests(this.row(target.address).target);
  }

  openConnections(target: { readonly address: string }): number {
    return this.board.openConnections(this.row(target.address).target);
  }

  /** Sum of one counter of a target. */
  count(target: { readonly address: string }, counter: number): number {
    return this.board.targets.sum(this.row(target.address).target, counter);
  }

  /** Exchanges of the first listener that ended so. */
  failures(cause: Cause): number {
    return this.board.listeners.sum(this.snapshot.listeners[0]!.slot, CAUSES_OF_END + CAUSE_NUMBERS[cause]);
  }

  get clients(): number {
    return this.plane.openClients;
  }

  /** What people say of faults. */
  injectFaults(overlay: FaultOverlay): void {
    this.plane.injectFaults(overlay);
  }

  /** Exchanges that wait because of one. */
  get heldByFaults(): number {
    return this.plane.heldByFaults;
  }

  /** What a configuration says of faults, without running it. */
  static rules(toml: string): readonly FaultRule[] {
    const loaded = loadConfigText(toml, "test", { slots: new SlotAllocator(SLOTS), generation: 1 });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
    return loaded.snapshot.faults ?? [];
  }

  drain(timeout: number): Promise<void> {
    return this.plane.drain(timeout);
  }

  stop(): void {
    this.plane.stop();
  }
}

/** Another configuration takes the place of the one that runs: sockets, admin address, files, workers; or all of it stays as it was. */
import type { Snapshot } from "../config/snapshot.ts";
import type { Scoreboard, UsedRows } from "../scoreboard/scoreboard.ts";
import type { Applicable } from "./configuration.ts";
import { policyProblem } from "./policy-check.ts";
import { giveLogs, runAs } from "./run-as.ts";
import type { ListeningSockets } from "./sockets.ts";
import { canApplyInPlace, type Workers } from "./workers.ts";

interface Parts {
  /** Command that starts Fairlead itself, without arguments. */
  readonly self: readonly string[];
  readonly board: Scoreboard;
  readonly sockets: ListeningSockets;
  readonly workers: Workers;
  /** Of the scoreboard. */
  readonly used: () => UsedRows;
  /** @throws StartError */
  readonly openAdmin: (snapshot: Snapshot) => Promise<void>;
  /** Its admin address again, which may be another's still. */
  readonly returnAdmin: (snapshot: Snapshot) => void;
  /** Everything in this process goes by it from now on. */
  readonly run: (loaded: Applicable) => void;
}

export class Switching {
  private readonly parts: Parts;

  constructor(parts: Parts) {
    this.parts = parts;
  }

  /** Workers go on as they are. */
  isInPlace(snapshot: Snapshot, before: Snapshot): boolean {
    return !this.parts.sockets.differs(snapshot) && canApplyInPlace(snapshot, before);
  }

  /** @returns why that is not possible; undefined: it is done */
  async to(loaded: Applicable, before: Applicable): Promise<string | undefined> {
    const { board, self } = this.parts;
    for (const slot of loaded.freshSlots) board.clearTarget(slot);
    for (const slot of loaded.freshUpstreams) board.clearUpstream(slot);
    for (const slot of loaded.freshListeners) board.listeners.clear(slot, "totals");
    for (const slot of loaded.freshRoutes) board.routes.clear(slot, "all");
    try {
      const problem = await policyProblem(self, loaded.snapshot, before.snapshot);
      if (problem !== undefined) return problem;
      await this.allOrNone(loaded, before);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    return undefined;
  }

  /** All workers run `loaded`, or all run `previous`. */
  private async allOrNone(loaded: Applicable, previous: Applicable): Promise<void> {
    const { board, sockets, workers, used, openAdmin, returnAdmin, run } = this.parts;
    const { snapshot } = loaded;
    const before = previous.snapshot;
    const prepared = this.isInPlace(snapshot, before) ? undefined : await sockets.prepare(snapshot);
    try {
      // The same address may still be another's, whom we wait for.
      if (JSON.stringify(snapshot.admin?.address) !== JSON.stringify(before.admin?.address)) await openAdmin(snapshot);
    } catch (error) {
      prepared?.abandon();
      throw error;
    }
    giveLogs(snapshot, runAs(before));
    run(loaded);
    try {
      if (prepared === undefined) await workers.apply(snapshot, before);
      else await workers.roll(snapshot, prepared.sockets, () => prepared.commit());
    } catch (error) {
      prepared?.abandon();
      giveLogs(before, runAs(snapshot));
      run(previous);
      returnAdmin(before);
      throw error;
    }
    board.generation = snapshot.generation;
    board.setBounds(snapshot.metrics.buckets, used());
  }
}

/** What this supervisor keeps on disk while it runs, so that another one can take over: who serves, by which sockets, and a configuration that is in no file. */
import type { Snapshot } from "../config/snapshot.ts";
import type { Log } from "../observability/log.ts";
import type { Scoreboard } from "../scoreboard/scoreboard.ts";
import type { KeptFaults } from "./kept-faults.ts";
import type { InstanceState, KeptConfig, RuntimeDirectory } from "./runtime-directory.ts";
import type { ListeningSockets } from "./sockets.ts";
import type { Workers } from "./workers.ts";

interface Parts {
  readonly directory: RuntimeDirectory;
  readonly board: Scoreboard;
  readonly workers: Workers;
  readonly sockets: ListeningSockets;
  readonly log: Log;
  /** Another supervisor keeps it by now. */
  readonly isOthers: () => boolean;
}

export class TakeoverState {
  private readonly parts: Parts;
  /** Workers of a supervisor before us that have not been told to go yet. */
  orphans: InstanceState["workers"] = [];

  constructor(parts: Parts) {
    this.parts = parts;
  }

  /** @param snapshot when it is a new one */
  write(snapshot?: Snapshot): void {
    const { directory, board, workers, sockets, isOthers } = this.parts;
    if (isOthers()) return;
    const own = workers.all.map(({ pid, controlSocket }) => ({ pid, controlSocket }));
    this.keep(() => {
      if (snapshot !== undefined) directory.writeSlots(snapshot);
      directory.write({
        supervisor: process.pid,
        board: board.file!.path!,
        // Ours first: they have the sockets of these listeners for sure.
        workers: [...own, ...this.orphans],
        sockets: sockets.all.map(({ fd: _fd, ...socket }) => socket),
      });
    });
  }

  /** @param config that is in no file */
  keepConfig(config: KeptConfig | undefined): void {
    this.keep(() => this.parts.directory.writeConfig(config));
  }

  keepFaults(kept: KeptFaults): void {
    this.keep(() => this.parts.directory.writeFaults(kept));
  }

  private keep(write: () => void): void {
    try {
      write();
    } catch (error) {
      // A disk that is full is no reason to stop serving.
      this.parts.log.error({ reason: (error as Error).message }, "State for a takeover cannot be written");
    }
  }
}

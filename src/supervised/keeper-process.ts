/** The keeper as the supervisor sees it: started when there is something to keep, told things, heard from. */
import { signalGroup } from "../net/process-group.ts";
import type { LogFormat } from "../observability/log.ts";
import type { FromKeeper, ToKeeper } from "./messages.ts";

export interface KeeperStart {
  /** The command that starts Fairlead itself, without arguments. */
  readonly self: readonly string[];
  /** Descriptor of the scoreboard's file, without the lock that all who serve have on it. */
  readonly watch: number;
  readonly logFormat: LogFormat;
  readonly hear: (message: FromKeeper) => void;
  /** It has died, and so has everything that it held. */
  readonly died: (how: number | string) => void;
}

export class KeeperProcess {
  private readonly child: Bun.Subprocess<"ignore", "inherit", "inherit">;
  /** Groups of processes that may be there still. */
  private readonly groups = new Map<number, number>();
  private readonly ended: Promise<void>;

  constructor({ self, watch, logFormat, hear, died }: KeeperStart) {
    this.child = Bun.spawn([...self, "__keeper", logFormat], {
      stdio: ["ignore", "inherit", "inherit", watch],
      // As it is now: what was said to this process alone is not for the programs.
      env: process.env,
      ipc: (message: FromKeeper) => {
        if (message.type === "started") this.groups.set(message.id, message.pid);
        else this.groups.delete(message.id);
        hear(message);
      },
    });
    this.ended = this.child.exited.then(() => {
      // The system has killed the programs; what those had started it has not.
      for (const pid of this.groups.values()) signalGroup(pid, "SIGKILL");
      died(this.child.signalCode ?? this.child.exitCode ?? 0);
    });
  }

  get pid(): number {
    return this.child.pid;
  }

  say(message: ToKeeper): void {
    try {
      this.child.send(message);
    } catch {
      // It has just died; `died` says so.
    }
  }

  /** SIGTERM to all that it holds; resolves when it has gone. */
  async stop(): Promise<void> {
    this.child.kill("SIGTERM");
    await this.ended;
  }

  /** At once, with all that it holds. */
  kill(): void {
    this.child.kill("SIGKILL");
  }
}

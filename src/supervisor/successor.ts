/** The process of an upgrade: the binary that is on disk now, started with our sockets. It tells us when it serves; until then we go on. */
import { UPGRADE_VARIABLE } from "./inheritance.ts";
import { NOTIFY_VARIABLE } from "./notify.ts";

/** How long it may take to serve, in ms. */
const TIMEOUT = 60_000;

export class Successor {
  private readonly child: Bun.Subprocess;
  private readonly late: Timer;

  /**
   * @param command with its arguments
   * @param handed what `handDown` gives
   * @param notify where systemd listens; undefined: nobody does
   * @param ended called with the exit code or the signal's name, also when it has served
   * @throws Error when the system does not start it
   */
  constructor(command: readonly string[], handed: { readonly descriptors: readonly number[]; readonly text: string }, notify: string | undefined, ended: (how: number | string) => void) {
    const child = Bun.spawn([...command], { stdio: ["ignore", "inherit", "inherit", ...handed.descriptors], env: { ...process.env, [UPGRADE_VARIABLE]: handed.text, [NOTIFY_VARIABLE]: notify } });
    this.child = child;
    this.late = setTimeout(() => child.kill("SIGKILL"), TIMEOUT);
    void child.exited.then((code) => {
      clearTimeout(this.late);
      ended(child.signalCode ?? code);
    });
    // Once it serves it lives longer than we do.
    child.unref();
  }

  get pid(): number {
    return this.child.pid;
  }

  /** It needs no watching any more. */
  serves(): void {
    clearTimeout(this.late);
  }

  stop(): void {
    this.child.kill("SIGTERM");
  }
}

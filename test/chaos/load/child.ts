/** A process of ours that runs a file of ours and talks to us; it ends with us, however we end. */
import { until } from "../../support/until.ts";

/** Those that have not ended, to be killed when we end. */
const running = new Set<Child>();
process.on("exit", () => {
  for (const child of running) child.signal("SIGKILL");
});

/** Start-up on a busy machine, in ms. */
const START_PATIENCE = 15_000;

export class Child {
  /** All that it has said and that nobody has taken. */
  private readonly said: unknown[] = [];
  private readonly process: Bun.Subprocess;
  /** Exit code or signal; undefined: it runs. */
  ended: number | string | undefined = undefined;
  /** Hears messages instead of `said`. */
  onMessage: ((message: unknown) => void) | undefined = undefined;

  constructor(file: string, args: readonly string[] = []) {
    this.process = Bun.spawn([process.execPath, file, ...args], {
      stdio: ["ignore", "inherit", "inherit"],
      // A test run with --no-orphans tells all below it to watch their parents; here the channel that closes does that.
      env: { ...process.env, BUN_FEATURE_FLAG_NO_ORPHANS: undefined },
      ipc: (message) => {
        if (this.onMessage === undefined) this.said.push(message);
        else this.onMessage(message);
      },
      onExit: (_process, code, signal) => {
        this.ended = code ?? signal ?? "unknown";
        running.delete(this);
      },
    });
    running.add(this);
  }

  get pid(): number {
    return this.process.pid;
  }

  send(message: unknown): void {
    if (this.ended === undefined) this.process.send(message);
  }

  /** The next message for which `test` holds; those before it are forgotten. @throws Error when the process ends instead */
  async message<T>(what: string, test: (message: unknown) => boolean, patience = START_PATIENCE): Promise<T> {
    return until(
      what,
      () => {
        while (this.said.length > 0) {
          const message = this.said.shift();
          if (test(message)) return { message: message as T };
        }
        if (this.ended !== undefined) throw new Error(`${what}: its process ended with ${this.ended}`);
        return undefined;
      },
      patience,
    ).then(({ message }) => message);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.ended === undefined) this.process.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.process.exited;
  }
}

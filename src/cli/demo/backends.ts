/** The demo's back ends: child processes that are watched, and replaced when they die. */
import { PORT_TAKEN, READY } from "./backend-process.ts";
import { tryPort } from "../../net/free-port.ts";

/** A back end that lives shorter than this is replaced after a pause, which doubles each time, in milliseconds. */
const SHORT_LIFE = 1000;
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5000;

export interface BackendsOptions {
  readonly ports: readonly number[];
  /** How this program is started; `__spells PORT NAME` is added. */
  readonly command: readonly string[];
  /** Hears, in a sentence for people, of each change that was not asked for. */
  readonly tell: (text: string) => void;
}

export class Backends {
  readonly all: readonly Backend[];

  constructor(options: BackendsOptions) {
    this.all = options.ports.map((port, index) => new Backend(index + 1, port, options));
  }

  /** Resolves when all accept, or when it turned out that some cannot: false. */
  async start(): Promise<boolean> {
    const started = await Promise.all(this.all.map((backend) => backend.start()));
    return started.every(Boolean);
  }

  /** They serve on, but who dies from now on is not replaced. */
  letGo(): void {
    for (const backend of this.all) backend.letGo();
  }

  /** Resolves when all are gone. */
  async stop(): Promise<void> {
    await Promise.all(this.all.map((backend) => backend.stop()));
  }
}

export class Backend {
  readonly number: number;
  readonly port: number;
  readonly name: string;
  private readonly options: BackendsOptions;
  private child: Bun.Subprocess<"pipe", "pipe", "inherit"> | undefined = undefined;
  private wanted = false;
  private stopping: Promise<unknown> | undefined = undefined;
  private startedAt = 0;
  private pause = FIRST_PAUSE;
  private retry: Timer | undefined = undefined;

  constructor(number: number, port: number, options: BackendsOptions) {
    this.number = number;
    this.port = port;
    this.name = `spells-${number}`;
    this.options = options;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Undefined while it does not run. */
  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** Resolves when it accepts, or when it turned out that it cannot: false. */
  async start(): Promise<boolean> {
    this.wanted = true;
    clearTimeout(this.retry);
    await this.stopping;
    if (this.child !== undefined || !this.wanted) return true;
    const child = Bun.spawn([...this.options.command, "__spells", String(this.port), this.name], {
      // Its end of this pipe tells it when we are gone.
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.child = child;
    this.startedAt = performance.now();
    child.exited.then(() => this.ended(child));
    for await (const bytes of child.stdout) if (Buffer.from(bytes).includes(READY)) return true;
    return false;
  }

  /** It is not replaced any more. */
  letGo(): void {
    this.wanted = false;
    clearTimeout(this.retry);
  }

  /** Resolves when it is gone. It is not replaced. */
  async stop(): Promise<void> {
    this.letGo();
    const { child } = this;
    if (child === undefined) return;
    child.kill("SIGTERM");
    const force = setTimeout(() => child.kill("SIGKILL"), 2000);
    this.stopping = child.exited;
    await child.exited;
    this.stopping = undefined;
    clearTimeout(force);
  }

  private ended(child: Bun.Subprocess): void {
    this.child = undefined;
    if (!this.wanted) return;
    const lived = performance.now() - this.startedAt;
    const pause = lived < SHORT_LIFE ? this.pause : 0;
    this.pause = lived < SHORT_LIFE ? Math.min(this.pause * 2, LONGEST_PAUSE) : FIRST_PAUSE;
    const cause = child.exitCode === PORT_TAKEN ? `port ${this.port} is taken` : String(child.signalCode ?? `exit code ${child.exitCode}`);
    if (pause > SHORT_LIFE) this.options.tell(`Back end ${this.number} keeps dying: ${cause}. Next try in ${pause / 1000} s.`);
    this.retry = setTimeout(() => void this.replace(child.pid, cause), pause);
  }

  private async replace(pid: number, cause: string): Promise<void> {
    if (await this.start()) this.options.tell(`Back end ${this.number} (pid ${pid}) died: ${cause}. Replaced by pid ${this.pid}.`);
  }
}

/** The first `count` ports from `first` on where nobody listens on this machine. */
export async function freePorts(first: number, count: number): Promise<number[]> {
  const free: number[] = [];
  for (let port = first; free.length < count && port < first + 1000; port++) if ((await tryPort(port)) !== undefined) free.push(port);
  if (free.length < count) throw new Error(`no ${count} free ports between ${first} and ${first + 999}`);
  return free;
}

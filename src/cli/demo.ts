/** `fairlead demo`, and `npm start`: a balancer in front of three back ends of its own, to be tried, broken and watched. */
import { createInterface } from "node:readline";
import { AdminUnavailable, StartError } from "../supervisor/errors.ts";
import { type Balancer, startBalancer } from "./demo/balancer.ts";
import { tryPort } from "../net/free-port.ts";
import { type Backend, Backends, freePorts } from "./demo/backends.ts";
import { guide, type Input } from "./demo/guide.ts";
import { canReadInput } from "./demo/terminal.ts";
import { selfCommand } from "./self.ts";

export const DEFAULT_PORT = 8080;
const BACKENDS = 3;
const FIRST_BACKEND_PORT = 9001;
/** Where the dashboard is, if nobody else has it. */
const ADMIN_PORT = 9901;
/** How often other ports are tried when somebody takes them between the look and the start. */
const ATTEMPTS = 5;

export interface DemoOptions {
  /** Where the balancer listens, on 127.0.0.1 (default 8080). */
  readonly port?: number;
}

/** Runs until it is told to quit. Resolves with the exit code. */
export async function demo(options: DemoOptions = {}): Promise<number> {
  const port = options.port ?? DEFAULT_PORT;
  if ((await tryPort(port)) === undefined) {
    process.stderr.write(`fairlead: port ${port} is taken by another program; choose another one: npm start -- --port ${port + 1}\n`);
    return 1;
  }
  return new Demo(port).run();
}

class Demo {
  private readonly port: number;
  private backends: Backends;
  private balancer: Balancer | undefined = undefined;
  private adminPort = ADMIN_PORT;
  private quit: () => void = () => {};
  private readonly input: Input;

  constructor(port: number) {
    this.port = port;
    this.input = !canReadInput() ? "none" : process.stdin.isTTY === true ? "terminal" : "lines";
    this.backends = this.backendsAt([]);
  }

  async run(): Promise<number> {
    // Whoever read our output may have gone; that is no reason to fail.
    process.stdout.on("error", () => {});
    const told = new Promise<void>((resolve) => {
      this.quit = () => {
        // A signal to the whole group ends back ends too; that is no death to mend.
        this.backends.letGo();
        resolve();
      };
    });
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => this.quit());
    try {
      await this.startBackends();
      await this.startBalancer();
      this.show();
      if (this.input !== "none") this.listen();
      await told;
      return 0;
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      process.stderr.write(`fairlead: ${error.message}\n`);
      return 1;
    } finally {
      if (this.input !== "none") process.stdin.destroy();
      await this.balancer?.stop();
      await this.backends.stop();
    }
  }

  private backendsAt(ports: readonly number[]): Backends {
    return new Backends({ ports, command: selfCommand(), tell: (text) => this.tell(text) });
  }

  private async startBackends(): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const ports = await freePorts(attempt === 0 ? FIRST_BACKEND_PORT : elsewhere(FIRST_BACKEND_PORT + BACKENDS, attempt), BACKENDS);
      this.backends = this.backendsAt(ports);
      if (await this.backends.start()) return;
      await this.backends.stop();
    }
    throw new StartError("the demo's back ends do not start");
  }

  private async startBalancer(): Promise<void> {
    for (let attempt = 1; this.balancer === undefined; attempt++) {
      [this.adminPort] = await freePorts(attempt === 1 ? ADMIN_PORT : elsewhere(ADMIN_PORT, attempt), 1) as [number];
      try {
        this.balancer = await startBalancer(this.port, this.adminPort, this.backends.all.map(({ address }) => address));
      } catch (error) {
        if (!(error instanceof AdminUnavailable) || attempt === ATTEMPTS) throw error;
      }
    }
  }

  private show(): void {
    const colour = process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined;
    process.stdout.write(guide({ port: this.port, adminPort: this.adminPort, backends: this.backends.all, colour, input: this.input }));
  }

  private tell(text: string): void {
    process.stdout.write(`${text}\n`);
  }

  /** Commands come as lines, from a terminal as from a pipe. When there is no more input, the demo goes on without. */
  private listen(): void {
    const lines = createInterface({ input: process.stdin });
    lines.on("line", (line) => void this.obey(line.trim().toLowerCase()));
  }

  private async obey(command: string): Promise<void> {
    if (command === "") return;
    if (command === "q") return this.quit();
    if (command === "h") return this.show();
    if (command === "a") return this.toggleAll();
    const backend = this.backends.all.find(({ number }) => String(number) === command);
    if (backend === undefined) return this.tell(`"${command}" is no command; type h for help.`);
    return this.toggle(backend);
  }

  private async toggle(backend: Backend): Promise<void> {
    if (backend.pid === undefined) {
      await backend.start();
      this.tell(`Back end ${backend.number} runs again (pid ${backend.pid}). It gets requests when its next health check passes.`);
    } else {
      await backend.stop();
      this.tell(`Back end ${backend.number} is stopped. The others take its requests; type ${backend.number} to start it again.`);
    }
  }

  private async toggleAll(): Promise<void> {
    if (this.backends.all.some(({ pid }) => pid !== undefined)) {
      await this.backends.stop();
      this.tell(`All back ends are stopped: curl -i localhost:${this.port}/api/spells gives 503. Type a to start them again.`);
    } else {
      await this.backends.start();
      this.tell("All back ends run again.");
    }
  }
}

/** Two demos that met at the first ports look on at different places, or they would meet again. */
function elsewhere(port: number, attempt: number): number {
  return port + ((process.pid * 7 + attempt * 131) % 900);
}

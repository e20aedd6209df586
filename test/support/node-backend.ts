/** Starts node-backend.mjs and keeps what it says. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { until } from "./until.ts";

const PROGRAM = join(import.meta.dir, "node-backend.mjs");

export interface BackendEvent {
  readonly port?: number;
  readonly event?: "request" | "aborted" | "finished" | "cut" | "failed" | "ws-close" | "client-error";
  readonly target?: string;
  readonly method?: string;
  /** The port of Fairlead's end: tells connections apart. */
  readonly local?: number;
  readonly code?: number;
  readonly error?: string;
}

export class NodeBackend {
  readonly events: BackendEvent[] = [];
  private readonly child: ChildProcess;

  private constructor() {
    // The open pipe is its leash: it ends when this process does.
    this.child = spawn("node", [PROGRAM], { stdio: ["pipe", "pipe", "inherit"] });
    let rest = "";
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.events.push(JSON.parse(line) as BackendEvent);
    });
  }

  static async start(): Promise<NodeBackend> {
    const backend = new NodeBackend();
    await until("node-backend.mjs to listen", () => backend.events[0]?.port, 15_000);
    return backend;
  }

  get port(): number {
    return this.events[0]?.port as number;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  event(event: BackendEvent["event"], target: string, patience?: number): Promise<BackendEvent> {
    return until(`the back end to say "${event}" of ${target}`, () => this.events.find((line) => line.event === event && line.target === target), patience);
  }

  kill(): void {
    this.child.kill("SIGKILL");
  }
}

/** Starts node-h2.mjs, as a target that keeps what it says, or as a client for one task. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { run } from "./real-clients.ts";
import { until } from "./until.ts";

const PROGRAM = join(import.meta.dir, "node-h2.mjs");

export interface NodeH2Event {
  readonly port?: number;
  readonly event?: "request" | "closed" | "failed" | "ws-close";
  readonly method?: string;
  readonly path?: string;
  readonly protocol?: string;
  readonly subprotocol?: string;
  readonly key?: string;
  readonly version?: string;
  readonly extensions?: string;
  readonly code?: number;
  readonly error?: string;
}

export class NodeH2 {
  readonly events: NodeH2Event[] = [];
  private readonly child: ChildProcess;

  private constructor(settings: object) {
    // The open pipe is its leash: it ends when this process does.
    this.child = spawn("node", [PROGRAM, "server", JSON.stringify(settings)], { stdio: ["pipe", "pipe", "inherit"] });
    let rest = "";
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.events.push(JSON.parse(line) as NodeH2Event);
    });
  }

  /** @param settings of node:http2, as { enableConnectProtocol: false } */
  static async start(settings: object = {}): Promise<NodeH2> {
    const target = new NodeH2(settings);
    await until("node-h2.mjs to listen", () => target.events[0]?.port, 15_000);
    return target;
  }

  get address(): string {
    return `127.0.0.1:${this.events[0]!.port}`;
  }

  event(event: NodeH2Event["event"], test: (line: NodeH2Event) => boolean = () => true): Promise<NodeH2Event> {
    return until(`the target to say "${event}"`, () => this.events.find((line) => line.event === event && test(line)));
  }

  kill(): void {
    this.child.kill("SIGKILL");
  }
}

/** What a task of the client found out; each fills the fields that it knows. */
export interface NodeH2Result {
  readonly status?: number;
  readonly bytes?: number;
  readonly sha256?: string;
  readonly sent?: string;
  readonly trailers?: Readonly<Record<string, string>>;
  readonly same?: boolean;
  readonly messages?: number;
  readonly code?: number;
  readonly protocol?: string;
  readonly body?: number;
  readonly error?: string;
}

export async function nodeH2Client(port: number, task: "echo" | "get" | "ws", ...args: readonly (string | number)[]): Promise<NodeH2Result> {
  const { stdout, stderr } = await run("node", [PROGRAM, "client", String(port), task, ...args.map(String)]);
  if (stdout === "") throw new Error(`${task} said nothing: ${stderr}`);
  return JSON.parse(stdout) as NodeH2Result;
}

/** gRPC servers and a gRPC client of grpc-node.mjs, under a test's control. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { until, within } from "./until.ts";

const PROGRAM = join(import.meta.dir, "grpc-node.mjs");

/** https://grpc.io/docs/guides/status-codes */
export const Status = { OK: 0, CANCELLED: 1, UNKNOWN: 2, DEADLINE_EXCEEDED: 4, RESOURCE_EXHAUSTED: 8, UNIMPLEMENTED: 12, INTERNAL: 13, UNAVAILABLE: 14 } as const;

/** A process that speaks in lines of JSON. The open pipe is its leash: it ends when this process does. */
class Told<Line> {
  readonly said: Line[] = [];
  ended = false;
  private readonly child: ChildProcess;

  constructor(args: readonly string[], heard: (line: Line) => void = () => {}) {
    this.child = spawn("node", [PROGRAM, ...args], { stdio: ["pipe", "pipe", "inherit"] });
    this.child.on("exit", () => (this.ended = true));
    let rest = "";
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const value = JSON.parse(line) as Line;
        this.said.push(value);
        heard(value);
      }
    });
  }

  tell(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}

export interface ServerEvent {
  readonly port?: number;
  readonly event?: "call" | "cancelled" | "shut down";
  readonly kind?: "unary" | "upload" | "download" | "chat";
  readonly peer?: string;
  /** ms that are left until the call's deadline when it arrives; 0: it has none. */
  readonly deadline?: number;
}

export interface ServerOptions {
  readonly name?: string;
  /** Every unary call ends with this status until it is told to heal. */
  readonly fail?: number;
  readonly port?: number;
  /** False: it does not know the method Unary. */
  readonly unary?: boolean;
  /** Of grpc-js, as "grpc.keepalive_time_ms". */
  readonly server?: Readonly<Record<string, number>>;
}

export class GrpcServer {
  private readonly process: Told<ServerEvent>;

  private constructor(options: ServerOptions) {
    this.process = new Told(["server", JSON.stringify(options)]);
  }

  static async start(options: ServerOptions = {}): Promise<GrpcServer> {
    const server = new GrpcServer(options);
    await until("grpc-node.mjs to listen", () => server.events[0]?.port, 15_000);
    return server;
  }

  get events(): readonly ServerEvent[] {
    return this.process.said;
  }

  get address(): string {
    return `127.0.0.1:${this.events[0]!.port}`;
  }

  count(event: ServerEvent["event"], kind?: ServerEvent["kind"]): number {
    return this.events.filter((line) => line.event === event && (kind === undefined || line.kind === kind)).length;
  }

  /** "shutdown": in good order, with GOAWAY. */
  tell(what: "shutdown" | "die" | "heal"): void {
    this.process.tell(what);
  }

  signal(signal: NodeJS.Signals): void {
    this.process.signal(signal);
  }
}

/** What a call may ask for; see grpc-node.mjs. */
export interface Call {
  readonly port: number;
  /** Calls of one name share a channel, that is, a connection. */
  readonly channel?: string;
  readonly options?: Readonly<Record<string, number | string>>;
  readonly path?: string;
  readonly metadata?: Readonly<Record<string, string | number | readonly string[]>>;
  /** ms from now. */
  readonly deadline?: number;
  readonly text?: string;
  readonly size?: number;
  readonly count?: number;
  readonly cancelAfter?: number;
  readonly pause?: number;
}

/** How a call ended. */
export interface Outcome {
  readonly code: number;
  readonly details: string;
  readonly initial: Readonly<Record<string, string>>;
  readonly trailers: Readonly<Record<string, string>>;
  readonly milliseconds: number;
  readonly messages: number;
  readonly bytes: number;
  readonly text: string;
  readonly sha256: string;
  readonly sent?: string;
}

export interface Tally {
  readonly calls: number;
  readonly codes: Readonly<Record<string, number>>;
  readonly servers: Readonly<Record<string, number>>;
}

interface Heard {
  readonly messages: number;
  readonly last: string;
  readonly bytes: number;
  readonly over?: number;
}

interface Answer {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** A call that goes on. */
export interface Chat {
  /** @param wanted messages that must have come in all, or the call is over */
  tell(text: string, wanted: number): Promise<Heard>;
  end(): Promise<Outcome>;
  cancel(): Promise<Outcome>;
  /** How it ended of itself. */
  over(): Promise<Outcome>;
}

export class GrpcClient {
  private readonly process: Told<Answer>;
  private readonly waiting = new Map<number, (answer: Answer) => void>();
  private serial = 0;

  private constructor() {
    this.process = new Told(["client"], (answer) => {
      if (answer.id === undefined) return;
      this.waiting.get(answer.id)?.(answer);
      this.waiting.delete(answer.id);
    });
  }

  static async start(): Promise<GrpcClient> {
    const client = new GrpcClient();
    await until("grpc-node.mjs to be ready", () => client.process.said[0], 15_000);
    return client;
  }

  private async ask<T>(task: string, request: object): Promise<T> {
    const id = ++this.serial;
    const answer = new Promise<Answer>((resolve) => this.waiting.set(id, resolve));
    this.process.tell(JSON.stringify({ id, task, ...request }));
    const { result, error } = await within(`an answer to the task ${task}`, answer, 18_000);
    if (error !== undefined) throw new Error(error);
    return result as T;
  }

  unary(call: Call): Promise<Outcome> {
    return this.ask("unary", call);
  }

  /** `count` unary calls at a time. */
  many(call: Call & { readonly count: number }): Promise<Tally> {
    return this.ask("many", call);
  }

  upload(call: Call & { readonly count: number; readonly size: number }): Promise<Outcome> {
    return this.ask("upload", call);
  }

  download(call: Call): Promise<Outcome> {
    return this.ask("download", call);
  }

  /** Unary calls, `count` at a time, until it is stopped. */
  async load(call: Call & { readonly count: number }): Promise<{ calls(): Promise<number>; stop(): Promise<Tally> }> {
    const name = `load ${++this.serial}`;
    await this.ask("load", { ...call, name });
    return { calls: async () => (await this.ask<{ calls: number }>("progress", { name })).calls, stop: () => this.ask("loaded", { name }) };
  }

  async chat(call: Call): Promise<Chat> {
    const name = `chat ${++this.serial}`;
    await this.ask("open", { ...call, name });
    return {
      tell: (text, wanted) => this.ask("tell", { name, text, until: wanted }),
      end: () => this.ask("end", { name }),
      cancel: () => this.ask("cancel", { name }),
      over: () => this.ask("over", { name }),
    };
  }

  kill(): void {
    this.process.signal("SIGKILL");
  }
}

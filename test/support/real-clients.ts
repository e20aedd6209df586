/** Clients that people have: curl, and undici, node:http, node:http2 and ws as Node runs them. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { within } from "./until.ts";

const PROGRAM = join(import.meta.dir, "node-client.mjs");
const H2_PROGRAM = join(import.meta.dir, "node-h2-client.mjs");

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function run(command: string, args: readonly string[], patience = 30_000): Promise<Ran> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("latin1").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const done = new Promise<Ran>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  return within(`${command} to end`, done, patience).finally(() => child.kill("SIGKILL"));
}

/** What a client found out; each task fills the fields that it knows. */
export interface ClientResult {
  readonly status?: number;
  readonly statuses?: readonly number[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly trailers?: Readonly<Record<string, string>>;
  readonly informations?: readonly { readonly status: number; readonly headers: Readonly<Record<string, string>> }[];
  readonly body?: string;
  readonly bytes?: number;
  readonly sha256?: string;
  readonly sent?: string;
  readonly connections?: number;
  readonly complete?: boolean;
  readonly continued?: boolean;
  readonly same?: boolean;
  readonly messages?: number;
  readonly code?: number | string;
  readonly error?: string;
  readonly cause?: string;
  readonly [other: string]: unknown;
}

export async function nodeClient(task: string, url: string, ...args: readonly (string | number)[]): Promise<ClientResult> {
  const { stdout, stderr } = await run("node", [PROGRAM, task, url, ...args.map(String)]);
  if (stdout === "") throw new Error(`${task} said nothing: ${stderr}`);
  return JSON.parse(stdout) as ClientResult;
}

/** What an exchange of Node's HTTP/2 client came to; each task fills the fields that it knows. */
export interface H2Result {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly trailers: Readonly<Record<string, string>>;
  readonly informations: readonly { readonly status: number; readonly headers: Readonly<Record<string, string>> }[];
  readonly body: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly sent: string;
  /** END_STREAM came. */
  readonly ended: boolean;
  readonly continued: boolean;
  /** The code of the stream's RST_STREAM; 0: there was none, or NO_ERROR. */
  readonly rstCode: number;
  readonly error?: string;
  readonly [other: string]: unknown;
}

/** Node's HTTP/2 client does `task`; tasks are in node-h2-client.mjs. */
export async function nodeH2Client(task: string, url: string, ...args: readonly (string | number)[]): Promise<H2Result> {
  const { stdout, stderr } = await run("node", [H2_PROGRAM, task, url, ...args.map(String)]);
  const last = stdout.trimEnd().split("\n").at(-1);
  if (last === undefined || last === "") throw new Error(`${task} said nothing: ${stderr}`);
  return JSON.parse(last) as H2Result;
}

/** curl without a proxy of the environment or a configuration of the user. */
export function curl(...args: readonly string[]): Promise<Ran> {
  return run("curl", ["--disable", "--noproxy", "*", "--silent", "--show-error", "--max-time", "20", ...args]);
}

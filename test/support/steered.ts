/** A running instance whose admin address takes everything that it can, and calls of it. */
import { join } from "node:path";
import type { DiffReport } from "../../src/admin/config.ts";
import { Fairlead } from "./fairlead.ts";
import { freePort } from "./ports.ts";
import type { Balanced, Stage } from "./stage.ts";

const TOKEN = "token-of-the-test";

export interface Steered extends Balanced {
  readonly admin: number;
  /** The one that runs now. */
  fairlead: Fairlead;
  /** Its configuration. */
  readonly file: string;
}

/** What any of the calls answers: those members that it has. */
export interface Answered {
  readonly generation: number;
  readonly detail: string;
  readonly pid: number;
  readonly workers: readonly number[];
  readonly traffic: readonly { readonly requests: number }[];
  readonly overrides: readonly object[];
  readonly state_file: { readonly path: string; readonly problem: string | null } | null;
  readonly source: string;
  readonly file: { readonly changed: boolean; readonly since: string | null };
  readonly applied: { readonly generation: number; readonly by: string };
  readonly rejected: { readonly by: string; readonly errors: readonly object[] } | null;
  readonly errors: readonly object[];
  readonly diff: DiffReport;
  readonly words: readonly string[];
  readonly config: { readonly admin: object; readonly upstreams: readonly object[] };
  readonly events: readonly object[];
}

export interface Answer {
  readonly status: number;
  readonly body: Answered;
  readonly etag: string | null;
}

/** @param more lines of the upstream @param top lines of the top */
export function steeredText({ port, admin }: Pick<Steered, "port" | "admin">, targets: readonly string[], more = "", top = ""): string {
  const listed = targets.map((address) => `\n[[upstreams.targets]]\naddress = "${address}"\n`).join("");
  return `workers = 2\n${top}[admin]\naddress = "127.0.0.1:${admin}"\ntoken = "${TOKEN}"\nstate_file = "state.json"\n[[listeners]]\nname = "front"\naddress = "127.0.0.1:${port}"\nupstream = "main"\n[[upstreams]]\nname = "main"\n${more}${listed}`;
}

/** With the text that `steeredText` makes. */
export async function steered(stage: Stage, targets: readonly string[], more = "", files: Readonly<Record<string, string>> = {}): Promise<Steered> {
  const ports = { port: await freePort(), admin: await freePort() };
  const fairlead = await Fairlead.start(steeredText(ports, targets, more), { files });
  const at: Steered = { ...ports, fairlead, url: `http://127.0.0.1:${ports.port}`, file: join(fairlead.directory, "fairlead.toml") };
  // Whoever comes after it runs in the directory of the first.
  stage.atEnd(() => fairlead.kill());
  stage.atEnd(() => at.fairlead.kill());
  return at;
}

/** Another supervisor for the same configuration. */
export async function steeredAgain(at: Steered): Promise<void> {
  at.fairlead = await Fairlead.start("", { arguments: ["run", "--config", at.file, "--log-format", "json"] });
}

export async function api(at: Pick<Steered, "admin">, method: string, path: string, body?: object | string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${at.admin}/v1/${path}`, {
    method,
    headers: { Authorization: `Bearer ${TOKEN}`, ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const answer = await response.text();
  return { status: response.status, body: (answer === "" ? {} : JSON.parse(answer)) as Answered, etag: response.headers.get("etag") };
}

/** Who answers the next requests, each on a connection of its own. */
export async function who(at: Balanced, requests = 12): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < requests; i++) {
    const name = await (await fetch(at.url, { headers: { Connection: "close" } })).text();
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

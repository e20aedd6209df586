/** Arrangements whose targets have keys of their own, their reload, back ends that hold what they are asked, and traffic that says who answered. */
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fairlead, processesBelow } from "./fairlead.ts";
import type { Message } from "./messages.ts";
import { freePort } from "./ports.ts";
import { type BackendConnection, reply, type Script } from "./raw-backend.ts";
import type { RawClient } from "./raw-client.ts";
import type { Balanced, Stage } from "./stage.ts";
import { type TomlTable, toToml } from "./toml.ts";
import { until } from "./until.ts";

/** A target with keys of its own, as in the file. */
export type TargetTable = TomlTable & { readonly address: string };

export interface Arrangement {
  readonly targets: readonly TargetTable[];
  /** Keys of the listener, of the upstream and of the top level, as in the file; two workers, unless said otherwise. */
  readonly listener?: TomlTable;
  readonly upstream?: TomlTable;
  readonly top?: TomlTable;
}

/** A running Fairlead with an admin address. */
export interface Arranged extends Balanced {
  readonly admin: number;
  /** Name of the upstream. */
  readonly upstream: string;
}

function textOf({ port, admin, upstream: name }: Omit<Arranged, "fairlead" | "url">, { targets, listener, upstream, top }: Arrangement): string {
  return toToml({
    workers: 2,
    ...top,
    admin: { address: `127.0.0.1:${admin}` },
    listeners: [{ name: "front", address: `127.0.0.1:${port}`, upstream: name, ...listener }],
    upstreams: [{ name, ...upstream, targets: targets.map(({ address, ...keys }) => ({ address, ...keys })) }],
  });
}

export async function arrange(stage: Stage, arrangement: Arrangement): Promise<Arranged> {
  const ports = { port: await freePort(), admin: await freePort(), upstream: "main" };
  const fairlead = await Fairlead.start(textOf(ports, arrangement));
  stage.atEnd(() => fairlead.kill());
  return { ...ports, fairlead, url: `http://127.0.0.1:${ports.port}` };
}

/**
 * Arrangements in the same processes, each in the place of the one before: to start processes is most of what a short test costs. The upstream
 * has another name each time and the log begins anew, so nothing is known of what was before. Whoever ends processes, or needs two
 * arrangements side by side, uses `arrange`.
 */
export function rearranging(stage: Stage): (arrangement: Arrangement) => Promise<Arranged> {
  const known = new Map<string, Arranged>();
  let count = 0;
  return async (arrangement) => {
    // Where these differ a reload would start processes too.
    const kind = JSON.stringify([arrangement.top?.["workers"], arrangement.listener?.["protocol"]]);
    const before = known.get(kind);
    // A test that took too long takes them with it.
    if (before === undefined || before.fairlead.ended !== undefined) {
      const first = await arrange(stage, arrangement);
      known.set(kind, first);
      return first;
    }
    before.fairlead.lines.length = 0;
    const next = { ...before, upstream: `main-${++count}` };
    await rearrange(next, arrangement);
    return next;
  };
}

/** What the shared counters say of the upstream, as in `GET /v1/status`. */
export interface Counters {
  readonly open: { readonly requests: number; readonly retries: number; readonly queued: number };
  readonly requests: number;
  readonly hedges: { readonly sent: number; readonly won: number };
  readonly queue: { readonly waited: number; readonly full: number; readonly timeouts: number };
  readonly circuitBreaker: { readonly refused: number };
}

export async function counters({ admin }: Arranged): Promise<Counters> {
  const status = (await (await fetch(`http://127.0.0.1:${admin}/v1/status`)).json()) as { readonly traffic: readonly Counters[] };
  return status.traffic[0]!;
}

/** Until so many requests wait for a place, in both workers together. */
export async function queued(front: Arranged, count: number): Promise<void> {
  await until(`${count} in the queue`, async () => (await counters(front)).open.queued === count);
}

/** Another configuration takes over: SIGHUP, and until all of it has been applied. */
export async function rearrange(arranged: Arranged, arrangement: Arrangement): Promise<void> {
  const { fairlead } = arranged;
  const file = join(fairlead.directory, "fairlead.toml");
  await writeFile(`${file}.new`, textOf(arranged, arrangement));
  await rename(`${file}.new`, file);
  const from = fairlead.log.length;
  fairlead.signal("SIGHUP");
  await fairlead.line("the reload", ({ msg }) => msg === "Reload applied", from);
}

/** A request with these field lines and no body. */
export function get(path = "/", ...fields: readonly string[]): string {
  return `GET ${path} HTTP/1.1\r\nHost: h.test\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\n`;
}

/** Answers its name, at once. */
export function named(name: string): Script {
  return async (request, connection) => {
    if (await request.ended) connection.write(reply(200, name));
  };
}

/** Keeps what it is asked until it is let go; then answers its name. */
export class Holding {
  readonly held: BackendConnection[] = [];
  /** The most that it had at a time. */
  most = 0;
  private readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  readonly script: Script = async (request, connection) => {
    if (!(await request.ended)) return;
    this.held.push(connection);
    this.most = Math.max(this.most, this.held.length);
    connection.socket.once("close", () => this.forget(connection));
  };

  private forget(connection: BackendConnection): void {
    const at = this.held.indexOf(connection);
    if (at >= 0) this.held.splice(at, 1);
  }

  /** The oldest `count` are answered. */
  release(count = this.held.length): void {
    for (const connection of this.held.splice(0, count)) connection.write(reply(200, this.name));
  }
}

/** How many answers each name gave. */
export type Tally = Readonly<Record<string, number>>;

export function tally(names: readonly string[]): Tally {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

/** One request after another on one connection; the bodies of the answers, which are all 200. */
export async function askAll(stage: Stage, front: Balanced, requests: readonly string[]): Promise<string[]> {
  const client = await stage.client(front);
  const names: string[] = [];
  for (const request of requests) names.push(await good(client, request));
  client.destroy();
  return names;
}

async function good(client: RawClient, request: string): Promise<string> {
  const answer = await client.ask(request);
  if (answer.status !== 200) throw new Error(`${answer.head}${answer.text}`);
  return answer.text;
}

/** So many requests from each of so many clients at a time. */
export async function flood(stage: Stage, front: Balanced, clients: number, each: number, request = get()): Promise<string[]> {
  const all = await Promise.all(Array.from({ length: clients }, () => askAll(stage, front, Array.from({ length: each }, () => request))));
  return all.flat();
}

/** The next answer of each of these clients, in the order in which they are given. */
export function answers(clients: readonly RawClient[]): Promise<Message[]> {
  return Promise.all(clients.map((client) => client.finalReply()));
}

/** Clients of which each of two workers has `each` (Linux: looks into /proc). Ordered so that the workers alternate. */
export async function clientsOnBoth(stage: Stage, front: Arranged, each: number): Promise<RawClient[]> {
  const { workers } = (await (await fetch(`http://127.0.0.1:${front.admin}/v1/status`)).json()) as { readonly workers: readonly number[] };
  const [one, other] = workers;
  if (one === undefined || other === undefined || workers.length !== 2) throw new Error(`not two workers: ${workers.join(", ")}`);
  const ofOne = await clientsWhileStopped(stage, front, each, other);
  const ofOther = await clientsWhileStopped(stage, front, each, one);
  return ofOne.flatMap((client, index) => [client, ofOther[index]!]);
}

/** One of the workers does nothing while these connect, so the other one gets them all. */
async function clientsWhileStopped(stage: Stage, front: Balanced, count: number, stopped: number): Promise<RawClient[]> {
  process.kill(stopped, "SIGSTOP");
  try {
    await until("the worker to have stopped", () => isStopped(stopped));
    const clients = await Promise.all(Array.from({ length: count }, () => stage.client(front)));
    const owners = await until("the clients to be accepted", () => ownersOf(front, clients));
    if (owners.includes(stopped)) throw new Error("a stopped worker has a client");
    return clients;
  } finally {
    process.kill(stopped, "SIGCONT");
  }
}

function isStopped(pid: number): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return stat.slice(stat.lastIndexOf(")") + 2).startsWith("T");
}

/** The process that holds each client's connection; undefined while one is not accepted yet. */
export function ownersOf(front: Balanced, clients: readonly RawClient[]): number[] | undefined {
  const inodes = new Map<number, string>();
  for (const line of readFileSync("/proc/net/tcp", "latin1").split("\n").slice(1)) {
    const [, local, remote, , , , , , , inode] = line.trim().split(/\s+/);
    if (local !== undefined && remote !== undefined && inode !== undefined && inode !== "0" && portOf(local) === front.port) inodes.set(portOf(remote), inode);
  }
  const holders = new Map<string, number>();
  for (const pid of processesBelow(front.fairlead.pid)) {
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) holders.set(readlinkOrNothing(`/proc/${pid}/fd/${fd}`), pid);
    } catch {
      // It ended meanwhile.
    }
  }
  const owners = clients.map(({ socket }) => holders.get(`socket:[${inodes.get(socket.localPort ?? 0) ?? ""}]`));
  return owners.includes(undefined) ? undefined : (owners as number[]);
}

function readlinkOrNothing(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function portOf(hex: string): number {
  return Number.parseInt(hex.slice(hex.indexOf(":") + 1), 16);
}

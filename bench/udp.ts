/**
 * `npm run bench:udp`: a udp listener of Fairlead beside nginx's stream proxy in one run; each alone on core 0, clients and back ends on core 1.
 * `--rounds N` (5) and `--seconds S` (3). Started again by itself as the back end and as the clients.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createSocket } from "node:dgram";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { childrenOf, cpuMicroseconds, memoryOf, startPinned, stopAll, waitUntil } from "./processes.ts";
import { median, table, type Row } from "./report.ts";

const BINARY = join(import.meta.dir, "../bin/fairlead");
const STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so";
const PAYLOAD = Buffer.alloc(64, "x");
/** Without an answer for so long a datagram is lost, in ms. */
const LOST = 500;

const CASES = [
  { name: "kept", title: "UDP, 64 bytes each way, 64 clients that stay", clients: 64 },
  { name: "fresh", title: "UDP, 64 bytes each way, 32 at a time, a new client each question (DNS)", clients: 32 },
] as const;

interface Result {
  readonly pairs: number;
  readonly seconds: number;
  readonly lost: number;
  readonly p50: number;
  readonly p99: number;
}

/** Answers every datagram with itself. */
async function backend(port: number): Promise<void> {
  await Bun.udpSocket({ hostname: "127.0.0.1", port, socket: { data: (socket, bytes, from, address) => void socket.send(bytes, from, address), error: () => {} } });
}

/** Clients that each ask, wait for the answer, and ask again. */
class Client {
  private readonly run: (milliseconds: number) => void;
  private readonly port: number;
  private readonly fresh: boolean;
  private socket: Bun.udp.ConnectedSocket<"buffer"> | undefined;
  sentAt = 0;

  constructor(port: number, fresh: boolean, done: (milliseconds: number) => void) {
    this.port = port;
    this.fresh = fresh;
    this.run = done;
  }

  async ask(): Promise<void> {
    if (this.fresh || this.socket === undefined) {
      this.socket?.close();
      this.socket = await Bun.udpSocket({ connect: { hostname: "127.0.0.1", port: this.port }, socket: { data: (from) => this.heard(from), error: () => {} } });
    }
    this.sentAt = performance.now();
    this.socket.send(PAYLOAD);
  }

  private heard(from: object): void {
    if (from !== this.socket) return;
    this.run(performance.now() - this.sentAt);
    void this.ask();
  }
}

async function clients(port: number, count: number, seconds: number, fresh: boolean): Promise<Result> {
  const times: number[] = [];
  let lost = 0;
  const all = Array.from({ length: count }, () => new Client(port, fresh, (milliseconds) => times.push(milliseconds)));
  const began = performance.now();
  for (const each of all) await each.ask();
  while (performance.now() - began < seconds * 1000) {
    await Bun.sleep(100);
    for (const each of all) {
      if (performance.now() - each.sentAt < LOST) continue;
      lost++;
      await each.ask();
    }
  }
  const elapsed = (performance.now() - began) / 1000;
  times.sort((a, b) => a - b);
  return { pairs: times.length, seconds: elapsed, lost, p50: times[times.length >> 1] ?? 0, p99: times[Math.floor(times.length * 0.99)] ?? 0 };
}

function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  return new Promise((resolve) => socket.bind(0, "127.0.0.1", () => {
    const { port } = socket.address();
    socket.close(() => resolve(port));
  }));
}

async function answers(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = await Bun.udpSocket({ connect: { hostname: "127.0.0.1", port }, socket: { data: () => resolve(true), error: () => resolve(false) } });
  socket.send(PAYLOAD);
  const answered = await Promise.race([promise, Bun.sleep(200).then(() => false)]);
  socket.close();
  return answered;
}

interface Runner {
  readonly peer: string;
  readonly pid: number;
  readonly ports: Readonly<Record<"kept" | "fresh", number>>;
}

async function startFairlead(directory: string, backends: readonly number[]): Promise<Runner> {
  const ports = { kept: await freePort(), fresh: await freePort() };
  const listener = (name: string, port: number, more = ""): string => `[[listeners]]\nname = "${name}"\naddress = "127.0.0.1:${port}"\nprotocol = "udp"\nupstream = "backends"\n${more}`;
  const targets = backends.map((port) => `{ address = "127.0.0.1:${port}" }`).join(", ");
  const file = join(directory, "fairlead.toml");
  writeFileSync(file, `workers = 1\n${listener("kept", ports.kept)}${listener("fresh", ports.fresh, "udp_responses = 1\n")}[[upstreams]]\nname = "backends"\ntargets = [${targets}]\n`);
  const child = startPinned(0, [BINARY, "run", "--config", file, "--runtime-dir", join(directory, "run")], directory);
  await waitUntil("Fairlead", () => answers(ports.fresh));
  return { peer: "Fairlead", pid: childrenOf(child.pid!)[0]!, ports };
}

async function startNginx(directory: string, backends: readonly number[]): Promise<Runner> {
  const ports = { kept: await freePort(), fresh: await freePort() };
  const file = join(directory, "nginx.conf");
  const server = (port: number, more = ""): string => `server { listen 127.0.0.1:${port} udp; proxy_pass backends; proxy_timeout 60s; ${more} }`;
  writeFileSync(
    file,
    `load_module ${STREAM}; user root; daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid ${directory}/nginx.pid; error_log ${directory}/nginx.err;
events { worker_connections 20000; }
stream { upstream backends { ${backends.map((port) => `server 127.0.0.1:${port};`).join(" ")} } ${server(ports.kept)} ${server(ports.fresh, "proxy_responses 1;")} }
`,
  );
  const child = startPinned(0, ["nginx", "-c", file], directory);
  await waitUntil("nginx", () => answers(ports.fresh));
  return { peer: "nginx", pid: childrenOf(child.pid!)[0]!, ports };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" }, seconds: { type: "string", default: "3" } } });
  const directory = mkdtempSync(join(tmpdir(), "fairlead-bench-"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void stopAll().then(() => process.exit(1)));
  try {
    const backends = [await freePort(), await freePort()];
    for (const port of backends) startPinned(1, [process.execPath, import.meta.path, "backend", String(port)], directory);
    await waitUntil("the back ends", async () => (await answers(backends[0]!)) && answers(backends[1]!));
    const runners = [await startFairlead(directory, backends), await startNginx(directory, backends)];
    const rows: Row[] = [];
    for (const { name, title, clients: count } of CASES) {
      const runs = runners.map(() => [] as (Result & { readonly cpu: number })[]);
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const [index, { pid, ports }] of runners.entries()) {
          const before = cpuMicroseconds(pid);
          const child = Bun.spawn(["taskset", "-c", "1", process.execPath, import.meta.path, "clients", String(ports[name]), String(count), values.seconds, name], { stdout: "pipe" });
          const result = JSON.parse(await new Response(child.stdout).text()) as Result;
          runs[index]!.push({ ...result, cpu: (cpuMicroseconds(pid) - before) / Math.max(1, result.pairs) });
        }
      }
      for (const [index, results] of runs.entries()) {
        const of = (pick: (result: Result & { readonly cpu: number }) => number): number => median(results.map(pick));
        const { peer, pid } = runners[index]!;
        rows.push({ title, peer, perSecond: of((r) => r.pairs / r.seconds), p50: of((r) => r.p50), p99: of((r) => r.p99), cpu: of((r) => r.cpu), peak: memoryOf(pid).peak / 2 ** 20, errors: results.reduce((sum, { lost }) => sum + lost, 0) });
      }
    }
    console.log(table(rows, []));
  } finally {
    await stopAll();
    rmSync(directory, { recursive: true, force: true });
  }
}

const [role, port, count, seconds, mode] = process.argv.slice(2);
if (role === "backend") await backend(Number(port));
else if (role === "clients") {
  console.log(JSON.stringify(await clients(Number(port), Number(count), Number(seconds), mode === "fresh")));
  process.exit();
} else await main();

/** `npm run bench`: Fairlead, nginx and HAProxy side by side in one run. `--help` says how. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startBackends } from "./backends.ts";
import { type Case, HELD, IDLE_CLIENTS, cases } from "./cases.ts";
import { h2load } from "./h2load.ts";
import { heldMemory } from "./held.ts";
import { fullHandshakes } from "./handshakes.ts";
import { idleMemory } from "./idle.ts";
import { fairlead } from "./peers/fairlead.ts";
import { haproxy } from "./peers/haproxy.ts";
import { nginx } from "./peers/nginx.ts";
import { makeSelfSigned } from "../src/config/self-signed.ts";
import { CERTIFICATE, firstLine, type Peer, type Ports } from "./peers/peer.ts";
import { cpuMicroseconds, memoryOf, stopAll } from "./processes.ts";
import { median, table, writeResults, type IdleRow, type Row } from "./report.ts";
import { load, type Load } from "./wrk.ts";

const HELP = `npm run bench -- [options]
  --cases a,b     of ${cases.map(({ name }) => name).join(", ")}, idle, held (default: all)
  --peers a,b     of nginx, haproxy, none (default: nginx,haproxy)
  --rounds N      rounds of each case, interleaved (default 5)
  --seconds S     of each load (default 3)
  --json FILE     write the rows as JSON
  --write         write bench/RESULTS.md
`;

const { values: options } = parseArgs({
  options: { cases: { type: "string" }, peers: { type: "string" }, rounds: { type: "string", default: "5" }, seconds: { type: "string", default: "3" }, json: { type: "string" }, write: { type: "boolean" }, help: { type: "boolean" } },
});

interface Runner {
  readonly peer: Peer;
  readonly pid: number;
  readonly ports: Ports;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

function contestants(): Peer[] {
  const wanted = (options.peers ?? "nginx,haproxy").split(",");
  const present = [fairlead, nginx, haproxy].filter((peer) => peer === fairlead || wanted.includes(peer.name.toLowerCase()));
  return present.filter((peer) => {
    if (peer.version() !== undefined) return true;
    console.log(`${peer.name} is not on this machine and is left out (${peer.install})`);
    return false;
  });
}

function requireTools(): void {
  const missing = [
    ["wrk", "apt-get install wrk"],
    ["nginx", "apt-get install nginx-light (the back ends)"],
    ["h2load", "apt-get install nghttp2-client"],
    ["taskset", "apt-get install util-linux"],
  ].filter(([tool]) => firstLine(["which", tool!]) === undefined || firstLine(["which", tool!]) === "");
  for (const [tool, install] of missing) console.error(`${tool} is missing: ${install}`);
  if (missing.length > 0) process.exit(1);
}

function generate(what: Case, port: number, seconds: number, directory: string): Promise<Load> {
  if (what.generator === "openssl") return fullHandshakes(what, port, seconds);
  return what.generator === "h2load" ? h2load(what, port, seconds) : load(what, port, seconds, directory);
}

async function measureCases(runners: readonly Runner[], directory: string): Promise<Row[]> {
  const [rounds, seconds] = [Number(options.rounds), Number(options.seconds)];
  const wanted = options.cases?.split(",");
  const rows: Row[] = [];
  for (const what of cases.filter(({ name }) => wanted?.includes(name) ?? true)) {
    const runs = new Map<Runner, { load: Load; cpu: number }[]>();
    for (let round = 0; round < rounds; round++) {
      for (const runner of runners.filter(({ peer }) => peer.lacks?.includes(what.listener) !== true)) {
        const before = cpuMicroseconds(runner.pid);
        const result = await generate(what, runner.ports[what.listener], seconds, directory);
        const cpu = (cpuMicroseconds(runner.pid) - before) / Math.max(1, result.requests);
        runs.set(runner, [...(runs.get(runner) ?? []), { load: result, cpu }]);
      }
    }
    for (const [{ peer, pid }, results] of runs) {
      const of = (pick: (result: { load: Load; cpu: number }) => number): number => median(results.map(pick));
      const errors = results.reduce((sum, { load: { errors: each } }) => sum + each, 0);
      rows.push({ title: what.title, peer: peer.name, perSecond: of((r) => r.load.perSecond), p50: of((r) => r.load.p50), p99: of((r) => r.load.p99), cpu: of((r) => r.cpu), peak: memoryOf(pid).peak / 2 ** 20, errors });
    }
    console.log(`${table(rows.filter(({ title }) => title === what.title), [])}\n`);
  }
  return rows;
}

async function main(): Promise<void> {
  if (options.help === true) {
    console.log(HELP);
    return;
  }
  requireTools();
  const directory = mkdtempSync(join(tmpdir(), "fairlead-bench-"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void stopAll().then(() => process.exit(1)));
  try {
    const { certificate, key } = makeSelfSigned(["localhost", "127.0.0.1"], Date.now());
    for (const [name, text] of Object.entries({ [CERTIFICATE.certificate]: certificate, [CERTIFICATE.key]: key, [CERTIFICATE.both]: certificate + key })) writeFileSync(join(directory, name), text);
    const backends = await startBackends(directory, [await freePort(), await freePort()], [await freePort(), await freePort()], await freePort());
    const start = async (peer: Peer): Promise<Runner> => {
      const ports = { http: await freePort(), https: await freePort(), tcp: await freePort(), h2c: await freePort(), held: await freePort() };
      return { peer, ports, pid: await peer.start(directory, ports, backends) };
    };
    const runners: Runner[] = [];
    for (const peer of contestants()) runners.push(await start(peer));
    const idle: IdleRow[] = [];
    if (options.cases === undefined || options.cases.includes("idle")) {
      for (const { peer, pid, ports } of runners) idle.push({ peer: peer.name, bytes: await idleMemory(pid, ports.http, IDLE_CLIENTS) });
      console.log(`${table([], idle)}\n`);
    }
    const held: IdleRow[] = [];
    if (options.cases === undefined || options.cases.includes("held")) {
      for (const { peer, pid, ports } of runners.filter((runner) => runner.peer.lacks?.includes("held") !== true)) held.push({ peer: peer.name, bytes: await heldMemory(pid, ports.held, HELD.connections, HELD.streams) });
      console.log(`${table([], [], held)}\n`);
    }
    const rows = await measureCases(runners, directory);
    const text = table(rows, idle, held);
    const command = `npm run bench -- ${process.argv.slice(2).join(" ")}`.trim();
    if (options.json !== undefined) writeFileSync(options.json, JSON.stringify({ rows, idle, held }, null, 2));
    if (options.write === true) writeResults(text, command, [...runners.map(({ peer }) => peer.version()!), firstLine(["wrk", "-v"]) ?? "wrk"]);
  } finally {
    await stopAll();
    rmSync(directory, { recursive: true, force: true });
  }
}

await main();

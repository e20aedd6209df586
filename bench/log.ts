/**
 * `npm run bench:log`: what the access log costs. First a line by itself, in ns; then (`--traffic`) a worker's CPU time a request, without a log and with
 * one in each format, in turns. That needs two quiet cores, nginx (back ends) and wrk.
 */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { AccessLog } from "../src/observability/access-log.ts";
import { type AccessFormat, FORMATS } from "../src/observability/access/format.ts";
import { HeadText, type Passing } from "../src/observability/head-text.ts";
import { silentLog } from "../src/observability/log.ts";
import { startBackends } from "./backends.ts";
import { accepts, childrenOf, startPinned, stopAll, waitUntil } from "./processes.ts";
import { load } from "./wrk.ts";

const { values: options } = parseArgs({ options: { traffic: { type: "boolean" }, rounds: { type: "string", default: "7" }, seconds: { type: "string", default: "4" }, help: { type: "boolean" } } });
if (options.help === true) {
  console.log("npm run bench:log -- [--traffic] [--rounds 7] [--seconds 4]");
  process.exit(0);
}

const LINES = 300_000;
const directory = mkdtempSync(join(tmpdir(), "fairlead-bench-log-"));

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

const AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)";

/** As a request that has come by HTTP leaves it: what its client said stands in the bytes of its head. */
function account(number: number): Passing {
  const target = `127.0.0.1:900${number % 3}`;
  const [method, host, path] = ["GET", "localhost:8080", `/v1/items/${number % 997}?page=${number % 7}`];
  const text = new HeadText();
  let at = 0;
  for (const each of [method, host, path, "", AGENT, ""]) text.add(at, (at += each.length));
  text.buffer = Buffer.from([method, host, path, AGENT].join(""));
  return {
    text,
    protocol: "HTTP/1.1",
    at: 1_780_000_000_000 + number / 10,
    listener: "http",
    route: "",
    upstream: "backends",
    target,
    client: "127.0.0.1:45678",
    method,
    host,
    path,
    fields: [AGENT, ""],
    requestId: "",
    status: 200,
    cause: "done",
    detail: "",
    milliseconds: 1.2345 + (number % 50) / 9,
    queued: 0,
    connect: 0,
    firstByte: 1.1 + (number % 50) / 9,
    bytesIn: 0,
    bytesOut: 1000 + (number % 5000),
    attempts: 1,
    tries: [],
    candidates: [],
    candidateCount: 3,
  };
}

/** CPU time of a line, in ns, from an account to the file. */
function lineCost(format: AccessFormat, path: string): number {
  const config = { format, path, sample: 1, sampleErrors: true, buffer: 64 * 1024, flush: 100, rotateSize: 0, keep: 1 };
  const accounts = Array.from({ length: 1024 }, (_, number) => account(number));
  const rounds = Array.from({ length: 7 }, () => {
    const log = new AccessLog(config, new Set(), { json: true, random: () => 0, log: silentLog(), lost: () => {} });
    const before = process.cpuUsage();
    for (let number = 0; number < LINES; number++) log.tell(accounts[number & 1023]!);
    log.end();
    const { user, system } = process.cpuUsage(before);
    if (path !== "/dev/null") rmSync(path);
    return ((user + system) * 1000) / LINES;
  });
  return median(rounds.slice(1));
}

for (const [name, format] of Object.entries(FORMATS)) {
  console.log(`${name.padEnd(9)} ${Math.round(lineCost(format, "/dev/null"))} ns a line, ${Math.round(lineCost(format, join(directory, "lines")))} ns with a file`);
}

const MODES = ["none", "json", "combined"] as const;

interface Compared {
  readonly cost: number;
  readonly none: number;
}

function told({ cost, none }: Compared, mode: string): string {
  return `${cost.toFixed(2)} µs a request${mode === "none" ? "" : ` (+${(cost - none).toFixed(2)}, ${((cost / none - 1) * 100).toFixed(1)} %)`}`;
}

interface Cpu {
  readonly user: number;
  readonly system: number;
}

/** Time on a processor so far, of threads that have ended too, in µs; a hundredth of a second exact, and how it is divided is the kernel's estimate. */
function cpuOf(pid: number): Cpu {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { user: Number(fields[11]) * 10_000, system: Number(fields[12]) * 10_000 };
}

async function traffic(): Promise<void> {
  const first = 21_000 + (process.pid % 1_000) * 8;
  const [backend, silent] = [first, first + 1];
  await startBackends(directory, [backend], [], silent);
  // An instance for each: a format that is compiled anew each round would be measured cold.
  const instances = [];
  for (const [index, mode] of MODES.entries()) {
    const home = join(directory, mode);
    mkdirSync(home);
    const port = first + 2 + index;
    const file = join(home, "fairlead.toml");
    writeFileSync(file, `workers = 1\n[[listeners]]\naddress = "127.0.0.1:${port}"\nupstream = "main"\n[[upstreams]]\nname = "main"\ntargets = [{ address = "127.0.0.1:${backend}" }]\n${mode === "none" ? "" : `[access_log]\nformat = "${mode}"\npath = "access.log"\n`}`);
    const child = startPinned(0, [join(import.meta.dir, "../bin/fairlead"), "run", "--config", file, "--runtime-dir", join(home, "run")], home);
    await waitUntil("Fairlead", async () => (await accepts(port)) && childrenOf(child.pid!).length > 0);
    instances.push({ mode, port, child, worker: childrenOf(child.pid!)[0]!, access: join(home, "access.log") });
  }
  const what = { name: "log", title: "", listener: "http", path: "/", connections: 64, lua: 'wrk.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"\n' } as const;
  const costs: Record<(typeof MODES)[number], number[]> = { none: [], json: [], combined: [] };
  const parts: Record<(typeof MODES)[number], Cpu[]> = { none: [], json: [], combined: [] };
  for (const { port } of instances) await load(what, port, 3, directory);
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const { mode, port, child, worker, access } of instances) {
      const before = cpuOf(worker);
      const { requests, errors } = await load(what, port, Number(options.seconds), directory);
      // A machine that others use too lets some of wrk's time out.
      if (errors > requests / 100) throw new Error(`${errors} of ${requests} requests failed`);
      const after = cpuOf(worker);
      const part = { user: (after.user - before.user) / requests, system: (after.system - before.system) / requests };
      parts[mode].push(part);
      costs[mode].push(part.user + part.system);
      if (mode === "none") continue;
      // The same pages again: what a file that grows for ever costs is the machine's.
      if (statSync(access).size === 0) throw new Error("nothing was logged");
      renameSync(access, `${access}.old`);
      child.kill("SIGUSR1");
      await Bun.sleep(100);
      rmSync(`${access}.old`);
    }
  }
  for (const mode of MODES) {
    // Others on the machine only ever add: the least is what it costs when they are quiet.
    const [middle, least] = [median, (values: readonly number[]) => Math.min(...values)].map((of) => ({ cost: of(costs[mode]), none: of(costs.none) })) as [Compared, Compared];
    const [user, system] = [median(parts[mode].map((part) => part.user)), median(parts[mode].map((part) => part.system))];
    console.log(`${mode.padEnd(9)} median ${told(middle, mode)}, user ${user.toFixed(2)}, system ${system.toFixed(2)}; least ${told(least, mode)}`);
  }
}

try {
  if (options.traffic === true) await traffic();
} finally {
  await stopAll();
  rmSync(directory, { recursive: true, force: true });
}

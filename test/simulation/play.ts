/** One seed, from the plan to the verdict. */
import type { Account } from "../../src/observability/account.ts";
import { EchoClient, echoBackend } from "./echo.ts";
import { happen, type Stage, type Station } from "./faults.ts";
import { H2Client } from "./h2-client.ts";
import { HttpBackend } from "./http-backend.ts";
import { HttpClient } from "./http-client.ts";
import { Instance } from "./instance.ts";
import { Internet } from "./internet.ts";
import { v1, withChecksum } from "../support/proxy-header.ts";
import { CLIENT_ADDRESSES, boundsOf, judgeBuffers, judgeRest, SPOKEN_FOR, WINDOW } from "./invariants.ts";
import { Ledger } from "./ledger.ts";
import { ECHO_PORT, ECHO_TARGET_PORT, type Fault, type Plan, planOf, TARGET_PORT, WEB_PORT } from "./plan.ts";
import { Process } from "./process.ts";
import { tunnelClient } from "./tunnel-client.ts";
import { Violation, World } from "./world.ts";

/** By then every client has its answers or knows that there will be none, in virtual ms. */
const PATIENCE = 120_000;
/** What is pooled, lingers or hangs goes within this. */
const REST = 70_000;

export interface Failure {
  readonly invariant: string;
  readonly detail: string;
}

export interface Result {
  readonly seed: number;
  readonly calm: boolean;
  readonly failure: Failure | undefined;
  /** Of all that happened, in order. */
  readonly hash: number;
  readonly events: number;
  readonly requests: number;
  /** That got a back end's whole reply. */
  readonly answered: number;
  /** Virtual ms. */
  readonly time: number;
  readonly faults: readonly Fault[];
  /** All of it if it was asked for. */
  readonly trace: readonly string[];
}

export interface RunOptions {
  readonly trace?: boolean;
  /** Which of the plan's faults happen, by their number; absent: all. */
  readonly faults?: ReadonlySet<number>;
}

interface Client {
  readonly done: boolean;
}

function stationsOf(world: World, internet: Internet, ledger: Ledger, plan: Plan): Station[] {
  const station = (name: string, port: number, open: (process: Process) => void): Station => {
    const made: Station = {
      port,
      process: new Process(world, internet, name, "127.0.0.1"),
      start: () => {
        made.process = new Process(world, internet, name, "127.0.0.1");
        open(made.process);
      },
    };
    open(made.process);
    return made;
  };
  return [
    ...Array.from({ length: plan.targets }, (_, i) => station(`target${i}`, TARGET_PORT + i, (process) => void new HttpBackend(world, process, ledger, TARGET_PORT + i, plan.manners, plan.h2Manners))),
    ...Array.from({ length: plan.echoTargets }, (_, i) => station(`echo${i}`, ECHO_TARGET_PORT + i, (process) => echoBackend(world, process, ledger, ECHO_TARGET_PORT + i, plan.echoManners, world.diceOf(6, i)))),
  ];
}

function clientsOf(world: World, internet: Internet, ledger: Ledger, plan: Plan): Client[] {
  const person = (i: number): Process => {
    const at = i % CLIENT_ADDRESSES.length;
    const source = SPOKEN_FOR[at]!;
    const header = i % 2 === 0 ? Buffer.from(v1(source, "192.0.2.1", 5_000, 443), "latin1") : withChecksum({ source });
    return new Process(world, internet, `client${i}`, CLIENT_ADDRESSES[at]!, plan.proxied ? { address: source, header } : undefined);
  };
  const web = plan.clients.map((client, i): Client => {
    const modern = plan.h2Clients[i];
    const dice = world.diceOf(5, i);
    return modern === undefined ? new HttpClient(world, person(i), ledger, WEB_PORT, client, dice) : new H2Client(world, person(i), ledger, WEB_PORT, modern, dice);
  });
  const raw = plan.echoes.map((echo, i) => new EchoClient(world, person(web.length + i), ledger, ECHO_PORT, echo, world.diceOf(7, i)));
  const tunnels = plan.tunnels.map((tunnel, i) => tunnelClient({ world, process: person(web.length + raw.length + i), ledger, port: WEB_PORT, dice: world.diceOf(12, i) }, tunnel));
  return [...web, ...raw, ...tunnels];
}

const HEAD = /^(?:GET|HEAD|POST|PUT|DELETE|PATCH) \/r\/(\d+) HTTP\/1\.1\r\n/;
const LONGEST_LINE = 48;

/** Look at what workers send to targets: whether it ever arrives does not matter. */
function watch(internet: Internet, ledger: Ledger): void {
  internet.onConnection = (socket, port) => {
    if (port < TARGET_PORT || port >= ECHO_TARGET_PORT || !socket.holder.name.startsWith("worker")) return;
    socket.onWrite = (bytes, offset, length) => {
      const id = HEAD.exec(Buffer.from(bytes.buffer, bytes.byteOffset + offset, Math.min(length, LONGEST_LINE)).latin1Slice())?.[1];
      if (id !== undefined) ledger.writes(Number(id));
    };
  };
}

function play(world: World, plan: Plan, ledger: Ledger, faults: RunOptions["faults"]): void {
  const internet = new Internet(world, (port) => (port < TARGET_PORT ? plan.slowWire : plan.wire));
  watch(internet, ledger);
  const stations = stationsOf(world, internet, ledger, plan);
  const tell = (account: Account): void => ledger.tells(account);
  const instance = new Instance(world, internet, { workers: plan.workers, openFiles: plan.openFiles, configs: plan.configs, tell });
  const { supervisor } = instance;
  const clients = clientsOf(world, internet, ledger, plan);
  const stage: Stage = { world, internet, instance, stations };
  // Faults come from nowhere: whoever hangs does not hold them up.
  for (const [index, fault] of plan.faults.entries()) if (faults?.has(index) !== false) world.after(fault.at, world, () => happen(stage, fault));
  const bounds = boundsOf([plan.wire, plan.slowWire], plan.retryBuffer, plan.hasHttp2 ? WINDOW : 0);
  const check = (): void => judgeBuffers(instance, bounds);

  if (!world.run(PATIENCE, () => (check(), clients.every(({ done }) => done)))) throw new Violation("every exchange ends", `clients ${clients.flatMap(({ done }, i) => (done ? [] : [i])).join(", ")} wait still`);
  const until = world.now + REST;
  // Faults may outlast all clients; and whoever was killed comes back.
  world.run(world.now + 1_500, () => false);
  world.within(supervisor, () => instance.monitor.stop());
  world.run(until, () => instance.workers.every(({ process }) => process.openSockets === 0));
  judgeRest(instance);
  ledger.judge(plan.calm, instance.deaths);
  for (const { plane, process } of instance.workers) world.within(process, () => plane.stop());
}

export function runSeed(seed: number, options: RunOptions = {}): Result {
  const world = new World(seed, options.trace === true);
  const plan = planOf(world);
  const ledger = new Ledger(plan.sendings);
  let failure: Failure | undefined;
  const complain = console.error;
  // The product reports what a handler throws there, and goes on.
  console.error = (error: unknown): void => void (failure ??= { invariant: "no handler throws", detail: error instanceof Error ? String(error.stack) : String(error) });
  try {
    play(world, plan, ledger, options.faults);
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    failure ??= { invariant: error.invariant, detail: error.message };
  } finally {
    console.error = complain;
  }
  return { seed, calm: plan.calm, failure, hash: world.hash >>> 0, events: world.events, requests: ledger.requests, answered: ledger.count("whole", true), time: world.now, faults: plan.faults, trace: world.trace };
}

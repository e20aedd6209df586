/**
 * A udp listener over the lives of its workers: two of them, one killed, all replaced, the supervisor killed, a new binary. One instance
 * goes through all of it, in the order of the tests.
 */
import { beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readlinkSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fairlead } from "../../support/fairlead.ts";
import { freePort } from "../../support/ports.ts";
import { openStage } from "../../support/stage.ts";
import { UdpClient, UdpServer } from "../../support/udp.ts";
import { sleep, until } from "../../support/until.ts";

const CLIENTS = 24;
const stage = openStage();
let targets: UdpServer[];
let clients: UdpClient[];
let fairlead: Fairlead;
let port: number;
let admin: number;

interface Status {
  readonly workers: readonly number[];
  readonly traffic: readonly { readonly open: { readonly requests: number } }[];
}

function configText(workers: number, more = "", idle = "60s"): string {
  return `
workers = ${workers}
[log]
access = true
[admin]
address = "127.0.0.1:${admin}"
[[listeners]]
name = "game"
address = "127.0.0.1:${port}"
protocol = "udp"
upstream = "main"
timeouts = { udp_idle = "${idle}" }
[[upstreams]]
name = "main"
targets = [${targets.map(({ address }) => `{ address = "${address}" }`).join(", ")}]
${more}
`;
}

async function status(): Promise<Status> {
  return (await (await fetch(`http://127.0.0.1:${admin}/v1/status`)).json()) as Status;
}

/** Open sockets of a process. */
function sockets(pid: number): number {
  const directory = `/proc/${pid}/fd`;
  return readdirSync(directory).filter((fd) => {
    try {
      return readlinkSync(join(directory, fd)).startsWith("socket:");
    } catch {
      return false;
    }
  }).length;
}

async function client(): Promise<UdpClient> {
  const opened = await UdpClient.open(port);
  stage.atEnd(() => opened.close());
  return opened;
}

/** Everybody asks until they are answered; the ports from which each one's questions reached which target. */
async function askAll(word: string): Promise<string[]> {
  const before = targets.map(({ received }) => received.length);
  await Promise.all(clients.map((each, i) => each.insist(`${word} ${i}`)));
  const came = targets.flatMap(({ received }, target) => received.slice(before[target]).map(({ text, from }) => [text, `${target} ${from.port}`] as const));
  return clients.map((_, i) => [...new Set(came.filter(([text]) => text === `${word} ${i}`).map(([, from]) => from))].join(" and "));
}

async function reload(text: string): Promise<void> {
  await writeFile(join(fairlead.directory, "fairlead.toml"), text);
  const from = fairlead.log.length;
  fairlead.signal("SIGHUP");
  await fairlead.line("the reload", ({ msg }) => msg === "Reload applied", from);
}

beforeAll(async () => {
  targets = [await UdpServer.start(), await UdpServer.start(), await UdpServer.start()];
  [port, admin] = [await freePort(), await freePort()];
  for (const target of targets) stage.atEnd(() => target.stop());
  fairlead = await Fairlead.start(configText(2));
  stage.atEnd(() => fairlead.kill());
  clients = [];
  while (clients.length < CLIENTS) clients.push(await client());
}, 30_000);

describe("two workers", () => {
  let first: string[];

  test("share the clients, each of which stays where it is", async () => {
    const { workers } = await status();
    const before = workers.map(sockets);
    first = await askAll("one");
    for (const word of ["two", "three"]) expect(await askAll(word)).toEqual(first);
    expect(new Set(first).size).toBe(CLIENTS);
    const more = workers.map((pid, i) => sockets(pid) - before[i]!);
    expect(more[0]! + more[1]!).toBeGreaterThanOrEqual(CLIENTS);
    // By the system's hash of ports: that one has no more than two is as likely as 22 heads of 24.
    expect(Math.min(...more)).toBeGreaterThan(2);
    expect((await status()).traffic[0]!.open.requests).toBe(CLIENTS);
  });

  test("keep them over a reload in place", async () => {
    await reload(configText(2, "", "50s"));
    expect(await askAll("reloaded")).toEqual(first);
  });

  test("lose one by kill -9: its clients are taken on by the next one, the other's notice nothing", async () => {
    const { workers } = await status();
    const from = fairlead.log.length;
    process.kill(workers[0]!, "SIGKILL");
    const now = await askAll("killed");
    await fairlead.line("a new worker", ({ msg }) => msg === "Worker replaced", from);
    const same = now.filter((way, i) => way === first[i]).length;
    expect(same).toBeGreaterThan(0);
    expect(same).toBeLessThan(CLIENTS);
    expect(await askAll("again")).toEqual(now);
    expect((await status()).traffic[0]!.open.requests).toBe(CLIENTS);
    expect((await status()).workers).toContain(workers[1]!);
  });
});

describe("new workers for old ones", () => {
  test("get every datagram that comes meanwhile", async () => {
    const talker = await client();
    let sent = 0;
    const timer = setInterval(() => talker.send(`${sent++}`), 3);
    try {
      const { workers } = await status();
      await reload(configText(2, `[[listeners]]\nname = "web"\naddress = "127.0.0.1:${port}"\nupstream = "main"\n`));
      expect((await status()).workers.some((pid) => workers.includes(pid))).toBe(false);
      await sleep(100);
    } finally {
      clearInterval(timer);
    }
    await until("all answers", () => talker.replies.length >= sent);
    expect(new Set(talker.texts).size).toBe(sent);
    const now = await askAll("rolled");
    expect(await askAll("and again")).toEqual(now);
    // On the same port number a stream listener does its work.
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(502);
  });

  test("may be more or fewer: everybody is served, and by all of them", async () => {
    for (const workers of [3, 1]) {
      await reload(configText(workers));
      await askAll(`${workers} workers`);
      // Those before are gone once they have relayed what was under way.
      const open = await until("the old ones to leave", async () => {
        const { traffic } = await status();
        return traffic[0]!.open.requests === CLIENTS ? true : undefined;
      });
      expect(open).toBe(true);
      const pids = (await status()).workers;
      expect(pids).toHaveLength(workers);
      const now = await askAll("settled");
      expect(await askAll("settled still")).toEqual(now);
    }
  }, 30_000);

  test("come with a new binary (SIGUSR2), and after a supervisor that was killed", async () => {
    const old = fairlead.pid;
    const from = fairlead.log.length;
    fairlead.signal("SIGUSR2");
    await fairlead.line("the end of the old one", ({ msg, pid }) => msg === "Stopped" && pid === old, from);
    const upgraded = await askAll("upgraded");
    expect(await askAll("upgraded still")).toEqual(upgraded);
    const line = await fairlead.line("the new one", ({ msg }) => msg === "Fairlead is ready", from);
    process.kill(Number(line["pid"]), "SIGKILL");
    // Workers serve on alone.
    expect(await askAll("orphaned")).toEqual(upgraded);
    const next = await Fairlead.start("", { arguments: ["run", "--config", join(fairlead.directory, "fairlead.toml"), "--log-format", "json"] });
    stage.atEnd(() => next.kill());
    await next.line("the takeover", ({ msg }) => msg === "Taking over from a supervisor that died");
    // The orphans read on until they have been told to go; the new scoreboard knows only those whom the new workers have taken on.
    await until("everybody with the new workers", async () => {
      await askAll("taken over");
      return (await status().catch(() => undefined))?.traffic[0]!.open.requests === CLIENTS;
    });
    const taken = await askAll("taken over for good");
    expect(await askAll("taken over for good, still")).toEqual(taken);
    const began = performance.now();
    expect(await next.stop(10_000)).toBe(0);
    // Drained in its two seconds, for the clients have not said that they are done.
    expect(performance.now() - began).toBeLessThan(5_000);
  }, 40_000);
});

describe("the access log", () => {
  test("has a line for each client with what went each way", async () => {
    const lines = fairlead.log.filter(({ msg, method }) => msg === "access" && method === "UDP");
    expect(lines.length).toBeGreaterThan(CLIENTS);
    expect(lines[0]).toMatchObject({ upstream: "main", attempts: 1, cause: "done", status: 0 });
    for (const { datagrams_in: received, datagrams_out: out, bytes_in: bytesIn, bytes_out: bytesOut, client, target, milliseconds } of lines) {
      expect(milliseconds).toBeGreaterThan(0);
      expect([Number(received) > 0, out === received, bytesOut === bytesIn, Number(bytesIn) > 0]).toEqual([true, true, true, true]);
      expect(client).toMatch(/^127\.0\.0\.1:\d+$/);
      expect(targets.map(({ address }) => address)).toContain(String(target));
    }
  });
});

test("an address that is taken is refused, also by one who would share it", async () => {
  const other = Bun.udpSocket({ hostname: "127.0.0.1", port: 0, flags: 4 } as Bun.udp.SocketOptions<"buffer">);
  const taken = await other;
  stage.atEnd(() => taken.close());
  const failing = Fairlead.launch(`[[listeners]]\naddress = "127.0.0.1:${taken.port}"\nprotocol = "udp"\nupstream = "main"\n[[upstreams]]\nname = "main"\ntargets = [{ address = "127.0.0.1:9" }]\n`);
  stage.atEnd(() => failing.kill());
  await until("its end", () => failing.ended !== undefined, 15_000);
  expect(failing.lines.join("\n")).toContain(`cannot listen on 127.0.0.1:${taken.port}, udp (listener "listener-1"): the address is taken by another program`);
});

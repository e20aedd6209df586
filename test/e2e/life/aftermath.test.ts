/** One misfortune after another: what is left by the first must do for the next. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fairlead, processesBelow } from "../../support/fairlead.ts";
import { Load } from "../../support/load.ts";
import { freePort } from "../../support/ports.ts";
import { reply } from "../../support/raw-backend.ts";
import { isAlive, workersOf } from "../../support/processes.ts";
import { refuses } from "../../support/refuses.ts";
import { configText, openStage } from "../../support/stage.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();

/** `run` on the same file once more. */
async function again({ directory }: Fairlead): Promise<Fairlead> {
  const next = await Fairlead.start("", { arguments: ["run", "--config", join(directory, "fairlead.toml"), "--log-format", "json"] });
  stage.atEnd(() => next.kill());
  return next;
}

async function kill(fairlead: Fairlead): Promise<void> {
  process.kill(fairlead.pid, "SIGKILL");
  await until("its end", () => fairlead.ended !== undefined);
}

describe("a takeover", () => {
  test("gives each listener its own socket, whatever their names: numbers are no order", async () => {
    const backend = await stage.backend();
    const [http, tcp] = [await freePort(), await freePort()];
    const toml = configText(http, { targets: [backend], listener: { name: "8080", health_path: "/health" } }) + `[[listeners]]\nname = "80"\naddress = "127.0.0.1:${tcp}"\nprotocol = "tcp"\nupstream = "main"\n`;
    const first = await Fairlead.start(toml);
    stage.atEnd(() => first.kill());
    await kill(first);
    const second = await again(first);
    await second.line("the takeover", ({ msg }) => msg === "Taking over from a supervisor that died");
    await until("the orphans' end", () => workersOf(first).every((pid) => !isAlive(pid)));
    // Only the http listener answers a health path itself.
    const before = backend.requests.length;
    expect((await fetch(`http://127.0.0.1:${http}/health`)).status).toBe(200);
    expect(backend.requests.length).toBe(before);
    await fetch(`http://127.0.0.1:${tcp}/health`);
    expect(backend.requests.length).toBe(before + 1);
  });

  test("follows on an upgrade, and another one on that, without a failed request", async () => {
    const { fairlead, port } = await stage.fairlead({ targets: await stage.backends(2), top: { workers: 2, drain_timeout: "5s" } });
    const load = new Load(port, 6);
    await until("traffic", () => load.requests > 100);
    fairlead.signal("SIGUSR2");
    await until("the new binary", () => fairlead.ended === 0);
    const successor = fairlead.log.findLast(({ msg }) => msg === "Fairlead is ready")!["pid"] as number;
    for (let victim = successor, times = 0; times < 2; times++) {
      process.kill(victim, "SIGKILL");
      await until("its end", () => !isAlive(victim));
      const next = await again(fairlead);
      expect(next.log.some(({ msg }) => msg === "Taking over from a supervisor that died")).toBe(true);
      victim = next.pid;
    }
    const after = load.requests;
    await until("traffic on the last one", () => load.requests > after + 100);
    await load.stop();
    expect(load.failures).toEqual([]);
  }, 30_000);

  test("that is cut short leaves nobody behind: the one after it also ends the workers of the first", async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const backend = await stage.backend(async (request, connection) => {
      if (request.target === "/slow") await held;
      connection.write(reply(200, "done"));
    });
    const { fairlead: first, port } = await stage.fairlead({ targets: [backend] });
    const slow = await stage.client(port);
    slow.request("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    await until("the request", () => backend.requests.length === 1);
    const [orphan] = workersOf(first);
    await kill(first);
    const second = await again(first);
    await kill(second);
    const third = await again(first);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
    expect(isAlive(orphan!)).toBe(true);
    release();
    expect((await slow.finalReply()).text).toBe("done");
    slow.destroy();
    await until("the orphan's end", () => !isAlive(orphan!));
    expect(await third.stop()).toBe(0);
  });
});

test("a unix socket keeps its name and its clients over an upgrade and a takeover, and goes at the end", async () => {
  const socket = join(stage.directory(), "front.sock");
  const toml = configText(1, { targets: [await stage.backend()] }).replace('"127.0.0.1:1"', `"unix:${socket}"`);
  const first = await Fairlead.start(toml);
  stage.atEnd(() => first.kill());
  const status = async (): Promise<number> => (await fetch("http://a.test/", { unix: socket })).status;
  expect(await status()).toBe(200);
  first.signal("SIGUSR2");
  await until("the upgrade", () => first.ended === 0);
  expect(await status()).toBe(200);
  const successor = first.log.findLast(({ msg }) => msg === "Fairlead is ready")!["pid"] as number;
  process.kill(successor, "SIGKILL");
  await until("its end", () => !isAlive(successor));
  expect(await status()).toBe(200);
  const last = await again(first);
  await until("the orphans' end", () => workersOf(first).every((pid) => !isAlive(pid)));
  expect(await status()).toBe(200);
  expect(await last.stop()).toBe(0);
  expect(existsSync(socket)).toBe(false);
});

describe("SIGTERM to all processes at once, as service managers send it, lets requests end too", () => {
  /** A request at a target; what comes of it when all have been told. */
  async function expectTheEndOfARequest(tell: (fairlead: Fairlead) => Promise<void>): Promise<void> {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const backend = await stage.backend(async (_request, connection) => {
      await held;
      connection.write(reply(200, "late"));
    });
    const { fairlead, port } = await stage.fairlead({ targets: [backend], top: { workers: 2 } });
    const client = await stage.client(port);
    client.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    await until("the request", () => backend.requests.length === 1);
    await tell(fairlead);
    release();
    expect((await client.finalReply()).text).toBe("late");
    client.destroy();
    await until("its end", () => fairlead.ended !== undefined);
    expect(fairlead.ended).toBe(0);
  }

  test("whoever hears of it first", () =>
    expectTheEndOfARequest(async (fairlead) => {
      for (const pid of processesBelow(fairlead.pid).toReversed()) process.kill(pid, "SIGTERM");
      await fairlead.line("draining", ({ msg }) => msg === "Draining");
    }));

  test("the supervisor, and its workers from it before the signal reaches them", () =>
    expectTheEndOfARequest(async (fairlead) => {
      const workers = workersOf(fairlead);
      fairlead.signal("SIGTERM");
      await until("the end of the one that has nothing to do", () => workers.filter(isAlive).length === 1);
      for (const pid of workers.filter(isAlive)) process.kill(pid, "SIGTERM");
      // Nothing is to be seen of a signal that changes nothing.
      await sleep(100);
    }));
});

describe("an orphan", () => {
  test("told to end by SIGTERM drains; told twice, it ends at once", async () => {
    const backend = await stage.backend(() => {});
    const { fairlead, port } = await stage.fairlead({ targets: [backend] });
    const client = await stage.client(port);
    client.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    await until("the request", () => backend.requests.length === 1);
    const [orphan] = workersOf(fairlead);
    await kill(fairlead);
    process.kill(orphan!, "SIGTERM");
    await until("refusal", () => refuses(port));
    expect(isAlive(orphan!)).toBe(true);
    process.kill(orphan!, "SIGTERM");
    await until("its end", () => !isAlive(orphan!), 2_000);
  });
});

test("a good reload ends the pauses of a crash loop: a worker comes at once", async () => {
  const { fairlead, url } = await stage.fairlead({ targets: [await stage.backend()] });
  const pause = (): number => Number(/starts in (\d+) ms/.exec(fairlead.log.at(-1)?.msg ?? "")?.[1] ?? 0);
  while (pause() < 1600) {
    const ready = fairlead.log.filter(({ msg }) => msg === "Worker replaced").length;
    const victim = await until("a worker", () => processesBelow(fairlead.pid)[1]);
    process.kill(victim, "SIGKILL");
    await until("what follows", () => pause() >= 1600 || fairlead.log.filter(({ msg }) => msg === "Worker replaced").length > ready);
  }
  const began = performance.now();
  const from = fairlead.log.length;
  fairlead.signal("SIGHUP");
  await fairlead.line("the replacement", ({ msg }) => msg === "Worker replaced", from);
  expect(performance.now() - began).toBeLessThan(1_200);
  expect((await fetch(url)).status).toBe(200);
}, 20_000);

test("Ctrl-\\, which would end every process of the group, ends none", async () => {
  const { fairlead, url } = await stage.fairlead({ targets: [await stage.backend()], top: { workers: 2 } });
  const workers = workersOf(fairlead);
  process.kill(-fairlead.pid, "SIGQUIT");
  fairlead.signal("SIGHUP");
  const applied = await fairlead.line("the reload after it", ({ msg }) => msg === "Reload applied");
  expect(applied["workers"]).toEqual(workers);
  expect((await fetch(url)).status).toBe(200);
});

describe("a runtime directory", () => {
  test("that is cleaned away is made again; no supervisor dies of it, and a takeover works still", async () => {
    const directory = stage.directory();
    const port = await freePort();
    const toml = configText(port, { targets: [await stage.backend()] });
    const flags = ["run", "--log-format", "json", "--runtime-dir", join(directory, "run")];
    const first = await Fairlead.start(toml, { arguments: flags });
    stage.atEnd(() => first.kill());
    rmSync(join(directory, "run"), { recursive: true });
    process.kill(workersOf(first)[0]!, "SIGKILL");
    await first.line("the replacement", ({ msg }) => msg === "Worker replaced");
    expect(first.ended).toBeUndefined();
    first.signal("SIGHUP");
    await first.line("the reload", ({ msg }) => msg === "Reload applied");
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
    const worker = processesBelow(first.pid).at(-1)!;
    await kill(first);
    const second = await Fairlead.start("", { arguments: ["run", "--config", join(first.directory, "fairlead.toml"), ...flags.slice(1)] });
    stage.atEnd(() => second.kill());
    await until("the orphan's end", () => !isAlive(worker));
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
    expect(await second.stop()).toBe(0);
    expect(readdirSync(directory)).toEqual([]);
  });
});

test("a policy that ends its process costs no worker and not one request, and its next change heals it", async () => {
  const targets = await stage.backends(2);
  const port = await freePort();
  const fairlead = await Fairlead.start(configText(port, { targets, top: { workers: 2 } }), { arguments: ["run", "--watch", "--log-format", "json"] });
  stage.atEnd(() => fairlead.kill());
  const workers = workersOf(fairlead);
  const load = new Load(port, 4);
  await until("traffic", () => load.requests > 50);
  await writeFile(join(fairlead.directory, "p.ts"), "process.exit(0);");
  await writeFile(join(fairlead.directory, "fairlead.toml"), configText(port, { targets, top: { workers: 2 }, upstream: { policy: "./p.ts" } }));
  const rejected = await fairlead.line("the rejection", ({ msg }) => (msg ?? "").startsWith("Reload rejected"));
  expect(rejected["reason"]).toContain("ends the process that loads it");
  expect(workers.every(isAlive)).toBe(true);
  await writeFile(join(fairlead.directory, "p.ts"), "export default { pick: (_request: unknown, targets: readonly object[]) => targets[0] };");
  const applied = await fairlead.line("the reload", ({ msg }) => msg === "Reload applied");
  expect(applied["workers"]).toEqual(workers);
  await load.stop();
  expect(load.failures).toEqual([]);
});

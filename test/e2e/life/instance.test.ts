/** What an instance keeps over its processes: health, admin address, pid file, its being the only one; and what it does when things happen at once. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fairlead } from "../../support/fairlead.ts";
import { Load } from "../../support/load.ts";
import { freePort } from "../../support/ports.ts";
import { refuses } from "../../support/refuses.ts";
import { configText, openStage } from "../../support/stage.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
const READY = "Fairlead is ready";

interface Status {
  readonly status: string;
  readonly generation: number;
  readonly pid: number;
  readonly workers: readonly number[];
  readonly lastReload?: { readonly applied: boolean; readonly errors: readonly string[] };
  readonly upstreams: Readonly<Record<string, readonly { readonly target: string; readonly up: boolean; readonly lastResult?: { readonly reason: string } }[]>>;
}

async function statusAt(port: number): Promise<Status> {
  return (await (await fetch(`http://127.0.0.1:${port}/v1/status`)).json()) as Status;
}

function again(first: Fairlead): Promise<Fairlead> {
  return Fairlead.start("", { arguments: ["run", "--config", join(first.directory, "fairlead.toml"), "--log-format", "json"] }).then((second) => {
    stage.atEnd(() => second.kill());
    return second;
  });
}

describe("the admin address", () => {
  test("says who is healthy and why, and how the last reload went", async () => {
    const [backend, dead, admin] = [await stage.backend(), `127.0.0.1:${await freePort()}`, await freePort()];
    const options = { targets: [backend, dead], top: { admin: { address: `127.0.0.1:${admin}` } }, upstream: { health_check: { type: "tcp", interval: "100ms", fall: 1 } } };
    const { fairlead } = await stage.fairlead(options);
    const status = await until("the dead one", async () => {
      const now = await statusAt(admin);
      return now.upstreams["main"]!.some(({ up }) => !up) ? now : undefined;
    });
    expect(status).toMatchObject({ status: "ok", generation: 1, pid: fairlead.pid });
    expect(status.workers).toHaveLength(1);
    expect(status.upstreams["main"]!.map(({ target, up }) => [target, up])).toEqual([
      [backend.address, true],
      [dead, false],
    ]);
    expect(status.upstreams["main"]![1]!.lastResult!.reason).toBe("connect refused");
    await writeFile(join(fairlead.directory, "fairlead.toml"), "nonsense = 1\n");
    fairlead.signal("SIGHUP");
    const rejected = await until("the reload", async () => (await statusAt(admin)).lastReload);
    expect(rejected.applied).toBe(false);
    expect(rejected.errors.join("\n")).toContain('unknown key "nonsense"');
  });

  test("may be a unix socket, which is this user's alone, taken over when it is stale, and removed at the end", async () => {
    const socket = join(stage.directory(), "admin.sock");
    const options = { targets: [await stage.backend()], top: { admin: { address: `unix:${socket}` } } };
    const pid = async (): Promise<number> => ((await (await fetch("http://admin.test/v1/status", { unix: socket })).json()) as Status).pid;
    const { fairlead } = await stage.fairlead(options);
    expect(await pid()).toBe(fairlead.pid);
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    process.kill(fairlead.pid, "SIGKILL");
    await until("its end", () => fairlead.ended !== undefined);
    const second = await again(fairlead);
    await until("the new one's", () => pid().then((now) => now === second.pid, () => false));
    expect(await second.stop()).toBe(0);
    expect(existsSync(socket)).toBe(false);
  });

  test("that is taken ends the start, and rejects a reload", async () => {
    const taken = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
    stage.atEnd(() => taken.stop(true));
    const backend = await stage.backend();
    const admin = { address: `127.0.0.1:${taken.port}` };
    const words = `cannot open the admin address 127.0.0.1:${taken.port}: it is taken by another program`;
    const failing = Fairlead.launch(configText(await freePort(), { targets: [backend], top: { admin } }));
    stage.atEnd(() => failing.kill());
    await until("its end", () => failing.ended !== undefined && failing.lines.length > 0);
    expect([failing.ended, failing.lines.at(-1)]).toEqual([1, `fairlead: ${words}`]);
    const { fairlead, port, url } = await stage.fairlead({ targets: [backend] });
    await writeFile(join(fairlead.directory, "fairlead.toml"), configText(port, { targets: [backend], top: { admin } }));
    fairlead.signal("SIGHUP");
    const rejected = await fairlead.line("the rejection", ({ msg }) => msg === "Reload rejected; nothing has changed");
    expect(rejected["reason"]).toBe(words);
    expect((await fetch(url)).status).toBe(200);
  });
});

describe("a supervisor that comes after another", () => {
  for (const how of ["takeover", "upgrade"] as const) {
    test(`by ${how} knows who is down, and answers on the admin address`, async () => {
      const [backend, dead, admin] = [await stage.backend(), `127.0.0.1:${await freePort()}`, await freePort()];
      // The next check of the dead one is a minute away.
      const { fairlead } = await stage.fairlead({ targets: [backend, dead], top: { admin: { address: `127.0.0.1:${admin}` }, drain_timeout: "1s" }, upstream: { health_check: { type: "tcp", interval: "1m", fall: 1 } } });
      await fairlead.line("the dead one", ({ msg }) => msg === "Healthy targets: 1/2");
      let second = fairlead;
      if (how === "takeover") {
        process.kill(fairlead.pid, "SIGKILL");
        await until("its end", () => fairlead.ended !== undefined);
        second = await again(fairlead);
      } else {
        fairlead.signal("SIGUSR2");
        await until("the new one", () => fairlead.log.filter(({ msg }) => msg === READY).length === 2);
      }
      const pid = second.log.findLast(({ msg }) => msg === READY)!["pid"] as number;
      expect(pid).not.toBe(fairlead.pid);
      const status = await until("its admin address", () =>
        statusAt(admin).then(
          (now) => (now.pid === pid ? now : undefined),
          () => undefined,
        ),
      );
      expect(status.upstreams["main"]!.map(({ up }) => up)).toEqual([true, false]);
      process.kill(pid, "SIGTERM");
    });
  }

  test("writes the pid file anew, and the one that goes leaves it alone", async () => {
    const { directory, port } = { directory: stage.directory(), port: await freePort() };
    const file = join(directory, "pid");
    const fairlead = await Fairlead.start(configText(port, { targets: [await stage.backend()] }), { arguments: ["--pid-file", file, "--log-format", "json"] });
    stage.atEnd(() => fairlead.kill());
    const read = (): number => Number(readFileSync(file, "utf8"));
    expect(read()).toBe(fairlead.pid);
    fairlead.signal("SIGUSR2");
    await until("the old one's end", () => fairlead.ended !== undefined);
    expect(read()).not.toBe(fairlead.pid);
    process.kill(read(), "SIGTERM");
    await until("nobody", () => !existsSync(file));
  });
});

test("of five that start at once on the same configuration, one runs", async () => {
  const first = Fairlead.launch(configText(await freePort(), { targets: [await stage.backend()] }));
  const others = Array.from({ length: 4 }, () => Fairlead.launch("", { arguments: ["run", "--config", join(first.directory, "fairlead.toml"), "--log-format", "json"] }));
  const all = [first, ...others];
  for (const each of all) stage.atEnd(() => each.kill());
  await until("one", () => all.some(({ log }) => log.some(({ msg }) => msg === READY)));
  await until("the others' end", () => all.filter(({ ended }) => ended === 1).length === 4);
  expect(all.filter(({ ended }) => ended === undefined)).toHaveLength(1);
  for (const { lines, ended } of all) if (ended === 1) expect(lines.join("\n")).toMatch(/^fairlead: this configuration is (run already by process \d+|being started by another process)/);
});

test("a stop while the new binary starts ends both", async () => {
  const { fairlead, port } = await stage.fairlead({ targets: [await stage.backend()] });
  fairlead.signal("SIGUSR2");
  await fairlead.line("the upgrade", ({ msg }) => (msg ?? "").startsWith("Upgrade"));
  fairlead.signal("SIGTERM");
  await until("its end", () => fairlead.ended !== undefined);
  expect(fairlead.ended).toBe(0);
  await until("refusal", () => refuses(port));
});

test("--watch sees a policy that changed", async () => {
  const targets = await stage.backends(2);
  const policy = (index: number): string => `export default { pick: (_request: unknown, targets: readonly object[]) => targets[${index}] };`;
  const port = await freePort();
  const fairlead = await Fairlead.start(configText(port, { targets, upstream: { policy: "./p.ts" } }), { files: { "p.ts": policy(0) }, arguments: ["run", "--watch", "--log-format", "json"] });
  stage.atEnd(() => fairlead.kill());
  await writeFile(join(fairlead.directory, "p.ts"), policy(1));
  await fairlead.line("the reload", ({ msg }) => msg === "Reload applied");
  await fetch(`http://127.0.0.1:${port}/`);
  expect(targets.map(({ requests }) => requests.length)).toEqual([0, 1]);
});

test("what a policy throws in a timer or a promise of its own ends nothing", async () => {
  const policy = `export default { pick(request, targets) { setTimeout(() => { throw new Error("in a timer"); }, 0); Promise.reject(new Error("in a promise")); return targets[0]; } };`;
  const { fairlead, port } = await stage.fairlead({ targets: await stage.backends(1), upstream: { policy: "./p.ts" }, files: { "p.ts": policy } });
  const load = new Load(port, 4);
  await until("traffic", () => load.requests > 200);
  await load.stop();
  expect(load.failures).toEqual([]);
  const caught = fairlead.log.filter(({ msg }) => (msg ?? "").startsWith("Nobody caught this error"));
  for (const where of ["in a timer", "in a promise"]) expect(caught.some((line) => String(line["where"]).includes(where))).toBe(true);
  expect(caught.length).toBeLessThan(50);
  expect(fairlead.log.some(({ msg }) => msg === "Worker died; replacing it")).toBe(false);
});

test("signals to reload that come while one is under way are one more reload", async () => {
  const { fairlead } = await stage.fairlead({ targets: await stage.backends(1) });
  for (let times = 0; times < 30; times++) fairlead.signal("SIGHUP");
  await fairlead.line("a reload", ({ msg }) => msg === "Reload applied");
  fairlead.signal("SIGHUP");
  await sleep(300);
  expect(fairlead.log.filter(({ msg }) => msg === "Reload applied").length).toBeLessThan(10);
});

// These two wait long, and so at the same time.
test.concurrent("workers that die in the middle of reloads are replaced, and no reload is lost", async () => {
  const targets = await stage.backends(2);
  const { fairlead, port, url } = await stage.fairlead({ targets, top: { workers: 2 } });
  const file = join(fairlead.directory, "fairlead.toml");
  for (let round = 0; round < 4; round++) {
    // Every other one changes the number of workers, which replaces all of them.
    await writeFile(file, configText(port, { targets, top: { workers: 2 + (round & 1) } }));
    const from = fairlead.log.length;
    const workers = fairlead.log.findLast((line) => Array.isArray(line["workers"]))!["workers"] as number[];
    process.kill(workers[round % 2]!, "SIGKILL");
    fairlead.signal("SIGHUP");
    if (round > 1) await sleep(round * 5);
    const applied = await fairlead.line("the reload", ({ msg }) => msg === "Reload applied", from);
    expect(applied["generation"]).toBe(2 + round);
    await sleep(1_000);
  }
  expect((await fetch(url)).status).toBe(200);
  expect(fairlead.log.some(({ msg }) => msg === "Reload rejected; nothing has changed")).toBe(false);
  expect(Bun.spawnSync(["pgrep", "-P", String(fairlead.pid)]).stdout.toString().trim().split("\n")).toHaveLength(3);
}, 20_000);

// A loop that sleeps hangs as well as one that takes a core from other tests.
test.concurrent("a worker that hangs in a policy's endless loop is killed and replaced; the other one goes on", async () => {
  const policy = `export default { pick(request, targets) { if (request.path === "/hang") for (;;) Bun.sleepSync(1_000); return targets[0]; } };`;
  const { fairlead, port } = await stage.fairlead({ targets: await stage.backends(1), top: { workers: 2 }, upstream: { policy: "./p.ts" }, files: { "p.ts": policy } });
  const hanging = await stage.client(port);
  hanging.request("GET /hang HTTP/1.1\r\nHost: a.test\r\n\r\n");
  const killed = await until("the watchdog", () => fairlead.log.find(({ msg }) => msg === "Worker hangs; killing it"), 15_000);
  await fairlead.line("its replacement", ({ msg }) => msg === "Worker replaced");
  expect(fairlead.log.find(({ msg }) => msg === "Worker died; replacing it")?.["worker"]).toBe(killed["worker"]);
  const load = new Load(port, 4);
  await until("traffic", () => load.requests > 100);
  await load.stop();
  expect(load.failures).toEqual([]);
}, 25_000);

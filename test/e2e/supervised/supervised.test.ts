/** Back ends that Fairlead starts itself: real programs under Node, killed in every way there is. */
import { describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { EventTold } from "../../../src/admin/events.ts";
import { Fairlead, processesBelow } from "../../support/fairlead.ts";
import { Load } from "../../support/load.ts";
import { freePort } from "../../support/ports.ts";
import { boardOf, isAlive, parentOf, workersOf } from "../../support/processes.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import type { TomlTable } from "../../support/toml.ts";
import { until } from "../../support/until.ts";

const stage = openStage();

/** Answers with its process id and port; does to itself what the path says. */
const SERVER = `
import http from "node:http";
let sick = false;
console.log("started on " + process.env.PORT + " " + (process.env.GREETING ?? ""));
http.createServer((request, response) => {
  if (request.url === "/sick") sick = true;
  if (request.url === "/health") return response.writeHead(sick ? 500 : 200).end();
  if (request.url === "/slow") return setTimeout(() => response.end(process.pid + " " + process.env.PORT), 400);
  response.end(process.pid + " " + process.env.PORT);
}).listen(Number(process.env.PORT), "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
`;

async function supervised(more: TomlTable = {}, upstream: TomlTable = {}, top: TomlTable = {}): Promise<Balanced> {
  const directory = stage.directory();
  await Bun.write(join(directory, "server.mjs"), SERVER);
  return stage.fairlead({ targets: [], top, upstream: { ...upstream, supervised: { command: ["node", "server.mjs"], directory, ...more } } });
}

interface Instance {
  readonly pid: number;
  readonly port: number;
}

async function ask({ url }: Balanced, path = "/"): Promise<Instance> {
  const response = await fetch(url + path);
  const text = await response.text();
  if (response.status !== 200) throw new Error(`status ${response.status}: ${text}`);
  const [pid, port] = text.split(" ").map(Number);
  return { pid: pid!, port: port! };
}

/** The instances that serve, when there are so many. */
function instances(front: Balanced, count: number): Promise<Instance[]> {
  return until(`${count} instances`, async () => {
    const seen = new Map<number, Instance>();
    for (let i = 0; i < count * 3; i++) {
      const instance = await ask(front).catch(() => undefined);
      if (instance !== undefined) seen.set(instance.pid, instance);
    }
    return seen.size === count ? [...seen.values()] : undefined;
  });
}

describe("supervised back ends", () => {
  test("are started, each with a port of its own, before the first client is let in", async () => {
    const front = await supervised({ instances: 3, environment: { GREETING: "hello" } });
    await ask(front);
    const all = await instances(front, 3);
    expect(new Set(all.map(({ port }) => port)).size).toBe(3);
    await until("their output, with their names in front", () => all.every(({ port }) => front.fairlead.lines.some((line) => line === `{"instance":"main:${port}","line":"started on ${port} hello"}`)));
  });

  test("get ports from the first one that is free", async () => {
    const port = await freePort();
    const front = await supervised({ instances: 2, port });
    const all = await instances(front, 2);
    for (const instance of all) expect(instance.port).toBeWithin(port, port + 50);
  });

  test("that end are started again, and the timeline says so", async () => {
    const admin = `127.0.0.1:${await freePort()}`;
    const front = await supervised({ instances: 2, backoff: "10ms" }, {}, { admin: { address: admin } });
    const [first, second] = await instances(front, 2);
    process.kill(first!.pid, "SIGKILL");
    const line = await front.fairlead.line("it ended", ({ msg }) => msg === "Back end ended; it is started again");
    expect(line["how"]).toBe("SIGKILL");
    const now = await until("another one", async () => {
      const all = await instances(front, 2);
      return all.some(({ pid }) => pid === first!.pid) ? undefined : all;
    });
    expect(now.map(({ pid }) => pid)).toContain(second!.pid);
    const { events } = (await (await fetch(`http://${admin}/v1/events?limit=1000`)).json()) as { readonly events: EventTold[] };
    const ended = events.find(({ kind }) => kind === "instance-ended")!;
    expect(ended).toMatchObject({ upstream: "main", target: `127.0.0.1:${first!.port}`, summary: "Back end ended (SIGKILL): it is started again in 10 ms", by: "supervised" });
    const replacing = now.find(({ pid }) => pid !== second!.pid)!;
    const chain = events.filter(({ target }) => target === `127.0.0.1:${replacing.port}`).map(({ kind }) => kind);
    expect(chain.slice(0, 3)).toEqual(["joined", "instance-serving", "instance-started"]);
    const joined = events.find(({ kind, target }) => kind === "joined" && target === `127.0.0.1:${replacing.port}`)!;
    expect([joined.by, events.find(({ id }) => id === joined.cause)!.kind]).toEqual(["supervised", "instance-serving"]);
  });

  test("that keep ending are left alone after max_restarts; clients are told 503", async () => {
    const { fairlead, url } = await supervised({ command: ["sh", "-c", "exit 7"], max_restarts: 3, backoff: "5ms" });
    await fairlead.line("given up", ({ msg }) => String(msg).startsWith("Back end ended too often"));
    expect(fairlead.log.filter(({ msg }) => msg === "Back end ended; it is started again").map(({ milliseconds }) => milliseconds)).toEqual([5, 10, 20]);
    expect((await fetch(url)).status).toBe(503);
  });

  test("whose program is not there say so", async () => {
    const front = await supervised({ command: ["/no/such/program"], max_restarts: 1, backoff: "5ms" });
    await until("the reason", () => front.fairlead.lines.some((line) => line.includes("cannot run /no/such/program")));
    expect(front.fairlead.log.find(({ msg }) => msg === "Back end ended; it is started again")!["how"]).toBe("exit code 127");
  });

  test("that stay unhealthy are replaced", async () => {
    const front = await supervised({ instances: 2, replace_after: "300ms" }, { health_check: { type: "http", path: "/health", interval: "50ms", fall: 1 } });
    const before = await instances(front, 2);
    const { pid } = await ask(front, "/sick");
    await front.fairlead.line("replaced", ({ msg }) => msg === "Back end stays unhealthy; it is replaced");
    await until("its end", () => !isAlive(pid));
    const now = await instances(front, 2);
    expect(now.map((each) => each.pid)).not.toContain(pid);
    expect(now.filter((each) => before.some((other) => other.pid === each.pid))).toHaveLength(1);
  });

  test("are rolled one at a time by a reload, and nobody notices", async () => {
    const front = await supervised({ instances: 3 }, { health_check: { type: "http", path: "/health", interval: "100ms" } });
    const before = await instances(front, 3);
    const load = new Load(front.port, 4);
    const slow = ask(front, "/slow");
    front.fairlead.signal("SIGHUP");
    await until("the old ones' end", () => before.every(({ pid }) => !isAlive(pid)), 15_000);
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(before.map(({ pid }) => pid)).toContain((await slow).pid);
    const now = await instances(front, 3);
    expect(now.some(({ pid }) => before.some((old) => old.pid === pid))).toBe(false);
    // Never fewer than three: each old one left after its successor had come.
    const events = front.fairlead.log.filter(({ msg }) => msg === "Back end serves" || msg === "Back end is stopped").map(({ msg }) => msg);
    expect(events.slice(3)).toEqual(Array.from({ length: 6 }, (_, i) => (i % 2 === 0 ? "Back end serves" : "Back end is stopped")));
  }, 30_000);

  test("are only as many as the config says after a reload, and stay what they are with roll_on_reload = false", async () => {
    const front = await supervised({ instances: 3, roll_on_reload: false });
    const before = await instances(front, 3);
    const file = join(front.fairlead.directory, "fairlead.toml");
    const text = await Bun.file(file).text();
    await Bun.write(file, text.replace(/instances ?= ?3/, "instances = 1"));
    front.fairlead.signal("SIGHUP");
    await until("two of them to end", () => before.filter(({ pid }) => isAlive(pid)).length === 1);
    expect(before.map(({ pid }) => pid)).toContain((await ask(front)).pid);
  });

  test("that do not come up in their new form leave the old ones as they are", async () => {
    const front = await supervised({ instances: 1, start_timeout: "2s", roll_on_reload: false });
    const [before] = await instances(front, 1);
    const file = join(front.fairlead.directory, "fairlead.toml");
    const text = await Bun.file(file).text();
    const changed = text.replace(/\["node", ?"server.mjs"\]/, '["sleep", "60"]');
    expect(changed).not.toBe(text);
    await Bun.write(file, changed);
    front.fairlead.signal("SIGHUP");
    await front.fairlead.line("the refusal", ({ msg }) => msg === "The new back end does not come up; the old ones stay");
    expect((await ask(front)).pid).toBe(before!.pid);
  });
});

describe("a change of the configuration", () => {
  test("that removes them lets open requests end first", async () => {
    const front = await supervised();
    const [instance] = await instances(front, 1);
    const other = await stage.backend();
    const slow = ask(front, "/slow");
    const file = join(front.fairlead.directory, "fairlead.toml");
    const text = await Bun.file(file).text();
    const [top] = text.split("[[upstreams]]");
    await Bun.write(file, `${top!.replace('upstream = "main"', 'upstream = "other"')}[[upstreams]]\nname = "other"\ntargets = [{ address = "${other.address}" }]\n`);
    front.fairlead.signal("SIGHUP");
    await front.fairlead.line("reload", ({ msg }) => msg === "Reload applied");
    expect((await slow).pid).toBe(instance!.pid);
    await until("its end", () => !isAlive(instance!.pid));
    expect((await fetch(front.url)).status).toBe(200);
  });

  test("by an upgrade in place with an admin address loses none of them", async () => {
    const admin = await freePort();
    const front = await supervised({ instances: 3, command: ["sh", "-c", "sleep 0.$((PORT % 3))5; exec node server.mjs"] }, {}, { admin: { address: `127.0.0.1:${admin}` } });
    const before = await instances(front, 3);
    const load = new Load(front.port, 2);
    const runs = workersOf(front.fairlead).length;
    process.kill(front.fairlead.pid, "SIGUSR2");
    await until("the old ones' end", () => before.every(({ pid }) => !isAlive(pid)), 15_000);
    await instances(front, 3);
    await load.stop();
    expect(load.failures).toEqual([]);
    const status = (await (await fetch(`http://127.0.0.1:${admin}/v1/status`)).json()) as { upstreams: { main: unknown[] }; workers: unknown[] };
    expect([status.upstreams.main.length, status.workers.length]).toEqual([3, runs]);
  }, 30_000);
});

describe("the start", () => {
  const slowly = ["sh", "-c", "sleep 0.7; exec node server.mjs"];

  test("makes no more workers than it should when back ends come up at different times", async () => {
    const directory = stage.directory();
    await Bun.write(join(directory, "server.mjs"), SERVER);
    const port = await freePort();
    const toml = `workers = 2\n[[listeners]]\naddress = "127.0.0.1:${port}"\nupstream = "late"\n[[upstreams]]\nname = "quick"\n[upstreams.supervised]\ncommand = ["node", "server.mjs"]\ndirectory = "${directory}"\n[[upstreams]]\nname = "late"\n[upstreams.supervised]\ncommand = ${JSON.stringify(slowly)}\ndirectory = "${directory}"\n`;
    const fairlead = await Fairlead.start(toml);
    stage.atEnd(() => fairlead.kill());
    await ask({ fairlead, port, url: `http://127.0.0.1:${port}` });
    expect(workersOf(fairlead)).toHaveLength(2);
    expect(fairlead.log.some(({ msg }) => msg === "Worker replaced")).toBe(false);
  });

  test("ends at once when it is stopped meanwhile, with all that it has started", async () => {
    const port = await freePort();
    const fairlead = Fairlead.launch(`[[listeners]]\naddress = "127.0.0.1:${port}"\nupstream = "late"\n[[upstreams]]\nname = "late"\n[upstreams.supervised]\ncommand = ["sh", "-c", "sleep 985 & echo child $!; wait"]\n`);
    stage.atEnd(() => fairlead.kill());
    const line = await until("its child", () => fairlead.lines.find((each) => each.includes("child ")));
    const child = Number(/child (\d+)/.exec(line)![1]);
    process.kill(-fairlead.pid, "SIGINT");
    await until("its end", () => fairlead.ended !== undefined, 3_000);
    expect(fairlead.ended).toBe(0);
    await until("the child's end", () => !isAlive(child));
    expect(fairlead.lines.some((each) => each.includes("is ready"))).toBe(false);
  });
});

describe("no orphans:", () => {
  test("a stop ends them, and what they started", async () => {
    const front = await supervised({ command: ["sh", "-c", "sleep 1000 & exec node server.mjs"] });
    const [instance] = await instances(front, 1);
    const all = processesBelow(instance!.pid);
    expect(all).toHaveLength(2);
    expect(await front.fairlead.stop()).toBe(0);
    await until("their end", () => all.every((pid) => !isAlive(pid)));
  });

  test("one that does not hear is killed after stop_timeout", async () => {
    const front = await supervised({ command: ["sh", "-c", "trap '' TERM; node -e 'process.on(\"SIGTERM\", () => {}); require(\"http\").createServer((q, r) => r.end(process.pid + \" \" + process.env.PORT)).listen(process.env.PORT, \"127.0.0.1\")'; true"], stop_timeout: "200ms" });
    const [instance] = await instances(front, 1);
    expect(await front.fairlead.stop()).toBe(0);
    await until("its end", () => !isAlive(instance!.pid));
  });

  test("when the supervisor is killed they serve on with the workers, and end with them", async () => {
    const front = await supervised({ instances: 2 }, {}, { workers: 2 });
    const before = await instances(front, 2);
    process.kill(front.fairlead.pid, "SIGKILL");
    await until("its end", () => front.fairlead.ended !== undefined);
    expect(before.map(({ pid }) => pid)).toContain((await ask(front)).pid);
    for (const worker of workersOf(front.fairlead)) process.kill(worker, "SIGKILL");
    await until("their end", () => before.every(({ pid }) => !isAlive(pid)));
  });

  test("another supervisor takes over with instances of its own, and nobody notices", async () => {
    const front = await supervised({ instances: 2 });
    const before = await instances(front, 2);
    const load = new Load(front.port, 2);
    process.kill(front.fairlead.pid, "SIGKILL");
    await until("its end", () => front.fairlead.ended !== undefined);
    const next = await Fairlead.start("", { arguments: ["run", "--config", join(front.fairlead.directory, "fairlead.toml"), "--log-format", "json"] });
    stage.atEnd(() => next.kill());
    await until("the old ones' end", () => before.every(({ pid }) => !isAlive(pid)), 15_000);
    await load.stop();
    expect(load.failures).toEqual([]);
    await instances(front, 2);
  }, 30_000);

  test("when their keeper is killed they end too, and new ones are started", async () => {
    const front = await supervised({ instances: 2, command: ["sh", "-c", "sleep 1000 & exec node server.mjs"], backoff: "10ms" });
    const before = await instances(front, 2);
    const keeper = parentOf(before[0]!.pid);
    const held = before.flatMap(({ pid }) => processesBelow(pid));
    expect(held).toHaveLength(4);
    // Nobody needs the name of what they share.
    rmSync(boardOf(front.fairlead.pid));
    process.kill(keeper, "SIGKILL");
    await until("their end", () => held.every((pid) => !isAlive(pid)));
    const now = await instances(front, 2);
    expect(now.some(({ pid }) => before.some((old) => old.pid === pid))).toBe(false);
  });

  test("when everything is killed at once nothing is left", async () => {
    const front = await supervised({ instances: 2 });
    const before = await instances(front, 2);
    const keeper = parentOf(before[0]!.pid);
    for (const pid of [keeper, front.fairlead.pid, ...workersOf(front.fairlead)]) process.kill(pid, "SIGKILL");
    await until("their end", () => before.every(({ pid }) => !isAlive(pid)));
  });
});

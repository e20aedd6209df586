/** Start, stop, upgrade, and the supervisor's own death. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fairlead } from "../../support/fairlead.ts";
import { Load } from "../../support/load.ts";
import { freePort } from "../../support/ports.ts";
import { isAlive, workersOf } from "../../support/processes.ts";
import { reply } from "../../support/raw-backend.ts";
import { configText, openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();

describe("a stop", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test(`by ${signal} lets a request in flight end, says Connection: close, refuses new clients, exits 0`, async () => {
      const { promise: held, resolve: release } = Promise.withResolvers<void>();
      const backend = await stage.backend(async (_request, connection) => {
        await held;
        connection.write(reply(200, "late"));
      });
      const { fairlead, port } = await stage.fairlead({ targets: [backend], top: { workers: 2 } });
      const workers = workersOf(fairlead);
      const client = await stage.client(port);
      client.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
      await until("the request", () => backend.requests.length === 1);
      fairlead.signal(signal);
      await until("refusal", () => stage.client(port).then((early) => (early.destroy(), false), () => true));
      expect(fairlead.ended).toBeUndefined();
      release();
      const late = await client.finalReply();
      expect([late.text, late.header("connection")]).toEqual(["late", "close"]);
      client.end();
      await until("its end", () => fairlead.ended !== undefined);
      expect(fairlead.ended).toBe(0);
      expect(workers.filter(isAlive)).toEqual([]);
    });
  }

  test("ends what is still open when drain_timeout is over", async () => {
    const backend = await stage.backend(() => {});
    const { fairlead, port } = await stage.fairlead({ targets: [backend], top: { drain_timeout: "300ms" } });
    const client = await stage.client(port);
    client.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    await until("the request", () => backend.requests.length === 1);
    expect(await fairlead.stop()).toBe(0);
    await until("the client to notice", () => client.peer !== "open");
  });

  test("asked for twice is at once", async () => {
    const backend = await stage.backend(() => {});
    const { fairlead, port } = await stage.fairlead({ targets: [backend] });
    (await stage.client(port)).request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    await until("the request", () => backend.requests.length === 1);
    fairlead.signal("SIGTERM");
    await fairlead.line("draining", ({ msg }) => msg === "Draining");
    fairlead.signal("SIGTERM");
    await until("its end", () => fairlead.ended !== undefined, 2_000);
    expect(fairlead.ended).toBe(0);
  });

  test("by Ctrl-C, which reaches the whole process group, is the same", async () => {
    const { fairlead } = await stage.fairlead({ targets: [await stage.backend()], top: { workers: 2 } });
    const workers = workersOf(fairlead);
    process.kill(-fairlead.pid, "SIGINT");
    await until("its end", () => fairlead.ended !== undefined);
    expect(fairlead.ended).toBe(0);
    expect(workers.filter(isAlive)).toEqual([]);
    expect(fairlead.log.filter(({ level }) => level === "error")).toEqual([]);
  });
});

describe("kill -9 of the supervisor", () => {
  test("leaves the workers serving; a new one on the same config takes over without a failed request", async () => {
    const first = await stage.fairlead({ targets: await stage.backends(2), top: { workers: 2, drain_timeout: "5s" } });
    const orphans = workersOf(first.fairlead);
    const load = new Load(first.port, 8);
    await until("traffic", () => load.requests > 200);
    process.kill(first.fairlead.pid, "SIGKILL");
    await until("its end", () => first.fairlead.ended !== undefined);
    const alone = load.requests;
    await until("traffic without it", () => load.requests > alone + 200);
    expect(orphans.filter(isAlive)).toEqual(orphans);

    const config = join(first.fairlead.directory, "fairlead.toml");
    const second = await Fairlead.start("", { arguments: ["run", "--config", config, "--log-format", "json"] });
    stage.atEnd(() => second.kill());
    await second.line("the takeover", ({ msg }) => msg === "Taking over from a supervisor that died");
    await until("the orphans' end", () => orphans.filter(isAlive).length === 0);
    const after = load.requests;
    await until("traffic on the new one", () => load.requests > after + 200);
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(await second.stop()).toBe(0);
    expect(fetch(first.url)).rejects.toThrow();
  }, 30_000);

  test("its orphans end by SIGTERM, and then a new one starts as usual", async () => {
    const first = await stage.fairlead({ targets: [await stage.backend()], top: { workers: 2, drain_timeout: "1s" } });
    const orphans = workersOf(first.fairlead);
    process.kill(first.fairlead.pid, "SIGKILL");
    await until("its end", () => first.fairlead.ended !== undefined);
    for (const orphan of orphans) process.kill(orphan, "SIGTERM");
    await until("the orphans' end", () => orphans.filter(isAlive).length === 0);
    const second = await Fairlead.start("", { arguments: ["run", "--config", join(first.fairlead.directory, "fairlead.toml"), "--log-format", "json"] });
    stage.atEnd(() => second.kill());
    expect((await fetch(first.url)).status).toBe(200);
  });
});

describe("SIGUSR2", () => {
  test("upgrades in place without a failed request", async () => {
    const { fairlead, port } = await stage.fairlead({ targets: await stage.backends(2), top: { workers: 2, drain_timeout: "5s" } });
    const before = workersOf(fairlead);
    const load = new Load(port, 8);
    await until("traffic", () => load.requests > 200);
    for (let times = 0; times < 1; times++) fairlead.signal("SIGUSR2");
    await until("the new binary", () => fairlead.log.filter(({ msg }) => msg === "Fairlead is ready").length === 2);
    await until("the end of the old one", () => fairlead.ended !== undefined && before.filter(isAlive).length === 0);
    expect(fairlead.ended).toBe(0);
    const after = load.requests;
    await until("traffic on the new one", () => load.requests > after + 200);
    await load.stop();
    expect(load.failures).toEqual([]);
    const successor = fairlead.log.findLast(({ msg }) => msg === "Fairlead is ready")!["pid"] as number;
    expect(successor).not.toBe(fairlead.pid);
    process.kill(successor, "SIGTERM");
    await until("its end", () => !isAlive(successor));
    expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
  }, 30_000);

  test("that cannot start leaves the old one serving", async () => {
    const { fairlead, url } = await stage.fairlead({ targets: [await stage.backend()] });
    await Bun.write(join(fairlead.directory, "fairlead.toml"), "nonsense = 1\n");
    fairlead.signal("SIGUSR2");
    await fairlead.line("the failure", ({ msg }) => (msg ?? "").startsWith("Upgrade failed"));
    expect((await fetch(url)).status).toBe(200);
    expect(await fairlead.stop()).toBe(0);
  });
});

describe("a start that cannot be", () => {
  async function fails(toml: string, args?: readonly string[]): Promise<{ code: number | string | undefined; text: string }> {
    const fairlead = Fairlead.launch(toml, args === undefined ? {} : { arguments: args });
    stage.atEnd(() => fairlead.kill());
    await until("its end", () => fairlead.ended !== undefined);
    await until("its words", () => fairlead.lines.length > 0);
    return { code: fairlead.ended, text: fairlead.lines.join("\n") };
  }

  test("because the port is taken", async () => {
    const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    stage.atEnd(() => taken.stop(true));
    const { code, text } = await fails(configText(taken.port, { targets: ["127.0.0.1:9"] }));
    expect([code, text]).toEqual([1, `fairlead: cannot listen on 127.0.0.1:${taken.port} (listener "front"): the address is taken by another program`]);
  });

  test("because the file is missing, or wrong", async () => {
    expect(await fails("", ["run", "--config", "nowhere.toml"])).toEqual({ code: 1, text: "nowhere.toml: error: cannot read the config: no such file\n\n1 error" });
    const { code, text } = await fails("lisen = 1\n");
    expect(code).toBe(1);
    expect(text).toContain('fairlead.toml:1:1: error: unknown key "lisen"');
  });

  test("because the same configuration runs already", async () => {
    const { fairlead } = await stage.fairlead({ targets: [await stage.backend()] });
    const { code, text } = await fails("", ["run", "--config", join(fairlead.directory, "fairlead.toml")]);
    expect([code, text]).toEqual([1, `fairlead: this configuration is run already by process ${fairlead.pid}; stop it first, or reload it with: kill -HUP ${fairlead.pid}`]);
  });

  test("because the policy file does not load", async () => {
    const port = await freePort();
    const fairlead = Fairlead.launch(configText(port, { targets: ["127.0.0.1:9"], upstream: { policy: "./p.ts" } }), { files: { "p.ts": "export default 1;" } });
    stage.atEnd(() => fairlead.kill());
    await until("its end", () => fairlead.ended !== undefined);
    expect(fairlead.ended).toBe(1);
    expect(fairlead.lines.join("\n")).toContain("the default export must be a policy");
  });

  test("because the command is not understood: exit code 2", async () => {
    expect(await fails("", ["rnu"])).toMatchObject({ code: 2, text: expect.stringContaining("Did you mean run?") });
    expect(await fails("", ["--listen", ":1"])).toMatchObject({ code: 2, text: expect.stringContaining("--listen and --target go together") });
    expect(await fails("", ["run", "--nonsense"])).toMatchObject({ code: 2, text: expect.stringContaining("unknown option '--nonsense'") });
  });
});

test("check says what is wrong and exits 1, or says that all is good and exits 0", async () => {
  const good = Fairlead.launch(configText(1, { targets: ["127.0.0.1:9"] }), { arguments: ["check", "fairlead.toml"] });
  stage.atEnd(() => good.kill());
  await until("its end", () => good.ended !== undefined && good.lines.length > 0);
  expect([good.ended, good.lines.join("\n")]).toEqual([0, "fairlead.toml: good (1 listener, 0 routes, 1 upstream, 1 target)"]);
});

test("a unix socket is listened on, taken over when it is stale, and removed at the end", async () => {
  const directory = stage.directory();
  const socket = join(directory, "front.sock");
  const toml = configText(1, { targets: [await stage.backend()] }).replace(/"127\.0\.0\.1:1"/, `"unix:${socket}"`);
  for (const ending of ["kill", "stop"] as const) {
    const fairlead = await Fairlead.start(toml);
    stage.atEnd(() => fairlead.kill());
    expect((await fetch("http://a.test/", { unix: socket })).status).toBe(200);
    // The first one leaves the file behind.
    await fairlead[ending]();
    expect(existsSync(socket)).toBe(ending === "kill");
  }
  // A file that was named by mistake stays what it is.
  writeFileSync(socket, "precious");
  const failing = Fairlead.launch(toml);
  stage.atEnd(() => failing.kill());
  await until("its end", () => failing.ended !== undefined && failing.lines.length > 0);
  expect([failing.ended, failing.lines.at(-1)]).toEqual([1, `fairlead: cannot listen on unix:${socket} (listener "front"): something that is no socket is there`]);
  expect(readFileSync(socket, "utf8")).toBe("precious");
});

/** Reloads: in place, over listeners and workers, bad ones; never at the cost of a request. */
import { describe, expect, test } from "bun:test";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Load } from "../../support/load.ts";
import { freePort } from "../../support/ports.ts";
import { reply } from "../../support/raw-backend.ts";
import { configText, openStage, type Balanced, type BalanceOptions } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();

async function rewrite({ fairlead, port }: Balanced, options: BalanceOptions): Promise<void> {
  await writeFile(join(fairlead.directory, "fairlead.toml"), configText(port, options));
}

async function reload(front: Balanced, options: BalanceOptions): Promise<number> {
  await rewrite(front, options);
  const from = front.fairlead.log.length;
  front.fairlead.signal("SIGHUP");
  return (await front.fairlead.line("the reload", ({ msg }) => msg === "Reload applied", from))["milliseconds"] as number;
}

describe("SIGHUP", () => {
  test("50 times under load, back and forth between configurations, loses not one request", async () => {
    const [a, b, c] = await stage.backends(3);
    const first = { targets: [a!, b!], top: { workers: 2 } };
    const front = await stage.fairlead(first);
    const load = new Load(front.port, 8);
    await until("traffic", () => load.requests > 200);
    for (let times = 0; times < 50; times++) await reload(front, times % 2 === 0 ? { targets: [b!, c!], top: { workers: 2 } } : first);
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(load.requests).toBeGreaterThan(300);
    expect(c!.requests.length).toBeGreaterThan(0);
  }, 30_000);

  test("that adds a listener, takes one away and changes the number of workers loses nothing either", async () => {
    const targets = await stage.backends(2);
    const front = await stage.fairlead({ targets, top: { workers: 2 } });
    const second = await freePort();
    const load = new Load(front.port, 8);
    await until("traffic", () => load.requests > 200);
    const more = `\n[[listeners]]\nname = "second"\naddress = "127.0.0.1:${second}"\nupstream = "main"\n`;
    for (const [text, workers] of [
      [more, 2],
      ["", 3],
      ["", 1],
    ] as const) {
      await writeFile(join(front.fairlead.directory, "fairlead.toml"), configText(front.port, { targets, top: { workers } }) + text);
      const from = front.fairlead.log.length;
      front.fairlead.signal("SIGHUP");
      const applied = await front.fairlead.line("the reload", ({ msg }) => msg === "Reload applied", from);
      expect(applied["workers"]).toHaveLength(workers);
      if (text === "") await until("refusal", () => stage.client(second).then(() => false, () => true));
      else expect((await fetch(`http://127.0.0.1:${second}/`)).status).toBe(200);
    }
    await load.stop();
    expect(load.failures).toEqual([]);
  }, 30_000);

  test("a request in flight ends on the snapshot that it began on", async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const old = await stage.backend(async (_request, connection) => {
      await held;
      connection.write(reply(200, "old"));
    });
    const fresh = await stage.backend((_request, connection) => connection.write(reply(200, "fresh")));
    const front = await stage.fairlead({ targets: [old] });
    const slow = await stage.client(front);
    slow.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    await until("the request", () => old.requests.length === 1);
    await reload(front, { targets: [fresh] });
    expect((await (await stage.client(front)).ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")).text).toBe("fresh");
    release();
    expect((await slow.finalReply()).text).toBe("old");
    expect((await slow.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")).text).toBe("fresh");
  });

  for (const [what, text, line] of [
    ["a file that is wrong", "listners = 1\n", 'unknown key "listners"'],
    ["an address that is taken", undefined, "Reload rejected; nothing has changed"],
  ] as const) {
    test(`${what} changes nothing and says so`, async () => {
      const backend = await stage.backend();
      const front = await stage.fairlead({ targets: [backend] });
      const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      stage.atEnd(() => taken.stop(true));
      const other = configText(front.port, { targets: [backend] }) + `[[listeners]]\nname = "x"\naddress = "127.0.0.1:${taken.port}"\nupstream = "main"\n`;
      await writeFile(join(front.fairlead.directory, "fairlead.toml"), text ?? other);
      front.fairlead.signal("SIGHUP");
      await front.fairlead.line("the errors", ({ msg }) => (msg ?? "").includes(line));
      await front.fairlead.line("the rejection", ({ msg }) => msg === "Reload rejected; nothing has changed");
      expect((await fetch(front.url)).status).toBe(200);
      // And the next good one is taken.
      await reload(front, { targets: [backend] });
    });
  }

  test("a policy file that does not load is rejected; one that changed is loaded anew", async () => {
    const targets = await stage.backends(2);
    const policy = (index: number): string => `export default { pick: (_request: unknown, targets: readonly object[]) => targets[${index}] };`;
    const front = await stage.fairlead({ targets, upstream: { policy: "./p.ts" }, files: { "p.ts": policy(0) } });
    const at = join(front.fairlead.directory, "p.ts");
    await fetch(front.url);
    expect(targets.map(({ requests }) => requests.length)).toEqual([1, 0]);
    await writeFile(at, "export default 5;");
    front.fairlead.signal("SIGHUP");
    const rejected = await front.fairlead.line("the rejection", ({ msg }) => msg === "Reload rejected; nothing has changed");
    expect(rejected["reason"]).toContain("the default export must be a policy");
    await fetch(front.url);
    expect(targets.map(({ requests }) => requests.length)).toEqual([2, 0]);
    await writeFile(at, policy(1));
    const from = front.fairlead.log.length;
    front.fairlead.signal("SIGHUP");
    await front.fairlead.line("the reload", ({ msg }) => msg === "Reload applied", from);
    await fetch(front.url);
    expect(targets.map(({ requests }) => requests.length)).toEqual([2, 1]);
  });
});

test("--watch reloads when the file is written, and when another one is renamed over it", async () => {
  const [a, b] = [await stage.backend((_r, c) => c.write(reply(200, "a"))), await stage.backend((_r, c) => c.write(reply(200, "b")))];
  const port = await freePort();
  const { Fairlead } = await import("../../support/fairlead.ts");
  const fairlead = await Fairlead.start(configText(port, { targets: [a] }), { arguments: ["run", "--watch", "--log-format", "json"] });
  stage.atEnd(() => fairlead.kill());
  const text = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/`)).text();
  expect(await text()).toBe("a");
  const file = join(fairlead.directory, "fairlead.toml");
  await writeFile(file, configText(port, { targets: [b] }));
  await until("the new file", async () => (await text()) === "b");
  await writeFile(`${file}.new`, configText(port, { targets: [a] }));
  await rename(`${file}.new`, file);
  await until("the renamed file", async () => (await text()) === "a");
});

/** Outlier detection: who fails real requests is left alone for a while, never the last one; and when too few are left, all are used. */
import { describe, expect, test } from "bun:test";
import type { LogLine } from "../../support/fairlead.ts";
import { freePort } from "../../support/ports.ts";
import { type RawBackend, reply, type Script } from "../../support/raw-backend.ts";
import { openStage } from "../../support/stage.ts";
import type { TomlTable } from "../../support/toml.ts";
import { type Arranged, type Arrangement, askAll, clientsOnBoth, get, named, rearrange, rearranging, tally } from "../../support/traffic.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
const arrange = rearranging(stage);

function failing(status: number): Script {
  return async (request, connection) => {
    if (await request.ended) connection.write(reply(status, "bad"));
  };
}

const resetting: Script = (_, connection) => connection.reset();

function crew(count: number): Promise<RawBackend[]> {
  return Promise.all(Array.from({ length: count }, (_, at) => stage.backend(named(letter(at)))));
}

function letter(at: number): string {
  return String.fromCharCode(97 + at);
}

/** Three failures in a row; for longer than a test lasts, unless it says otherwise. Each failure is seen by the client. */
const STRICT: TomlTable = { consecutive_5xx: 3, consecutive_gateway: 3, consecutive_local: 3, success_rate_factor: 0, interval: "60s", base_ejection: "30s" };

function arrangement(backends: readonly { readonly address: string }[], detection: TomlTable = {}, upstream: TomlTable = {}): Arrangement {
  return { targets: backends.map(({ address }) => ({ address })), upstream: { retries: 0, outlier_detection: { ...STRICT, ...detection }, ...upstream } };
}

function front(backends: readonly { readonly address: string }[], detection: TomlTable = {}, upstream: TomlTable = {}): Promise<Arranged> {
  return arrange(arrangement(backends, detection, upstream));
}

function ejections(to: Arranged): LogLine[] {
  return to.fairlead.log.filter(({ msg }) => msg === "Target ejected");
}

/** Asks until this target has been ejected so many times. */
async function ejected(to: Arranged, backend: { readonly address: string }, times = 1): Promise<LogLine> {
  const client = await stage.client(to);
  const found = await until(`ejection ${times} of ${backend.address}`, async () => {
    await client.ask(get());
    return ejections(to).filter((line) => line["target"] === backend.address)[times - 1];
  });
  client.destroy();
  return found;
}

/** Names that answer `count` requests through both workers. */
async function names(to: Arranged, count: number) {
  const clients = await clientsOnBoth(stage, to, 1);
  const all: string[] = [];
  for (let i = 0; i < count; i++) all.push((await clients[i % 2]!.ask(get())).text);
  for (const client of clients) client.destroy();
  return tally(all);
}

describe("a target that fails", () => {
  for (const [what, script, detector] of [
    ["answers 500", failing(500), "consecutive-5xx"],
    ["answers 503", failing(503), "consecutive-gateway"],
    ["resets connections", resetting, "consecutive-local"],
    ["does not answer in time", () => {}, "consecutive-local"],
  ] as const) {
    test(`(${what}) is ejected after so many in a row, for both workers`, async () => {
      const backends = await crew(3);
      backends[0]!.script = script;
      const to = await front(backends, { consecutive_5xx: detector === "consecutive-5xx" ? 3 : 0 }, what === "does not answer in time" ? { timeouts: { response: "200ms" } } : {});
      const line = await ejected(to, backends[0]!);
      expect(line).toMatchObject({ level: "warn", upstream: to.upstream, detector, milliseconds: 30_000, times: 1 });
      expect(backends[0]!.requests.length).toBeGreaterThanOrEqual(3);
      // Whoever asked while the supervisor was being told.
      expect(backends[0]!.requests.length).toBeLessThanOrEqual(6);
      backends[0]!.clear();
      expect(await names(to, 20)).toEqual({ b: 10, c: 10 });
      expect(backends[0]!.requests.length).toBe(0);
    });
  }

  test("(refuses connections) is ejected without the table too, and no request is lost meanwhile", async () => {
    const backends = await crew(2);
    const gone = { address: `127.0.0.1:${await freePort()}` };
    const to = await arrange({ targets: [gone, ...backends].map(({ address }) => ({ address })) });
    const statuses = new Set<string>();
    const client = await stage.client(to);
    await until("the ejection", async () => {
      statuses.add((await client.ask(get())).text);
      return ejections(to).length > 0;
    });
    expect([...statuses].toSorted()).toEqual(["a", "b"]);
    expect(ejections(to)[0]).toMatchObject({ target: gone.address, detector: "consecutive-local", milliseconds: 30_000 });
  });

  test("(answers 500) is kept without the table", async () => {
    const backends = await crew(2);
    backends[0]!.script = failing(500);
    const to = await arrange({ targets: backends.map(({ address }) => ({ address })) });
    expect(await names(to, 40)).toEqual({ bad: 20, b: 20 });
    expect(ejections(to)).toEqual([]);
  });

  test("is kept with outlier_detection = false", async () => {
    const backends = await crew(2);
    backends[0]!.script = failing(503);
    const to = await front(backends, {}, { outlier_detection: false });
    expect(await names(to, 40)).toEqual({ bad: 20, b: 20 });
    expect(ejections(to)).toEqual([]);
  });

  test("now and then is kept: a success in between begins the count anew", async () => {
    const backends = await crew(2);
    let count = 0;
    const well = named("a");
    backends[0]!.script = (request, connection) => (count++ % 3 === 2 ? well(request, connection) : failing(500)(request, connection));
    const to = await front(backends);
    expect(await names(to, 90)).toEqual({ bad: 30, a: 15, b: 45 });
    expect(ejections(to)).toEqual([]);
  });

  test("with 4xx is kept: that is the clients' doing", async () => {
    const backends = await crew(2);
    backends[0]!.script = failing(404);
    const to = await front(backends);
    expect(await names(to, 30)).toEqual({ bad: 15, b: 15 });
    expect(ejections(to)).toEqual([]);
  });

  test("is shown as ejected, with the reason and until when", async () => {
    const backends = await crew(2);
    backends[0]!.script = failing(500);
    const to = await front(backends);
    await ejected(to, backends[0]!);
    const { upstreams } = (await (await fetch(`http://127.0.0.1:${to.admin}/v1/status`)).json()) as { readonly upstreams: Readonly<Record<string, readonly Record<string, unknown>[]>> };
    const [a, b] = upstreams[to.upstream]!;
    expect(a).toMatchObject({ target: backends[0]!.address, ejected: { detector: "consecutive-5xx", times: 1 } });
    const left = Date.parse((a!["ejected"] as { readonly until: string }).until) - Date.now();
    expect(left).toBeGreaterThan(10_000);
    expect(left).toBeLessThanOrEqual(30_000);
    expect(b).not.toHaveProperty("ejected");
  });

  test("stays ejected over a reload", async () => {
    const backends = await crew(3);
    backends[0]!.script = failing(500);
    const to = await front(backends.slice(0, 2));
    await ejected(to, backends[0]!);
    backends[0]!.clear(named("a"));
    await rearrange(to, arrangement(backends));
    expect(await names(to, 12)).toEqual({ b: 6, c: 6 });
    expect(backends[0]!.requests.length).toBe(0);
  });

  test("behind a tcp listener is ejected too", async () => {
    const server = await stage.server((connection) => connection.write("hi"));
    const gone = { address: `127.0.0.1:${await freePort()}` };
    const to = await arrange({ ...arrangement([gone, server], {}, { retries: 1 }), listener: { protocol: "tcp" } });
    await until("the ejection", async () => {
      const client = await stage.client(to);
      await client.untilText("hi");
      client.destroy();
      return ejections(to).length === 1;
    });
    expect(ejections(to)[0]).toMatchObject({ target: gone.address, detector: "consecutive-local" });
  });
});

describe("an ejection", () => {
  test("ends after base_ejection, and the target gets its share again", async () => {
    const backends = await crew(3);
    backends[0]!.script = failing(500);
    const to = await front(backends, { base_ejection: "300ms" });
    await ejected(to, backends[0]!);
    const began = performance.now();
    backends[0]!.clear(named("a"));
    await until("a to answer", async () => (await names(to, 3))["a"] !== undefined);
    expect(performance.now() - began).toBeGreaterThan(200);
    await to.fairlead.line("the target's return", (line) => line.msg === "Target is back after its ejection" && line["target"] === backends[0]!.address);
    expect(await names(to, 30)).toEqual({ a: 10, b: 10, c: 10 });
  });

  test("lasts longer each time, up to max_ejection", async () => {
    const backends = await crew(2);
    backends[0]!.script = failing(500);
    const to = await front(backends, { base_ejection: "100ms", max_ejection: "250ms" });
    await ejected(to, backends[0]!, 4);
    expect(ejections(to).map((line) => [line["times"], line["milliseconds"]])).toEqual([[1, 100], [2, 200], [3, 250], [4, 250]]);
  });

  test("is forgotten after an interval without one", async () => {
    const backends = await crew(2);
    backends[0]!.script = failing(500);
    const to = await front(backends, { base_ejection: "100ms", interval: "150ms" });
    await ejected(to, backends[0]!);
    backends[0]!.script = named("a");
    await to.fairlead.line("the target's return", (line) => line.msg === "Target is back after its ejection");
    await sleep(400);
    backends[0]!.script = failing(500);
    await ejected(to, backends[0]!, 2);
    expect(ejections(to).map((line) => line["times"])).toEqual([1, 1]);
  });

  test("of one whose health check passes again is over when it could not be reached, and goes on when it answered badly", async () => {
    const check = { type: "tcp", interval: "50ms", timeout: "500ms", rise: 1, fall: 1 };
    const backends = await crew(3);
    const to = await front(backends, { max_ejected: "100%" }, { health_check: check });
    backends[0]!.script = resetting;
    await ejected(to, backends[0]!);
    backends[0]!.script = named("a");
    backends[1]!.script = failing(500);
    await ejected(to, backends[1]!);
    await until("a to be back", async () => (await names(to, 4))["a"] === 2);
    expect(await names(to, 8)).toEqual({ a: 4, c: 4 });
  });
});

describe("never too many", () => {
  test("are ejected: of two that fail one is kept, and the log says so", async () => {
    const backends = await crew(2);
    for (const backend of backends) backend.script = failing(500);
    const to = await front(backends, { max_ejected: "100%" });
    const client = await stage.client(to);
    const kept = await until("one that is kept", async () => {
      expect((await client.ask(get())).status).toBe(500);
      return to.fairlead.log.find(({ msg }) => msg?.includes("it is the last one"));
    });
    expect(kept).toMatchObject({ level: "warn", upstream: to.upstream, detector: "consecutive-5xx" });
    expect(ejections(to).length).toBe(1);
    const last = backends.find(({ address }) => address === kept["target"])!;
    last.clear(named("well"));
    expect(await names(to, 6)).toEqual({ well: 6 });
  });

  test("the only one is kept", async () => {
    const [only] = await crew(1);
    only!.script = resetting;
    const to = await front([only!]);
    const client = await stage.client(to);
    for (let i = 0; i < 8; i++) expect((await client.ask(get())).status).toBe(502);
    expect(ejections(to)).toEqual([]);
    only!.script = named("well");
    expect((await client.ask(get())).text).toBe("well");
  });

  for (const [share, count] of [
    ["10%", 1],
    ["50%", 2],
    ["75%", 3],
  ] as const) {
    test(`with max_ejected = ${share} of four ${count}`, async () => {
      const backends = await crew(4);
      for (const backend of backends.slice(1)) backend.script = failing(500);
      // Panic would use them all the same.
      const to = await front(backends, { max_ejected: share }, { panic_threshold: "off" });
      const client = await stage.client(to);
      await until("the ejections", async () => {
        await client.ask(get());
        return ejections(to).length >= count;
      });
      for (let i = 0; i < 40; i++) await client.ask(get());
      expect(ejections(to).length).toBe(count);
      // Those in rotation take turns.
      expect(await names(to, 36)).toEqual(count === 3 ? { a: 36 } : { a: 36 / (4 - count), bad: 36 - 36 / (4 - count) });
    });
  }
});

describe("success rates", () => {
  const RATES: TomlTable = { consecutive_5xx: 0, consecutive_gateway: 0, consecutive_local: 0, success_rate_factor: 1.9, success_rate_min_requests: 10, success_rate_min_targets: 5, interval: "300ms" };

  async function bad(count: number, detection: TomlTable = {}) {
    const backends = await crew(count);
    let odd = 0;
    const well = named("a");
    // Never two in a row.
    backends[0]!.script = (request, connection) => (odd++ % 2 === 0 ? failing(500) : well)(request, connection);
    return { backends, to: await front(backends, { ...RATES, ...detection }) };
  }

  test("eject who is far below the others", async () => {
    const { backends, to } = await bad(6);
    const client = await stage.client(to);
    await until("the ejection", async () => {
      for (let i = 0; i < 60; i++) await client.ask(get());
      return ejections(to).length > 0;
    });
    expect(ejections(to)[0]).toMatchObject({ target: backends[0]!.address, detector: "success-rate" });
    expect(await names(to, 10)).toEqual({ b: 2, c: 2, d: 2, e: 2, f: 2 });
  });

  test("say nothing about fewer targets than success_rate_min_targets", async () => {
    const { to } = await bad(4, { interval: "100ms" });
    const client = await stage.client(to);
    const end = performance.now() + 600;
    while (performance.now() < end) await client.ask(get());
    expect(ejections(to)).toEqual([]);
  });
});

describe("panic", () => {
  function panicOf(to: Arranged): Promise<LogLine> {
    return to.fairlead.line("panic", ({ msg }) => msg?.startsWith("PANIC") === true);
  }

  async function panicking(to: Arranged): Promise<readonly string[]> {
    return ((await (await fetch(`http://127.0.0.1:${to.admin}/v1/status`)).json()) as { readonly panicking: readonly string[] }).panicking;
  }

  test("below panic_threshold all are used again, ejected ones too; it is logged, and so is its end", async () => {
    const backends = await crew(4);
    for (const backend of backends.slice(1)) backend.script = failing(500);
    const to = await front(backends, { max_ejected: "100%", base_ejection: "2500ms" }, { panic_threshold: "50%" });
    const client = await stage.client(to);
    await until("three ejections", async () => {
      await client.ask(get());
      return ejections(to).length === 3;
    });
    const line = await panicOf(to);
    expect(line).toMatchObject({ level: "error", upstream: to.upstream, healthy: "1/4", threshold: "50%" });
    expect(await panicking(to)).toEqual([to.upstream]);
    for (const [at, backend] of backends.entries()) backend.script = named(letter(at));
    expect(await names(to, 20)).toEqual({ a: 5, b: 5, c: 5, d: 5 });
    await to.fairlead.line("its end", ({ msg }) => msg?.startsWith("Panic is over") === true);
    expect(await panicking(to)).toEqual([]);
  }, 10_000);

  test("at the threshold nobody panics", async () => {
    const backends = await crew(4);
    for (const backend of backends.slice(2)) backend.script = failing(500);
    const to = await front(backends, { max_ejected: "100%" }, { panic_threshold: "50%" });
    for (const backend of backends.slice(2)) await ejected(to, backend);
    expect(await names(to, 20)).toEqual({ a: 10, b: 10 });
    expect(await panicking(to)).toEqual([]);
  });

  test("with panic_threshold = off only the healthy one is used", async () => {
    const backends = await crew(4);
    for (const backend of backends.slice(1)) backend.script = failing(500);
    const to = await front(backends, { max_ejected: "100%" }, { panic_threshold: "off" });
    for (const backend of backends.slice(1)) await ejected(to, backend);
    expect(await names(to, 20)).toEqual({ a: 20 });
    expect(await panicking(to)).toEqual([]);
  });

  test("comes from health checks as well, with four targets without being asked for", async () => {
    const backends = await crew(4);
    const sick = new Set<RawBackend>();
    for (const [at, backend] of backends.entries()) {
      const well = named(letter(at));
      backend.script = (request, connection) => (request.target === "/healthz" && sick.has(backend) ? failing(503) : well)(request, connection);
    }
    const to = await arrange({
      targets: backends.map(({ address }) => ({ address })),
      upstream: { health_check: { path: "/healthz", interval: "50ms", rise: 1, fall: 1 } },
    });
    for (const backend of backends.slice(1)) sick.add(backend);
    expect(await panicOf(to)).toMatchObject({ healthy: "1/4", threshold: "50%" });
    expect(await names(to, 20)).toEqual({ a: 5, b: 5, c: 5, d: 5 });
    // And with none at all it is 503.
    sick.add(backends[0]!);
    await to.fairlead.line("nobody is healthy", (line) => line["target"] === backends[0]!.address && line["state"] === "down");
    const client = await stage.client(to);
    await until("503", async () => (await client.ask(get())).status === 503);
    sick.clear();
    await until("all to be back", async () => (await panicking(to)).length === 0 && (await client.ask(get())).status === 200);
  });

  test("does not come with three targets unless it is asked for", async () => {
    const backends = await crew(3);
    for (const backend of backends.slice(1)) backend.script = failing(500);
    const to = await front(backends, { max_ejected: "100%" });
    for (const backend of backends.slice(1)) await ejected(to, backend);
    expect(await askAll(stage, to, Array.from({ length: 9 }, () => get()))).toEqual(Array.from({ length: 9 }, () => "a"));
  });
});

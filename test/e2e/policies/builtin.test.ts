/** The policies that ship, under real traffic through two workers: who gets how much, who stays with whom, and who takes over. */
import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import type { RawBackend } from "../../support/raw-backend.ts";
import type { RawServer } from "../../support/raw-server.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import type { TomlTable } from "../../support/toml.ts";
import { answers, type Arranged, askAll, clientsOnBoth, counters, flood, get, Holding, named, rearranging, tally } from "../../support/traffic.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
const arrange = rearranging(stage);

/** Out after one failed look, back after one good one. */
const WATCHED: TomlTable = { type: "tcp", interval: "50ms", timeout: "500ms", rise: 1, fall: 1 };

/** Back ends a, b, c, … that say so. */
function crew(count: number): Promise<RawBackend[]> {
  return Promise.all(Array.from({ length: count }, (_, at) => stage.backend(named(letter(at)))));
}

/** As many that hold what they are asked. */
function holders(count: number) {
  return Promise.all(
    Array.from({ length: count }, async (_, at) => {
      const holding = new Holding(letter(at));
      return { holding, backend: await stage.backend(holding.script) };
    }),
  );
}

function letter(at: number): string {
  return String.fromCharCode(97 + at);
}

function front(backends: readonly { readonly address: string }[], upstream: TomlTable, keys: readonly TomlTable[] = [], listener: TomlTable = {}): Promise<Arranged> {
  return arrange({ targets: backends.map(({ address }, at) => ({ address, ...keys[at] })), upstream, listener });
}

/** `count` requests one by one, each from a new client and only when the one before has arrived at a back end; the clients wait for their answers. */
async function oneByOne(to: Balanced, all: readonly { readonly holding: Holding }[], count: number) {
  const clients = [];
  for (let i = 0; i < count; i++) {
    const before = total(all);
    const client = await stage.client(to);
    clients.push(client.request(get()));
    await until("the request at a back end", () => total(all) === before + 1);
  }
  return clients;
}

function total(all: readonly { readonly holding: Holding }[]): number {
  return all.reduce((sum, { holding }) => sum + holding.held.length, 0);
}

function open(all: readonly { readonly holding: Holding }[]): number[] {
  return all.map(({ holding }) => holding.held.length);
}

function about(count: number | undefined, expected: number, give: number): void {
  expect(Math.abs((count ?? 0) - expected)).toBeLessThan(give);
}

/** Taken out of rotation for all workers. */
function outOf(to: Balanced, backend: { readonly address: string }, from = 0) {
  return to.fairlead.line(`${backend.address} is out`, (line) => line["target"] === backend.address && line["state"] === "down", from);
}

describe("random", () => {
  test("gives each of 4 targets about a quarter", async () => {
    const to = await front(await crew(4), { policy: "random" });
    const counts = tally(await flood(stage, to, 10, 200));
    // 2,000 draws: 500 ± 100 is more than five standard deviations.
    for (const name of "abcd") about(counts[name], 500, 100);
  });
});

describe("weighted-random", () => {
  test("gives each target about its weight's share, and none to weight 0", async () => {
    const to = await front(await crew(3), { policy: "weighted-random" }, [{ weight: 1 }, { weight: 3 }, { weight: 0 }]);
    const counts = tally(await flood(stage, to, 10, 200));
    about(counts["a"], 500, 100);
    about(counts["b"], 1_500, 100);
    expect(counts["c"]).toBeUndefined();
  });
});

describe("round-robin with weights", () => {
  test("is exact over 2 workers", async () => {
    const to = await front(await crew(3), { policy: "round-robin" }, [{ weight: 5 }, { weight: 3 }, { weight: 2 }]);
    const clients = await clientsOnBoth(stage, to, 5);
    const names = await Promise.all(
      clients.map(async (client) => {
        const own = [];
        for (let i = 0; i < 100; i++) own.push((await client.ask(get())).text);
        return own;
      }),
    );
    expect(tally(names.flat())).toEqual({ a: 500, b: 300, c: 200 });
  });

  test("spreads the turns of the heavy one, in one order for both workers", async () => {
    const to = await front(await crew(3), { policy: "round-robin" }, [{ weight: 5 }, {}, {}]);
    let order = "";
    for (const client of await clientsOnBoth(stage, to, 14)) order += (await client.ask(get())).text;
    expect("aabacaa".repeat(5)).toContain(order);
  });

  test("gives nothing to weight 0", async () => {
    const to = await front(await crew(3), {}, [{}, { weight: 0 }, {}]);
    expect(tally(await flood(stage, to, 4, 25))).toEqual({ a: 50, c: 50 });
  });
});

describe("p2c", () => {
  test("gives idle targets about the same", async () => {
    const to = await front(await crew(4), { policy: "p2c" });
    const counts = tally(await flood(stage, to, 4, 250));
    for (const name of "abcd") about(counts[name], 250, 80);
  });

  test("leaves alone who has something to do, whichever worker gave it", async () => {
    const [a, ...others] = await crew(4);
    const holding = new Holding("a");
    a!.script = holding.script;
    const to = await front([a!, ...others], { policy: "p2c" });
    const clients = await clientsOnBoth(stage, to, 60);
    const names: string[] = [];
    for (const client of clients) {
      const held = holding.held.length;
      client.request(get());
      await until("an answer, or a's turn", () => client.reader.messages[0]?.state === "complete" || holding.held.length > held);
      const answer = client.reader.messages[0];
      if (answer !== undefined) names.push(answer.text);
    }
    // From its first turn on it is busy, and of two that are compared not the better one; but the other may not have counted its last answer yet.
    expect(a!.requests.length).toBeWithin(1, 10);
    expect(names.length).toBe(120 - a!.requests.length);
    expect(Object.keys(tally(names)).toSorted()).toEqual(["b", "c", "d"]);
    holding.release();
  });
});

describe("least-connections", () => {
  test("fills targets by weight, exactly, over 2 workers", async () => {
    const all = await holders(3);
    const to = await front(all.map(({ backend }) => backend), { policy: "least-connections" }, [{}, {}, { weight: 2 }]);
    const clients = await oneByOne(to, all, 12);
    expect(open(all)).toEqual([3, 3, 6]);
    for (const { holding } of all) holding.release();
    expect(tally((await answers(clients)).map(({ text }) => text))).toEqual({ a: 3, b: 3, c: 6 });
  });

  test("goes where something has just ended", async () => {
    const all = await holders(3);
    const to = await front(all.map(({ backend }) => backend), { policy: "least-connections" });
    const clients = await oneByOne(to, all, 6);
    expect(open(all)).toEqual([2, 2, 2]);
    all[1]!.holding.release();
    await until("two answers", () => clients.filter(({ reader }) => reader.messages[0]?.state === "complete").length === 2);
    await oneByOne(to, all, 2);
    expect(open(all)).toEqual([2, 2, 2]);
  });

  test("goes round idle targets", async () => {
    const to = await front(await crew(3), { policy: "least-connections" });
    expect(tally(await askAll(stage, to, Array.from({ length: 30 }, () => get())))).toEqual({ a: 10, b: 10, c: 10 });
  });

  test("leaves a slow one alone as long as it is busy", async () => {
    const [a, ...others] = await crew(3);
    const holding = new Holding("a");
    a!.script = holding.script;
    const to = await front([a!, ...others], { policy: "least-connections" });
    const first = await stage.client(to);
    for (let i = 0; i < 3 && a!.requests.length === 0; i++) {
      first.request(get());
      await until("an answer or a's turn", () => holding.held.length > 0 || first.reader.messages.length > i);
    }
    const names = await askAll(stage, to, Array.from({ length: 40 }, () => get()));
    expect(Object.keys(tally(names)).toSorted()).toEqual(["b", "c"]);
    holding.release();
  });
});

for (const policy of ["least-time", "peak-ewma"]) {
  describe(policy, () => {
    test("gives a slow target hardly anything", async () => {
      const [a, b] = await crew(2);
      const quick = named("a");
      a!.script = async (request, connection) => {
        // More than a busy machine lets the quick one wait.
        await sleep(250);
        await quick(request, connection);
      };
      const to = await front([a!, b!], { policy });
      const names = await flood(stage, to, 4, 50);
      expect(names.length).toBe(200);
      // One or two to find out, in either worker.
      expect(a!.requests.length).toBeGreaterThan(0);
      expect(a!.requests.length).toBeLessThan(12);
    });

    test("uses both of two targets of the same speed", async () => {
      const to = await front(await crew(2), { policy });
      const counts = tally(await flood(stage, to, 4, 100));
      // How evenly is up to luck: one answer that a busy machine delays counts for seconds.
      expect(counts["a"]).toBeGreaterThan(0);
      expect(counts["b"]).toBeGreaterThan(0);
    });
  });
}

/** Where each of 48 users goes, as two clients of each worker find it. */
async function mappings(to: Arranged, request: (user: number) => string): Promise<string[][]> {
  const clients = await clientsOnBoth(stage, to, 2);
  const all = await Promise.all(
    clients.map(async (client, at) => {
      const names: string[] = [];
      for (let i = 0; i < 48; i++) {
        // Not all in the same order.
        const user = (i + 12 * at) % 48;
        names[user] = (await client.ask(request(user))).text;
      }
      return names;
    }),
  );
  for (const client of clients) client.destroy();
  return all;
}

/** The same, which all must find. */
async function homes(to: Arranged, request: (user: number) => string): Promise<string[]> {
  const all = await mappings(to, request);
  for (const names of all) expect(names).toEqual(all[0]!);
  return all[0]!;
}

const byUser = (user: number): string => get("/", `X-User: user-${user}`);

describe("hash", () => {
  for (const method of ["ketama", "maglev", "rendezvous"]) {
    test(`(${method}) brings a user to the same target through either worker, and moves only those whose target is gone`, async () => {
      const backends = await crew(4);
      const to = await front(backends, { policy: "hash", hash_key: "header:x-user", hash_method: method, health_check: WATCHED });
      const before = await homes(to, byUser);
      // 48 users over 4: that one gets none has a chance of one in a million with a good hash, and the hash is always the same.
      expect(Object.keys(tally(before)).toSorted()).toEqual(["a", "b", "c", "d"]);
      await backends[1]!.stop();
      await outOf(to, backends[1]!);
      await until("b to be avoided", async () => !(await mappings(to, byUser)).flat().includes("b"));
      const without = await homes(to, byUser);
      const moved = before.filter((name, user) => name !== "b" && without[user] !== name).length;
      // Maglev moves a few others too; the rest move nobody.
      expect(moved).toBeLessThanOrEqual(method === "maglev" ? 4 : 0);
      expect(Object.keys(tally(without)).toSorted()).toEqual(["a", "c", "d"]);
      await backends[1]!.listen();
      await until("everybody to be home again", async () => (await mappings(to, byUser)).every((names) => names.join("") === before.join("")));
    }, 20_000);

    test(`(${method}) gives a target of three times the weight about three times the users`, async () => {
      const to = await front(await crew(2), { policy: "hash", hash_key: "header:x-user", hash_method: method }, [{ weight: 1 }, { weight: 3 }]);
      const names = await Promise.all(Array.from({ length: 8 }, (_, at) => askAll(stage, to, Array.from({ length: 100 }, (_, user) => byUser(100 * at + user)))));
      about(tally(names.flat())["b"], 600, 110);
    });
  }

  for (const [key, request] of [
    ["cookie:uid", (user) => get("/", `Cookie: theme=dark; uid=u${user}; x=y`)],
    ["query:q", (user) => get(`/search?page=${user % 3}&q=word${user}`)],
    ["path", (user) => get(`/item/${user}?n=1`)],
    ["uri", (user) => get(`/item?n=${user}`)],
  ] as const satisfies readonly (readonly [string, (user: number) => string])[]) {
    test(`goes by ${key}`, async () => {
      const to = await front(await crew(3), { policy: "hash", hash_key: key });
      expect(Object.keys(tally(await homes(to, request))).toSorted()).toEqual(["a", "b", "c"]);
    });
  }

  for (const [key, what, request] of [
    ["header:x-user", "other fields", (n) => get(`/${n}`, "X-User: me", `X-Other: ${n}`)],
    ["cookie:uid", "other cookies", (n) => get("/", `Cookie: notuid=${n}; uid=me; other=${n}`)],
    ["query:q", "other parameters", (n) => get(`/${n}?qq=${n}&q=me&n=${n}`)],
    ["path", "the query", (n) => get(`/same?n=${n}`)],
    ["uri", "fields", (n) => get("/same?n=1", `X-User: ${n}`)],
  ] as const satisfies readonly (readonly [string, string, (n: number) => string])[]) {
    test(`by ${key} does not care for ${what}`, async () => {
      const to = await front(await crew(3), { policy: "hash", hash_key: key });
      const names = await askAll(stage, to, Array.from({ length: 30 }, (_, n) => request(n)));
      expect(new Set(names).size).toBe(1);
    });
  }

  test("takes requests without the key round all targets", async () => {
    const to = await front(await crew(3), { policy: "hash", hash_key: "header:x-user" });
    expect(tally(await flood(stage, to, 3, 10))).toEqual({ a: 10, b: 10, c: 10 });
  });

  test("with bounded_load spreads a key that everybody asks for", async () => {
    const all = await holders(4);
    const to = await front(all.map(({ backend }) => backend), { policy: "hash", hash_key: "path", bounded_load: 1.25 });
    const clients = await oneByOne(to, all, 16);
    // 1.25 × 16 ÷ 4
    for (const held of open(all)) expect(held).toBeLessThanOrEqual(5);
    for (const { holding } of all) holding.release();
    expect((await answers(clients)).map(({ status }) => status)).toEqual(Array.from({ length: 16 }, () => 200));
  });
});

/** What a new connection from this address is told. */
function askFrom(to: Balanced, localAddress: string, request = get("/", "Connection: close")): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: to.port, host: "127.0.0.1", localAddress }, () => socket.write(request));
    let text = "";
    socket.once("error", reject);
    socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    socket.on("close", () => resolve(text.startsWith("HTTP/1.1 200 ") ? text.slice(text.indexOf("\r\n\r\n") + 4) : text));
  });
}

/** Where each of 30 client addresses goes. */
function homesByAddress(to: Balanced): Promise<string[]> {
  return Promise.all(Array.from({ length: 30 }, (_, at) => askFrom(to, `127.0.7.${at + 1}`)));
}

describe("ip-hash", () => {
  test("brings a client to the same target through either worker, whatever its port and what it asks for", async () => {
    const to = await front(await crew(3), { policy: "ip-hash" });
    const before = await homesByAddress(to);
    expect(Object.keys(tally(before)).toSorted()).toEqual(["a", "b", "c"]);
    for (let i = 0; i < 6; i++) expect(await homesByAddress(to)).toEqual(before);
    expect(tally(await homes(to, (n) => get(`/${n}?x=${n}`, `X-User: ${n}`)))).toEqual({ [await askFrom(to, "127.0.0.1")]: 48 });
  });

  test("does not believe an X-Forwarded-For that nobody vouches for", async () => {
    const to = await front(await crew(3), { policy: "ip-hash" });
    expect(new Set(await homes(to, (user) => get("/", `X-Forwarded-For: 10.1.${user}.7`))).size).toBe(1);
  });

  test("moves only the clients of a target that is gone, and back", async () => {
    const backends = await crew(3);
    const to = await front(backends, { policy: "ip-hash", health_check: WATCHED });
    const before = await homesByAddress(to);
    await backends[0]!.stop();
    await outOf(to, backends[0]!);
    const without = await homesByAddress(to);
    expect(before.map((name, user) => (name === "a" ? without[user] !== "a" : without[user] === name))).not.toContain(false);
    await backends[0]!.listen();
    await until("everybody to be home again", async () => (await homesByAddress(to)).join("") === before.join(""));
  }, 20_000);

  test("loses nothing while a target dies: its clients are answered by another at once", async () => {
    const backends = await crew(3);
    const to = await front(backends, { policy: "ip-hash" });
    const before = await homesByAddress(to);
    await backends[2]!.stop();
    const without = await homesByAddress(to);
    expect(without.map((name, user) => (before[user] === "c" ? name === "a" || name === "b" : name === before[user]))).not.toContain(false);
  });
});

describe("first", () => {
  test("fills one target up to max_requests before the next, over 2 workers", async () => {
    const all = await holders(3);
    const to = await front(all.map(({ backend }) => backend), { policy: "first", max_requests: 2 });
    await oneByOne(to, all, 1);
    expect(open(all)).toEqual([1, 0, 0]);
    await oneByOne(to, all, 2);
    expect(open(all)).toEqual([2, 1, 0]);
    await oneByOne(to, all, 2);
    expect(open(all)).toEqual([2, 2, 1]);
  });

  test("goes back to the first when it has room again", async () => {
    const all = await holders(2);
    const to = await front(all.map(({ backend }) => backend), { policy: "first", max_requests: 2 });
    const clients = await oneByOne(to, all, 3);
    all[0]!.holding.release();
    await until("two answers", () => clients.filter(({ reader }) => reader.messages[0]?.state === "complete").length === 2);
    await oneByOne(to, all, 1);
    expect(open(all)).toEqual([1, 1]);
  });

  test("gives everything to the first of idle targets", async () => {
    const to = await front(await crew(3), { policy: "first", max_requests: 100 });
    expect(tally(await flood(stage, to, 4, 25))).toEqual({ a: 100 });
  });

  test("respects a target's own max_requests", async () => {
    const all = await holders(2);
    const to = await front(all.map(({ backend }) => backend), { policy: "first", max_requests: 1 }, [{ max_requests: 3 }, {}]);
    await oneByOne(to, all, 4);
    expect(open(all)).toEqual([3, 1]);
  });
});

describe("single", () => {
  test("gives everything to the first target, over 2 workers", async () => {
    const to = await front(await crew(3), { policy: "single" });
    expect(tally(await flood(stage, to, 4, 25))).toEqual({ a: 100 });
  });

  test("goes to the next while the first is down, and back", async () => {
    const backends = await crew(2);
    const to = await front(backends, { policy: "single", health_check: WATCHED });
    expect(tally(await flood(stage, to, 2, 5))).toEqual({ a: 10 });
    await backends[0]!.stop();
    expect(tally(await flood(stage, to, 2, 5))).toEqual({ b: 10 });
    await outOf(to, backends[0]!);
    await backends[0]!.listen();
    await until("a to be back", async () => tally(await flood(stage, to, 2, 2))["a"] === 4);
  });
});

describe("backup targets", () => {
  test("get nothing until the primaries are down, then everything, and nothing again", async () => {
    const backends = await crew(5);
    const to = await front(backends, { health_check: WATCHED }, [{}, {}, {}, {}, { backup: true }]);
    expect(tally(await flood(stage, to, 4, 20))).toEqual({ a: 20, b: 20, c: 20, d: 20 });
    await backends[0]!.stop();
    await outOf(to, backends[0]!);
    // Three of four times 1.4 is enough for all.
    expect(tally(await flood(stage, to, 4, 15))).toEqual({ b: 20, c: 20, d: 20 });
    for (const backend of backends.slice(1, 4)) await backend.stop();
    for (const backend of backends.slice(1, 4)) await outOf(to, backend);
    expect(tally(await flood(stage, to, 4, 20))).toEqual({ e: 80 });
    for (const backend of backends.slice(0, 4)) await backend.listen();
    await until("the primaries to be back", async () => tally(await flood(stage, to, 4, 4))["e"] === undefined);
  }, 20_000);

  test("take over without a health check too: a request that the only primary refuses goes on to the backup", async () => {
    const backends = await crew(2);
    const to = await front(backends, {}, [{}, { backup: true }]);
    expect(tally(await flood(stage, to, 2, 5))).toEqual({ a: 10 });
    await backends[0]!.stop();
    expect(tally(await flood(stage, to, 2, 5))).toEqual({ b: 10 });
    expect(to.fairlead.log.filter(({ msg }) => msg === "Exchange failed")).toEqual([]);
    expect(tally(await flood(stage, to, 2, 5))).toEqual({ b: 10 });
  });
});

describe("a tcp listener", () => {
  const tcp = (backends: readonly { readonly address: string }[], upstream: TomlTable, keys: readonly TomlTable[] = []) => front(backends, upstream, keys, { protocol: "tcp" });

  async function hailing(count: number): Promise<RawServer[]> {
    return Promise.all(
      Array.from({ length: count }, (_, at) =>
        stage.server((connection) => {
          connection.write(letter(at));
          connection.socket.on("end", () => connection.end());
        }),
      ),
    );
  }

  /** The name of the server behind a new connection from this address, which stays open. */
  function hail(to: Balanced, localAddress = "127.0.0.1"): Promise<{ readonly name: string; readonly end: () => void }> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port: to.port, host: "127.0.0.1", localAddress });
      stage.atEnd(() => socket.destroy());
      socket.once("error", reject);
      socket.once("data", (chunk: Buffer) => resolve({ name: chunk.toString(), end: () => void socket.destroy() }));
    });
  }

  test("with least-connections fills targets by their open connections, over 2 workers", async () => {
    const servers = await hailing(3);
    const to = await tcp(servers, { policy: "least-connections" });
    const open = [];
    for (let i = 0; i < 12; i++) open.push(await hail(to));
    expect(tally(open.map(({ name }) => name))).toEqual({ a: 4, b: 4, c: 4 });
    for (const { name, end } of open) if (name === "c") end();
    await until("the connections at c to end", () => servers[2]!.connections.every(({ closed }) => closed));
    // Both workers have counted them out.
    await until("eight to be open", async () => (await counters(to)).open.requests === 8);
    const more = [];
    for (let i = 0; i < 3; i++) more.push((await hail(to)).name);
    expect(more).toEqual(["c", "c", "c"]);
  });

  test("with least-connections goes by weight", async () => {
    const to = await tcp(await hailing(2), { policy: "least-connections" }, [{}, { weight: 3 }]);
    const names = [];
    for (let i = 0; i < 12; i++) names.push((await hail(to)).name);
    expect(tally(names)).toEqual({ a: 3, b: 9 });
  });

  test("with ip-hash brings an address to the same target", async () => {
    const to = await tcp(await hailing(3), { policy: "ip-hash" });
    const round = (): Promise<string[]> => Promise.all(Array.from({ length: 30 }, async (_, at) => (await hail(to, `127.0.7.${at + 1}`)).name));
    const homes = await round();
    expect(Object.keys(tally(homes)).toSorted()).toEqual(["a", "b", "c"]);
    for (let i = 0; i < 4; i++) expect(await round()).toEqual(homes);
  });

  test("with ip-hash takes an address elsewhere while its target is gone", async () => {
    const servers = await hailing(3);
    const to = await tcp(servers, { policy: "ip-hash" });
    const home = (await hail(to)).name;
    await servers[home.charCodeAt(0) - 97]!.stop();
    const away = (await hail(to)).name;
    expect(away).not.toBe(home);
    expect((await hail(to)).name).toBe(away);
  });
});

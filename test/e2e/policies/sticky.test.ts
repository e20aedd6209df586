/** Sticky sessions: a signed cookie brings a client back to its target, through whichever worker, as long as that target is there. */
import { describe, expect, test } from "bun:test";
import type { Message } from "../../support/messages.ts";
import { type RawBackend, reply } from "../../support/raw-backend.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import type { TomlTable } from "../../support/toml.ts";
import { type Arrangement, arrange, askAll, clientsOnBoth, get, Holding, named, rearrange, rearranging, tally } from "../../support/traffic.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const again = rearranging(stage);
const SECRET = "0123456789abcdef0123";
const WATCHED: TomlTable = { type: "tcp", interval: "50ms", timeout: "500ms", rise: 1, fall: 1 };

/** Back ends a, b, c, … that say so. */
function crew(count: number): Promise<RawBackend[]> {
  return Promise.all(Array.from({ length: count }, (_, at) => stage.backend(named(String.fromCharCode(97 + at)))));
}

function sticky(backends: readonly RawBackend[], keys: TomlTable = {}, upstream: TomlTable = {}): Arrangement {
  return { targets: backends.map(({ address }) => ({ address })), upstream: { ...upstream, sticky: { secret: SECRET, ...keys } } };
}

async function ask(front: Balanced, request: string): Promise<Message> {
  const client = await stage.client(front);
  const answer = await client.ask(request);
  client.destroy();
  return answer;
}

/** A client's first answer, and the cookie that it got with it. */
async function visit(front: Balanced): Promise<{ readonly name: string; readonly cookie: string; readonly attributes: readonly string[] }> {
  const answer = await ask(front, get());
  const [cookie = "", ...attributes] = (answer.header("set-cookie") ?? "").split("; ");
  return { name: answer.text, cookie, attributes: attributes.toSorted() };
}

/** One visitor for each of so many targets, by name. */
async function visitors(front: Balanced, count: number): Promise<Map<string, string>> {
  const known = new Map<string, string>();
  await until("a visitor of each target", async () => {
    const { name, cookie } = await visit(front);
    known.set(name, cookie);
    return known.size === count;
  });
  return known;
}

function withCookie(cookie: string, path = "/"): string {
  return get(path, `Cookie: ${cookie}`);
}

describe("the sticky cookie", () => {
  test("has the attributes of its table", async () => {
    const front = await again(sticky(await crew(2), { cookie: "srv", path: "/app", domain: "h.test", max_age: "90m", secure: true, http_only: false, same_site: "strict" }));
    const { cookie, attributes } = await visit(front);
    expect(cookie).toMatch(/^srv=[A-Za-z0-9_-]{16,}$/);
    expect(attributes).toEqual(["Domain=h.test", "Max-Age=5400", "Path=/app", "SameSite=Strict", "Secure"]);
  });

  test("is a session cookie, hidden from scripts, when nothing is said", async () => {
    const front = await again(sticky(await crew(2)));
    const { cookie, attributes } = await visit(front);
    expect(cookie).toMatch(/^fairlead=[A-Za-z0-9_-]{16,}$/);
    expect(attributes).toEqual(["HttpOnly", "Path=/", "SameSite=Lax"]);
  });

  test("for other sites is secure", async () => {
    const front = await again(sticky(await crew(1), { same_site: "none", secure: true }));
    expect((await visit(front)).attributes).toEqual(["HttpOnly", "Path=/", "SameSite=None", "Secure"]);
  });

  test("brings each client back, through either worker", async () => {
    const front = await again(sticky(await crew(3)));
    const known = await visitors(front, 3);
    for (const client of await clientsOnBoth(stage, front, 2)) {
      for (let i = 0; i < 3; i++) for (const [name, cookie] of known) expect((await client.ask(withCookie(cookie, `/${i}`))).text).toBe(name);
    }
  });

  test("brings clients back under other policies too", async () => {
    for (const policy of ["random", "least-connections", "hash"]) {
      const front = await again(sticky(await crew(2), {}, { policy, ...(policy === "hash" ? { hash_key: "path" } : {}) }));
      const { name, cookie } = await visit(front);
      const names = await askAll(stage, front, Array.from({ length: 12 }, (_, i) => withCookie(cookie, `/${i}`)));
      expect(tally(names)).toEqual({ [name]: 12 });
    }
  });

  test("tells nobody an address, and is the same for all clients of a target", async () => {
    const backends = await crew(1);
    const front = await again(sticky(backends));
    const { cookie } = await visit(front);
    expect((await visit(front)).cookie).toBe(cookie);
    const value = cookie.slice(cookie.indexOf("=") + 1);
    for (const text of [value, Buffer.from(value, "base64url").toString("latin1")]) expect(text).not.toContain(String(backends[0]!.port));
  });

  test("is found among others, on a line of its own too", async () => {
    const front = await again(sticky(await crew(3)));
    const { name, cookie } = await visit(front);
    for (const lines of [[`Cookie: a=b; ${cookie}; c=d`], [`Cookie: a=b;${cookie}`], ["Cookie: a=b", `Cookie: ${cookie}`], [`Cookie: notfairlead=x; fairleads=y; ${cookie}`]]) {
      const names = await askAll(stage, front, [get("/", ...lines), get("/", ...lines), get("/", ...lines)]);
      expect(names).toEqual([name, name, name]);
    }
  });

  test("is not set again when the client has the right one", async () => {
    const front = await again(sticky(await crew(2)));
    const { cookie } = await visit(front);
    for (let i = 0; i < 4; i++) expect((await ask(front, withCookie(cookie))).header("set-cookie")).toBeUndefined();
  });

  test("goes beside the target's own cookies", async () => {
    const [a] = await crew(1);
    a!.script = (_, connection) => connection.write(reply(200, "a", { "Set-Cookie": "session=1; Path=/" }));
    const front = await again(sticky([a!]));
    const cookies = (await ask(front, get())).headers("set-cookie");
    expect(cookies.length).toBe(2);
    expect(cookies).toContain("session=1; Path=/");
    expect(cookies.some((cookie) => cookie.startsWith("fairlead="))).toBe(true);
  });

  test("comes with errors and empty replies of the target as well", async () => {
    const [a] = await crew(1);
    const front = await again(sticky([a!]));
    for (const status of [204, 304, 404, 500]) {
      a!.script = (_, connection) => connection.write(`HTTP/1.1 ${status} X\r\n${status >= 400 ? "Content-Length: 0\r\n" : ""}\r\n`);
      const answer = await ask(front, get());
      expect([answer.status, answer.headers("set-cookie").length]).toEqual([status, 1]);
    }
  });

  test("is not set by an answer of our own", async () => {
    const [a] = await crew(1);
    const front = await again(sticky([a!], {}, { outlier_detection: false }));
    await a!.stop();
    const answer = await ask(front, get());
    expect([answer.status, answer.header("set-cookie")]).toEqual([502, undefined]);
  });
});

describe("a forged cookie", () => {
  test("is no more than none, and the right one is set", async () => {
    const backends = await crew(2);
    const front = await again(sticky(backends));
    const known = await visitors(front, 2);
    const [right] = [...known.values()];
    const value = right!.slice("fairlead=".length);
    const other = value.startsWith("A") ? `B${value.slice(1)}` : `A${value.slice(1)}`;
    for (const forged of ["", "x", other, value.slice(1), `${value}A`, value.toUpperCase() === value ? value.toLowerCase() : value.toUpperCase(), `127.0.0.1:${backends[0]!.port}`, "__proto__", "A".repeat(4_000)]) {
      const answers = [await ask(front, withCookie(`fairlead=${forged}`)), await ask(front, withCookie(`fairlead=${forged}`))];
      // Round robin, as for anybody.
      expect(answers.map(({ text }) => text).toSorted()).toEqual(["a", "b"]);
      for (const answer of answers) expect(answer.header("set-cookie")).toStartWith(`${known.get(answer.text)!};`);
    }
  });

  test("of another secret or another upstream is ignored", async () => {
    const backends = await crew(2);
    const here = await arrange(stage, sticky(backends));
    const elsewhere = await arrange(stage, sticky(backends, { secret: "another-secret-of-ours" }));
    const [mine, theirs] = [await visitors(here, 2), await visitors(elsewhere, 2)];
    for (const [name, cookie] of theirs) {
      expect(cookie).not.toBe(mine.get(name));
      const names = await askAll(stage, here, Array.from({ length: 4 }, () => withCookie(cookie)));
      expect(tally(names)).toEqual({ a: 2, b: 2 });
    }
  });

  test("of a node with the same secret is no forged one", async () => {
    const backends = await crew(3);
    const [one, other] = [await arrange(stage, sticky(backends)), await arrange(stage, sticky(backends.toReversed()))];
    for (const [name, cookie] of await visitors(one, 3)) expect(await askAll(stage, other, [withCookie(cookie), withCookie(cookie)])).toEqual([name, name]);
  });
});

describe("when the target dies", () => {
  test("its clients are answered by another at once, and get its cookie", async () => {
    const backends = await crew(3);
    const front = await again(sticky(backends));
    const known = await visitors(front, 3);
    await backends[0]!.stop();
    const answer = await ask(front, withCookie(known.get("a")!));
    expect(["b", "c"]).toContain(answer.text);
    expect(answer.header("set-cookie")).toStartWith(`${known.get(answer.text)!};`);
    // The new one holds from now on.
    expect(new Set(await askAll(stage, front, Array.from({ length: 4 }, () => withCookie(known.get(answer.text)!))))).toEqual(new Set([answer.text]));
  });

  test("and comes back, those who still have its cookie come back too", async () => {
    const backends = await crew(2);
    const front = await again(sticky(backends, {}, { health_check: WATCHED }));
    const known = await visitors(front, 2);
    await backends[0]!.stop();
    await front.fairlead.line("a is down", (line) => line["target"] === backends[0]!.address && line["state"] === "down");
    expect(await askAll(stage, front, Array.from({ length: 4 }, () => withCookie(known.get("a")!)))).toEqual(["b", "b", "b", "b"]);
    await backends[0]!.listen();
    await until("a to answer again", async () => (await ask(front, withCookie(known.get("a")!))).text === "a");
    expect(await askAll(stage, front, Array.from({ length: 4 }, () => withCookie(known.get("a")!)))).toEqual(["a", "a", "a", "a"]);
  });

  test("nobody else's clients move", async () => {
    const backends = await crew(3);
    const front = await again(sticky(backends, {}, { health_check: WATCHED }));
    const known = await visitors(front, 3);
    await backends[0]!.stop();
    await front.fairlead.line("a is down", (line) => line["target"] === backends[0]!.address && line["state"] === "down");
    for (const name of ["b", "c"]) expect(tally(await askAll(stage, front, Array.from({ length: 5 }, () => withCookie(known.get(name)!))))).toEqual({ [name]: 5 });
  });
});

describe("when the target is full", () => {
  test("its clients go to another instead of waiting", async () => {
    const [a, b] = await crew(2);
    const front = await again(sticky([a!, b!], {}, { max_requests: 1 }));
    const known = await visitors(front, 2);
    const holding = new Holding("a");
    a!.script = holding.script;
    const waiting = await stage.client(front);
    waiting.request(withCookie(known.get("a")!));
    await until("a to be busy", () => holding.held.length === 1);
    expect((await ask(front, withCookie(known.get("a")!))).text).toBe("b");
    holding.release();
    expect((await waiting.finalReply()).text).toBe("a");
  });
});

describe("over a reload", () => {
  test("cookies stay good, with a secret", async () => {
    const backends = await crew(3);
    const front = await again(sticky(backends));
    const known = await visitors(front, 3);
    await rearrange(front, sticky([...(await crew(1)), ...backends.toReversed()]));
    for (const [name, cookie] of known) {
      const answers = [await ask(front, withCookie(cookie)), await ask(front, withCookie(cookie))];
      expect(answers.map(({ text }) => text)).toEqual([name, name]);
      expect(answers.map((answer) => answer.header("set-cookie"))).toEqual([undefined, undefined]);
    }
  });

  test("cookies stay good without a secret of the file's too", async () => {
    const backends = await crew(2);
    const front = await again(sticky(backends, { secret: undefined }));
    const known = await visitors(front, 2);
    await rearrange(front, sticky(backends.toReversed(), { secret: undefined }));
    for (const [name, cookie] of known) expect(await askAll(stage, front, [withCookie(cookie), withCookie(cookie)])).toEqual([name, name]);
  });

  test("that changes the secret, cookies are given anew", async () => {
    const backends = await crew(2);
    const front = await again(sticky(backends));
    const known = await visitors(front, 2);
    await rearrange(front, sticky(backends, { secret: "another-secret-of-ours" }));
    const [first] = [...known.values()];
    const answer = await ask(front, withCookie(first!));
    expect(answer.header("set-cookie")).toBeDefined();
    expect(await askAll(stage, front, [first!, first!, first!, first!].map((cookie) => withCookie(cookie))).then(tally)).toEqual({ a: 2, b: 2 });
  });

  test("that takes the table away, cookies mean nothing", async () => {
    const backends = await crew(2);
    const front = await again(sticky(backends));
    const known = await visitors(front, 2);
    await rearrange(front, { targets: backends.map(({ address }) => ({ address })) });
    const answer = await ask(front, withCookie(known.get("a")!));
    expect(answer.header("set-cookie")).toBeUndefined();
    expect(tally(await askAll(stage, front, Array.from({ length: 6 }, () => withCookie(known.get("a")!))))).toEqual({ a: 3, b: 3 });
  });
});

describe("drain = true", () => {
  function draining(backends: readonly RawBackend[], keys: TomlTable = {}, upstream: TomlTable = {}): Arrangement {
    const arrangement = sticky(backends, keys, upstream);
    return { ...arrangement, targets: arrangement.targets.map((target, at) => (at === 0 ? { ...target, drain: true } : target)) };
  }

  test("keeps new clients away; sticky ones stay", async () => {
    const backends = await crew(3);
    const front = await again(sticky(backends));
    const known = await visitors(front, 3);
    await rearrange(front, draining(backends));
    expect(tally(await askAll(stage, front, Array.from({ length: 12 }, () => get())))).toEqual({ b: 6, c: 6 });
    for (const client of await clientsOnBoth(stage, front, 1)) {
      for (const [name, cookie] of known) {
        const answer = await client.ask(withCookie(cookie));
        expect([answer.text, answer.header("set-cookie")]).toEqual([name, undefined]);
      }
    }
  });

  test("lets sticky clients stay until drain_timeout, then they move", async () => {
    const backends = await crew(2);
    const front = await again(sticky(backends, {}, { drain_timeout: "700ms" }));
    const known = await visitors(front, 2);
    await rearrange(front, draining(backends, {}, { drain_timeout: "700ms" }));
    expect((await ask(front, withCookie(known.get("a")!))).text).toBe("a");
    const moved = await until("a's client to move", async () => {
      const answer = await ask(front, withCookie(known.get("a")!));
      return answer.text === "b" ? answer : undefined;
    });
    expect(moved.header("set-cookie")).toStartWith(`${known.get("b")!};`);
  });

  test("moves sticky clients at once with while_draining = move", async () => {
    const backends = await crew(2);
    const front = await again(sticky(backends, { while_draining: "move" }));
    const known = await visitors(front, 2);
    await rearrange(front, draining(backends, { while_draining: "move" }));
    const answer = await ask(front, withCookie(known.get("a")!));
    expect(answer.text).toBe("b");
    expect(answer.header("set-cookie")).toStartWith(`${known.get("b")!};`);
  });

  test("taken back brings new clients again", async () => {
    const backends = await crew(2);
    const front = await again(sticky(backends));
    await rearrange(front, draining(backends));
    expect(tally(await askAll(stage, front, Array.from({ length: 6 }, () => get())))).toEqual({ b: 6 });
    await rearrange(front, sticky(backends));
    expect(tally(await askAll(stage, front, Array.from({ length: 6 }, () => get())))).toEqual({ a: 3, b: 3 });
  });

  test("on a target that dies lets its clients go", async () => {
    const backends = await crew(2);
    const front = await again(sticky(backends));
    const known = await visitors(front, 2);
    await rearrange(front, draining(backends));
    await backends[0]!.stop();
    expect(await askAll(stage, front, Array.from({ length: 10 }, () => withCookie(known.get("a")!)))).toEqual(Array.from({ length: 10 }, () => "b"));
  });
});

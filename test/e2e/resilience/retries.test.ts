/** Further attempts: what is tried again and what is not, where, with which bytes, and how many at most. */
import { describe, expect, test } from "bun:test";
import { freePort } from "../../support/ports.ts";
import { type BackendConnection, type RawBackend, reply, type Script } from "../../support/raw-backend.ts";
import type { RawClient } from "../../support/raw-client.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import type { TomlTable } from "../../support/toml.ts";
import { answers, type Arranged, clientsOnBoth, get, Holding, named, rearranging } from "../../support/traffic.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const arrange = rearranging(stage);

/** Refuses with a status, once the request is whole. */
function refusing(status: number, body = "busy"): Script {
  return async (request, connection) => {
    if (await request.ended) connection.write(reply(status, request.method === "HEAD" ? "" : body));
  };
}

/** Takes the request, whole, and resets the connection. */
const resetting: Script = async (request, connection) => {
  await request.ended;
  connection.reset();
};

/** Takes the request and says nothing. */
const silent: Script = () => {};

/** Without pauses, and without anybody being ejected in the middle of a test. */
function front(backends: readonly { readonly address: string }[], upstream: TomlTable = {}): Promise<Arranged> {
  return arrange({ targets: backends.map(({ address }) => ({ address })), upstream: { retry_backoff: "off", outlier_detection: false, ...upstream } });
}

function request(method: string, path: string, body = ""): string {
  const length = method === "GET" || method === "HEAD" || method === "DELETE" || method === "OPTIONS" ? "" : `Content-Length: ${body.length}\r\n`;
  return `${method} ${path} HTTP/1.1\r\nHost: h.test\r\n${length}\r\n${body}`;
}

/** The status of each of `count` requests, one after another, with a path of its own. */
async function statuses(to: Balanced, count: number, method = "GET"): Promise<number[]> {
  const client = await stage.client(to);
  const all = [];
  for (let i = 0; i < count; i++) all.push((await client.ask(request(method, `/${i}`))).status);
  client.destroy();
  return all;
}

function paths(backend: RawBackend): string[] {
  return backend.requests.map(({ target }) => target);
}

function some<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value);
}

describe("retry_on with a status", () => {
  test("tries the request on another target, and the client sees nothing of it", async () => {
    const [bad, good] = [await stage.backend(refusing(503)), await stage.backend(named("good"))];
    const to = await front([bad, good], { retry_on: [503] });
    const client = await stage.client(to);
    for (let i = 0; i < 20; i++) {
      const answer = await client.ask(request("GET", `/${i}`));
      expect([answer.status, answer.text]).toEqual([200, "good"]);
    }
    expect(bad.requests.length).toBe(10);
    expect(good.requests.length).toBe(20);
  });

  test("does so for HEAD, OPTIONS, PUT and DELETE", async () => {
    const [bad, good] = [await stage.backend(refusing(503)), await stage.backend(refusing(200, ""))];
    const to = await front([bad, good], { retry_on: [503] });
    for (const [done, method] of ["HEAD", "OPTIONS", "PUT", "DELETE"].entries()) {
      expect(await statuses(to, 4, method)).toEqual(some(4, 200));
      expect(bad.requests.length).toBe(2 * (done + 1));
    }
  });

  for (const method of ["POST", "PATCH"]) {
    test(`does not for ${method}: the client gets the status and the body`, async () => {
      const bad = await stage.backend(refusing(503, "busy, come back"));
      const good = await stage.backend();
      const client = await stage.client(await front([bad, good], { retry_on: [503] }));
      const seen = [];
      for (let i = 0; i < 6; i++) {
        const answer = await client.ask(request(method, `/${i}`, "data"));
        seen.push(answer.status);
        if (answer.status === 503) expect(answer.text).toBe("busy, come back");
      }
      expect(seen.toSorted()).toEqual([200, 200, 200, 503, 503, 503]);
      expect(good.requests.length).toBe(3);
    });
  }

  test("leaves other statuses alone", async () => {
    const bad = await stage.backend(refusing(500));
    expect((await statuses(await front([bad, await stage.backend()], { retry_on: [503, 429] }), 6)).toSorted()).toEqual([200, 200, 200, 500, 500, 500]);
  });

  test("takes any status that is named", async () => {
    const bad = await stage.backend(refusing(429));
    expect(await statuses(await front([bad, await stage.backend()], { retry_on: [503, 429] }), 6)).toEqual(some(6, 200));
  });

  test("passes the last answer on when all targets give it", async () => {
    const backends = [await stage.backend(refusing(503, "first")), await stage.backend(refusing(503, "second"))];
    const to = await front(backends, { retry_on: [503] });
    const client = await stage.client(to);
    for (let i = 0; i < 4; i++) {
      const answer = await client.ask(request("GET", `/${i}`));
      expect(answer.status).toBe(503);
      expect(["first", "second"]).toContain(answer.text);
    }
    expect(backends.map(paths)).toEqual(some(2, ["/0", "/1", "/2", "/3"]));
  });

  test("names only what it names: a refused connect is then an answer", async () => {
    const to = await front([{ address: `127.0.0.1:${await freePort()}` }, await stage.backend()], { retry_on: [503] });
    expect((await statuses(to, 4)).toSorted()).toEqual([200, 200, 502, 502]);
  });

  test("drops a large answer of the refusing target without waiting for its end", async () => {
    const bad = await stage.backend(async (request, connection) => {
      if (await request.ended) connection.write("HTTP/1.1 503 X\r\nContent-Length: 1000000\r\n\r\nonly the beginning");
    });
    const to = await front([bad, await stage.backend()], { retry_on: [503] });
    expect(await statuses(to, 6)).toEqual(some(6, 200));
    for (const connection of bad.connections) await connection.untilPeerEnds();
  });
});

describe("a connection that ends before the reply", () => {
  test("is made good for GET, HEAD, OPTIONS, PUT and DELETE by another target", async () => {
    const [bad, good] = [await stage.backend(resetting), await stage.backend(refusing(200, ""))];
    const to = await front([bad, good]);
    for (const [done, method] of ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].entries()) {
      expect(await statuses(to, 6, method)).toEqual(some(6, 200));
      expect([bad.requests.length, good.requests.length]).toEqual([3 * (done + 1), 6 * (done + 1)]);
    }
  });

  for (const method of ["POST", "PATCH"]) {
    test(`is 502 for ${method}: its bytes were sent, and no other target sees them`, async () => {
      const [bad, good] = [await stage.backend(resetting), await stage.backend(refusing(200, ""))];
      expect((await statuses(await front([bad, good]), 6, method)).toSorted()).toEqual([200, 200, 200, 502, 502, 502]);
      expect([bad.requests.length, good.requests.length]).toEqual([3, 3]);
      expect(paths(bad).filter((path) => paths(good).includes(path))).toEqual([]);
    });
  }

  test("is 502 when the target had begun to answer", async () => {
    const bad = await stage.backend((_, connection) => connection.end("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"));
    const good = await stage.backend();
    const to = await front([bad, good]);
    for (let i = 0; i < 4; i++) {
      const client = await stage.client(to);
      client.request(get(`/${i}`));
      const head = await client.nextHead();
      expect(head.status).toBe(200);
      expect(await head.ended).toBe(paths(good).includes(`/${i}`));
    }
    expect(paths(bad).filter((path) => paths(good).includes(path))).toEqual([]);
  });
});

describe("a connect that is refused", () => {
  test("is made good for POST too: nothing was sent", async () => {
    const good = await stage.backend(refusing(200, ""));
    const to = await front([{ address: `127.0.0.1:${await freePort()}` }, good]);
    expect(await statuses(to, 6, "POST")).toEqual(some(6, 200));
    expect(paths(good)).toEqual(["/0", "/1", "/2", "/3", "/4", "/5"]);
  });

  test("is passed over as often as it takes, though retries = 1", async () => {
    const refused = await Promise.all(Array.from({ length: 5 }, async () => ({ address: `127.0.0.1:${await freePort()}` })));
    expect(await statuses(await front([...refused, await stage.backend()], { retries: 1 }), 12)).toEqual(some(12, 200));
  });
});

describe("a body", () => {
  const BODY = Array.from({ length: 4_000 }, (_, i) => `line ${i}\n`).join("");
  const PARTS = Array.from({ length: 5 }, (_, i) => BODY.slice((i * BODY.length) / 5, ((i + 1) * BODY.length) / 5));

  /** One that spoils its request and one that takes it, in the order in which the first request meets them. */
  async function pair(spoil: Script, upstream: TomlTable = {}) {
    const seen: { readonly connection: BackendConnection; readonly backend: RawBackend }[] = [];
    const backends = await stage.backends(2);
    for (const backend of backends) {
      backend.script = async (request, connection) => {
        seen.push({ connection, backend });
        if (seen.length === 1) await spoil(request, connection);
        else if (await request.ended) connection.write(reply(200, "taken"));
      };
    }
    const to = await front(backends, upstream);
    return { client: await stage.client(to), seen, backends };
  }

  /** The head; then, when a target has it, the body bit by bit. */
  async function put(client: RawClient, seen: readonly unknown[], parts: readonly string[], head = `Content-Length: ${BODY.length}`): Promise<void> {
    client.request(`PUT /file HTTP/1.1\r\nHost: h.test\r\n${head}\r\n\r\n`);
    await until("the head at a target", () => seen.length > 0);
    await client.segments(parts);
  }

  for (const [how, spoil, upstream] of [
    ["resets", resetting, {}],
    ["answers 503", refusing(503), { retry_on: [503] }],
    ["closes", async (request, connection) => void ((await request.ended) && connection.end()), {}],
  ] as const satisfies readonly (readonly [string, Script, TomlTable])[]) {
    test(`of PUT that came in parts is sent again whole when the target ${how}`, async () => {
      const { client, seen, backends } = await pair(spoil, upstream);
      await put(client, seen, PARTS);
      expect((await client.finalReply()).text).toBe("taken");
      expect(seen.length).toBe(2);
      expect(seen[0]!.backend).not.toBe(seen[1]!.backend);
      for (const backend of backends) expect([backend.requests[0]!.text === BODY, backend.malformed]).toEqual([true, []]);
    });

    test(`of PUT in chunks is sent again whole when the target ${how}`, async () => {
      const { client, seen, backends } = await pair(spoil, upstream);
      await put(client, seen, [...PARTS.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`), "0\r\nX-Sum: 42\r\n\r\n"], "Transfer-Encoding: chunked\r\nTrailer: X-Sum");
      expect((await client.finalReply()).text).toBe("taken");
      for (const backend of backends) expect([backend.requests[0]!.text === BODY, backend.malformed]).toEqual([true, []]);
      expect(seen.length).toBe(2);
    });
  }

  test("of PUT goes on to another target when the first one resets half-way", async () => {
    const { client, seen } = await pair((_, connection) => connection.reset());
    client.request(`PUT /file HTTP/1.1\r\nHost: h.test\r\nContent-Length: ${BODY.length}\r\n\r\n${PARTS[0]!}`);
    await until("another attempt", () => seen.length === 2);
    await client.segments(PARTS.slice(1));
    expect((await client.finalReply()).text).toBe("taken");
    expect(seen[1]!.backend.requests.at(-1)!.text === BODY).toBe(true);
  });

  test("that came with its head is sent again whole", async () => {
    const { client, seen } = await pair(resetting);
    expect((await client.ask(request("PUT", "/file", BODY.slice(0, 5_000)))).text).toBe("taken");
    expect(seen[1]!.backend.requests[0]!.text).toBe(BODY.slice(0, 5_000));
  });

  test("followed by another request is sent again without it", async () => {
    const { client, seen } = await pair(resetting);
    client.request(request("PUT", "/first", "12345")).request(get("/second"));
    expect((await client.finalReply()).text).toBe("taken");
    expect((await client.finalReply()).text).toBe("taken");
    expect(seen.length).toBe(3);
    expect(seen[1]!.backend.requests[0]!.text).toBe("12345");
  });

  for (const [what, upstream] of [
    ["larger than retry_buffer", { retry_buffer: "16KiB" }],
    ["with retry_buffer = off", { retry_buffer: "off" }],
  ] as const) {
    test(`${what} is not sent again: 502`, async () => {
      const { client, seen } = await pair(resetting, upstream);
      await put(client, seen, PARTS);
      expect((await client.finalReply()).status).toBe(502);
      expect(seen.length).toBe(1);
    });

    test(`${what} is not sent again on a status: the client gets it`, async () => {
      const { client, seen } = await pair(refusing(503), { ...upstream, retry_on: [503] });
      await put(client, seen, PARTS);
      expect((await client.finalReply()).status).toBe(503);
      expect(seen.length).toBe(1);
    });
  }

  test("just below retry_buffer is sent again", async () => {
    const { client, seen } = await pair(resetting, { retry_buffer: BODY.length });
    await put(client, seen, PARTS);
    expect((await client.finalReply()).text).toBe("taken");
    expect(seen[1]!.backend.requests[0]!.text === BODY).toBe(true);
  });
});

describe("another attempt goes to another target", () => {
  for (const policy of ["round-robin", "random", "weighted-random", "p2c", "least-connections", "peak-ewma", "hash", "first", "single"]) {
    test(`with ${policy}`, async () => {
      const backends = [await stage.backend(refusing(503)), await stage.backend(refusing(503)), await stage.backend(refusing(503)), await stage.backend(named("good"))];
      const to = await front(backends, { policy, retries: 3, retry_on: [503] });
      expect(await statuses(to, 24)).toEqual(some(24, 200));
      for (const backend of backends) expect(new Set(paths(backend)).size).toBe(backend.requests.length);
    });
  }

  test("and to the same one again only when all others were tried", async () => {
    const backends = [await stage.backend(refusing(503)), await stage.backend(refusing(503))];
    expect(await statuses(await front(backends, { retries: 3, retry_on: [503] }), 5)).toEqual(some(5, 503));
    for (const backend of backends) expect(paths(backend)).toEqual(["/0", "/0", "/1", "/1", "/2", "/2", "/3", "/3", "/4", "/4"]);
  });

  test("or to the only one there is, after a pause", async () => {
    let count = 0;
    const only = await stage.backend((request, connection) => (count++ === 0 ? resetting(request, connection) : named("at last")(request, connection)));
    const to = await front([only], { retry_backoff: "20ms" });
    expect(await statuses(to, 1)).toEqual([200]);
    expect(paths(only)).toEqual(["/0", "/0"]);
  });
});

describe("timeouts.attempt", () => {
  test("moves a request on from a target that does not answer", async () => {
    const [slow, good] = [await stage.backend(silent), await stage.backend()];
    const to = await front([slow, good], { timeouts: { attempt: "100ms" } });
    const began = performance.now();
    expect(await statuses(to, 4)).toEqual(some(4, 200));
    const took = performance.now() - began;
    expect(slow.requests.length).toBe(2);
    expect(took).toBeGreaterThan(195);
    expect(took).toBeLessThan(2_000);
    for (const connection of slow.connections) await connection.untilPeerEnds();
  });

  test("is 504 when all attempts were in vain", async () => {
    const backends = await stage.backends(3, silent);
    expect(await statuses(await front(backends, { retries: 2, timeouts: { attempt: "80ms" } }), 1)).toEqual([504]);
    expect(backends.map(paths)).toEqual([["/0"], ["/0"], ["/0"]]);
  });

  test("never sends POST twice", async () => {
    const backends = await stage.backends(2, silent);
    expect(await statuses(await front(backends, { timeouts: { attempt: "80ms", response: "400ms" } }), 1, "POST")).toEqual([504]);
    expect(backends.flatMap(paths)).toEqual(["/0"]);
  });

  test("does not cut off a reply that has begun", async () => {
    let finish: (() => void) | undefined;
    const backend = await stage.backend((_, connection) => {
      connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
      finish = () => connection.write("final");
    });
    const client = await stage.client(await front([backend, backend].slice(0, 1), { timeouts: { attempt: "80ms" } }));
    client.request(get());
    await client.nextHead();
    await new Promise((resolve) => setTimeout(resolve, 250));
    finish!();
    await client.untilText("firstfinal");
    expect(backend.requests.length).toBe(1);
  });

  test("without it a slow target has all of timeouts.response, and then it is 504 at once", async () => {
    const backends = await stage.backends(2, silent);
    expect(await statuses(await front(backends, { timeouts: { response: "150ms" } }), 1)).toEqual([504]);
    expect(backends.flatMap(paths)).toEqual(["/0"]);
  });
});

describe("the retry budget", () => {
  /** Both hold what they are asked until the test lets them answer as it says. */
  async function held(upstream: TomlTable, count: number) {
    const waiting: BackendConnection[] = [];
    const backends = await stage.backends(2, async (request, connection) => {
      if (await request.ended) waiting.push(connection);
    });
    const to = await front(backends, { retry_on: [503], ...upstream });
    const clients = (await clientsOnBoth(stage, to, count / 2)).map((client) => client.request(get()));
    await until("all requests at the targets", () => waiting.length === count);
    const answerAll = (status: number): void => {
      for (const connection of waiting.splice(0)) connection.write(reply(status, "x"));
    };
    return { to, clients, waiting, answerAll };
  }

  function replied(clients: readonly RawClient[]): number {
    return clients.filter(({ reader }) => reader.messages.length > 0).length;
  }

  test("lets retry_budget_min through at a time, over both workers, and the others get the failure", async () => {
    const { clients, waiting, answerAll } = await held({ retry_budget: "off", retry_budget_min: 2 }, 12);
    answerAll(503);
    await until("ten refusals and two retries", () => replied(clients) === 10 && waiting.length === 2);
    answerAll(200);
    expect((await answers(clients)).map(({ status }) => status).toSorted()).toEqual([200, 200, ...some(10, 503)]);
  });

  test("gives places back when the retried requests are over", async () => {
    const { to, clients, waiting, answerAll } = await held({ retry_budget: "off", retry_budget_min: 1 }, 2);
    for (let round = 0; round < 3; round++) {
      answerAll(503);
      // The other worker may still be reading its 503: it must find the budget used up.
      await until("one retry, and one answer", () => waiting.length === 1 && clients.reduce((sum, { reader }) => sum + reader.messages.length, 0) === 2 * round + 1);
      answerAll(200);
      expect((await answers(clients)).map(({ status }) => status).toSorted()).toEqual([200, 503]);
      for (const client of clients) client.request(get(`/${round}`));
      await until("both again", () => waiting.length === 2);
    }
    answerAll(200);
    await answers(clients);
    expect(to.fairlead.ended).toBeUndefined();
  });

  test("gives places back when the client of a retried request leaves", async () => {
    const { clients, waiting, answerAll } = await held({ retry_budget: "off", retry_budget_min: 1 }, 2);
    answerAll(503);
    await until("one retry", () => waiting.length === 1 && replied(clients) === 1);
    const gone = clients.find(({ reader }) => reader.messages.length === 0);
    const left = clients.find((client) => client !== gone);
    await left!.finalReply();
    gone!.destroy();
    await waiting[0]!.untilPeerEnds();
    waiting.length = 0;
    left!.request(get("/again"));
    await until("the request", () => waiting.length === 1);
    answerAll(503);
    await until("its retry", () => waiting.length === 1);
    answerAll(200);
    expect((await left!.finalReply()).status).toBe(200);
  });

  test("of 20 % lets a fifth of the open requests be retries", async () => {
    const { clients, waiting, answerAll } = await held({ retry_budget: "20%", retry_budget_min: 1 }, 40);
    answerAll(503);
    await until("everybody to be answered or tried again", () => replied(clients) + waiting.length === 40);
    // 8 of 40; somewhat fewer, because what failed is open no more.
    expect(waiting.length).toBeGreaterThanOrEqual(3);
    expect(waiting.length).toBeLessThanOrEqual(8);
    answerAll(200);
    await answers(clients);
  });

  test("holds when everything fails: a target sees little more than what was asked for", async () => {
    const backends = await stage.backends(2, refusing(503));
    const to = await front(backends, { retry_on: [503], retries: 5, retry_budget_min: 0, retry_budget: "10%" });
    const clients = await clientsOnBoth(stage, to, 5);
    await Promise.all(clients.map(async (client) => {
      for (let i = 0; i < 20; i++) expect((await client.ask(get(`/${i}`))).status).toBe(503);
    }));
    const seen = backends.reduce((sum, { requests }) => sum + requests.length, 0);
    expect(seen).toBeGreaterThanOrEqual(200);
    // Without a budget it would be 1,200. One exchange of ten may be on its fifth retry all the time.
    expect(seen).toBeLessThan(500);
  });

  test("does not count refused connects", async () => {
    const holding = new Holding("good");
    const to = await front([{ address: `127.0.0.1:${await freePort()}` }, await stage.backend(holding.script)], { retry_budget: "off", retry_budget_min: 0 });
    const clients = (await clientsOnBoth(stage, to, 5)).map((client) => client.request(get()));
    await until("all at the good one", () => holding.held.length === 10);
    holding.release();
    expect((await answers(clients)).map(({ status }) => status)).toEqual(some(10, 200));
  });
});

describe("a target that dies", () => {
  /** Its process is about to go: connections end, and its listening socket lets others in for a moment, whose requests it resets. */
  const dying = { now: false };
  const mortal: Script = async (request, connection) => {
    if (!(await request.ended)) return;
    if (dying.now) connection.reset();
    else connection.write(reply(200, "alive"));
  };

  async function dies(method: string, how: TomlTable = {}): Promise<number[]> {
    dying.now = false;
    const [first, second] = [await stage.backend(mortal), await stage.backend()];
    const to = await front([first, second], { policy: "first", retry_budget: "off", retry_budget_min: 0, ...how });
    const clients = await Promise.all(Array.from({ length: 8 }, () => stage.client(to)));
    for (const client of clients) client.request(get());
    await answers(clients);
    dying.now = true;
    for (const client of clients) client.request(request(method, "/"));
    return (await answers(clients)).map(({ status }) => status);
  }

  test("fails no GET, though the budget lets nothing through: neither its pooled connections nor the last ones that it lets in count", async () => {
    expect(await dies("GET")).toEqual(some(8, 200));
  });

  test("fails POSTs that it may have done", async () => {
    expect(await dies("POST")).toEqual(some(8, 502));
  });

  test("is given up once: a second one that resets is within the budget", async () => {
    dying.now = false;
    const backends = [await stage.backend(mortal), await stage.backend(resetting), await stage.backend()];
    const to = await front(backends, { policy: "first", retries: 5, retry_budget: "off", retry_budget_min: 0 });
    const client = await stage.client(to);
    expect((await client.ask(get())).status).toBe(200);
    dying.now = true;
    expect((await client.ask(get())).status).toBe(502);
    expect(backends[2]!.requests).toEqual([]);
  });
});

describe("retries = 0", () => {
  test("makes a refused connect an answer", async () => {
    const to = await front([{ address: `127.0.0.1:${await freePort()}` }, await stage.backend()], { retries: 0 });
    expect((await statuses(to, 6)).toSorted()).toEqual([200, 200, 200, 502, 502, 502]);
  });

  test("makes a reset an answer", async () => {
    const [bad, good] = [await stage.backend(resetting), await stage.backend()];
    expect((await statuses(await front([bad, good], { retries: 0 }), 6)).toSorted()).toEqual([200, 200, 200, 502, 502, 502]);
    expect(good.requests.length).toBe(3);
  });

  test("makes a named status an answer", async () => {
    const to = await front([await stage.backend(refusing(503)), await stage.backend()], { retries: 0, retry_on: [503] });
    expect((await statuses(to, 6)).toSorted()).toEqual([200, 200, 200, 503, 503, 503]);
  });

  test("makes an attempt's timeout an answer", async () => {
    const to = await front([await stage.backend(silent), await stage.backend()], { retries: 0, timeouts: { attempt: "80ms" } });
    expect((await statuses(to, 4)).toSorted()).toEqual([200, 200, 504, 504]);
  });
});

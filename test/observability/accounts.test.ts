/** What the data plane tells of exchanges that have ended: bytes, phases, tries, candidates, route; whatever protocol. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Account, Witness } from "../../src/observability/account.ts";
import { Flag } from "../../src/scoreboard/scoreboard.ts";
import { asks } from "../conformance/h2/cases.ts";
import { endings } from "../support/endings.ts";
import { data, headers } from "../support/h2-frames.ts";
import { H2Client } from "../support/h2.ts";
import { H2Target } from "../support/h2-target.ts";
import { Plane } from "../support/plane.ts";
import { freePort } from "../support/ports.ts";
import { alwaysAndEnd, RawBackend, reply, sayWhich, type Script } from "../support/raw-backend.ts";
import { RawClient } from "../support/raw-client.ts";
import { Recorder } from "../support/recorder.ts";
import { until } from "../support/until.ts";
import { UdpClient, UdpServer } from "../support/udp.ts";

const open = endings(afterEach);

async function backend(script?: Script): Promise<RawBackend> {
  const started = await RawBackend.start(script);
  open.push(() => started.stop());
  return started;
}

/** @param upstream further keys of the upstream @param top tables behind it */
async function plane(targets: readonly { readonly address: string }[], upstream = "", { listener = "", top = "" } = {}): Promise<{ plane: Plane; recorder: Recorder }> {
  const recorder = new Recorder();
  const members = targets.map(({ address }) => `[[upstreams.targets]]\naddress = "${address}"\n`).join("");
  const started = await Plane.start(`[[listeners]]\nname = "front"\naddress = "127.0.0.1:0"\nupstream = "main"\n${listener}\n${top}\n[[upstreams]]\nname = "main"\n${upstream}\n${members}`, { witnesses: [recorder] });
  open.push(() => started.stop());
  return { plane: started, recorder };
}

async function client(to: Plane): Promise<RawClient> {
  const connected = await RawClient.connect(to.port());
  open.push(() => connected.destroy());
  return connected;
}

const get = (path: string, more = ""): string => `GET ${path} HTTP/1.1\r\nHost: a.example\r\n${more}\r\n`;
const nobody = async (): Promise<{ address: string }> => ({ address: `127.0.0.1:${await freePort()}` });

/** Phases lie within one another, and what began later was told later. */
function expectOrder({ queued, connect, firstByte, milliseconds, tries }: Account): void {
  expect(queued + connect).toBeLessThanOrEqual(milliseconds);
  expect(firstByte).toBeLessThanOrEqual(milliseconds);
  for (const each of tries) {
    expect(each.connect).toBeLessThanOrEqual(each.milliseconds);
    expect(each.firstByte).toBeLessThanOrEqual(each.milliseconds);
    expect(each.at + each.milliseconds).toBeLessThanOrEqual(milliseconds + 1);
  }
  expect(tries.map(({ at }) => at)).toEqual(tries.map(({ at }) => at).toSorted((a, b) => a - b));
}

describe("http", () => {
  test("one attempt: who, what, where to, how much, how long", async () => {
    const target = await backend();
    const { plane: front, recorder } = await plane([target], "", { top: '[[routes]]\nhosts = ["a.example"]\npath_prefix = "/v1"\nmethods = ["POST"]\nupstream = "main"' });
    const asker = await client(front);
    await asker.ask("POST /v1/x HTTP/1.1\r\nHost: a.example\r\nX-Request-ID: r1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
    await asker.ask(get("/other"));
    const [first, second] = [await recorder.next(), await recorder.next(1)];
    expect(first).toMatchObject({
      protocol: "HTTP/1.1",
      listener: "front",
      route: "POST a.example/v1",
      upstream: "main",
      target: target.address,
      method: "POST",
      host: "a.example",
      path: "/v1/x",
      requestId: "r1",
      status: 200,
      cause: "done",
      detail: "",
      queued: 0,
      bytesIn: 7,
      bytesOut: "POST /v1/x".length,
      attempts: 1,
      candidates: [target.address],
      candidateCount: 1,
      tries: [{ target: target.address, at: 0, status: 200, cause: "done", detail: "", hedge: false }],
    });
    expect(first.client).toStartWith("127.0.0.1:");
    expect(Math.abs(Date.now() - first.at)).toBeLessThan(20_000);
    expect(first.connect).toBeGreaterThan(0);
    expect(first.firstByte).toBeGreaterThan(first.connect);
    expect(first.tries[0]).toMatchObject({ connect: first.connect, firstByte: first.firstByte, milliseconds: first.milliseconds });
    expectOrder(first);
    // The second goes over the pooled connection, by no route.
    expect(second).toMatchObject({ route: "", method: "GET", path: "/other", requestId: "", connect: 0, bytesIn: 0, bytesOut: "GET /other".length, attempts: 1 });
    expectOrder(second);
  });

  test("connects that fail: each try with its cause", async () => {
    const target = await backend();
    const dead = await nobody();
    const { plane: front, recorder } = await plane([dead, target], 'policy = "first"');
    expect((await (await client(front)).ask(get("/"))).status).toBe(200);
    const account = await recorder.next();
    expect(account).toMatchObject({ target: target.address, attempts: 2, candidates: [dead.address, target.address], candidateCount: 2, cause: "done", detail: "" });
    expect(account.tries).toMatchObject([
      { target: dead.address, at: 0, cause: "connect-refused", detail: "ECONNREFUSED", status: 0, firstByte: 0, hedge: false },
      { target: target.address, cause: "done", status: 200 },
    ]);
    expect(account.tries[1]!.at).toBeGreaterThan(0);
    expectOrder(account);
  });

  test("all of them failed: the cause of the last, and nothing that did not happen", async () => {
    const dead = await nobody();
    const { plane: front, recorder } = await plane([dead]);
    expect((await (await client(front)).ask(get("/"))).status).toBe(502);
    const account = await recorder.next();
    expect(account).toMatchObject({ status: 502, cause: "connect-refused", detail: "ECONNREFUSED", target: dead.address, firstByte: 0, connect: 0, bytesOut: "Bad Gateway".length });
    expect(account.tries.every(({ cause }) => cause === "connect-refused")).toBe(true);
    expect(account.tries.length).toBe(account.attempts);
    expectOrder(account);
  });

  test("a status that is tried again", async () => {
    const bad = await backend(async (request, connection) => void ((await request.ended) && connection.write(reply(503))));
    const good = await backend();
    const { plane: front, recorder } = await plane([bad, good], 'policy = "first"\nretry_on = [503]\nretry_backoff = "off"');
    expect((await (await client(front)).ask(get("/"))).status).toBe(200);
    const account = await recorder.next();
    expect(account.tries).toMatchObject([
      { target: bad.address, cause: "retry-status", detail: "status 503", status: 503 },
      { target: good.address, cause: "done", status: 200 },
    ]);
    expect(account.tries[0]!.firstByte).toBeGreaterThan(0);
    expectOrder(account);
  });

  test("a pooled connection that turned out closed is told of, and is no attempt", async () => {
    const target = await backend();
    const { plane: front, recorder } = await plane([target]);
    const asker = await client(front);
    await asker.ask(get("/1"));
    let asked = 0;
    target.script = async (request, connection) => {
      if (asked++ > 0) await sayWhich(request, connection);
      else setTimeout(() => connection.end(""), 60);
    };
    await asker.ask(get("/2"));
    const account = await recorder.next(1);
    expect(account).toMatchObject({ attempts: 1, cause: "done" });
    expect(account.tries).toMatchObject([{ cause: "target-closed", connect: 0 }, { cause: "done", status: 200 }]);
    expect(account.tries[1]!.connect).toBeGreaterThan(0);
    // What the closed one cost is not held against the one after it.
    expect(account.tries[1]!.at).toBeGreaterThan(50);
    expectOrder(account);
  });

  test("a reply that is cut short", async () => {
    const target = await backend(alwaysAndEnd("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"));
    const { plane: front, recorder } = await plane([target]);
    (await client(front)).request(get("/"));
    const account = await recorder.next();
    expect(account).toMatchObject({ status: 200, cause: "reply-truncated", detail: "closed after 3 bytes of the body", bytesOut: 3 });
    expect(account.tries).toMatchObject([{ status: 200, cause: "reply-truncated", detail: account.detail }]);
  });

  test("one that waits, and who gives up waiting", async () => {
    let release: (() => void) | undefined;
    const target = await backend(async (request, connection) => {
      if (request.target === "/slow") await new Promise<void>((resolve) => (release = resolve));
      await sayWhich(request, connection);
    });
    const { plane: front, recorder } = await plane([target], 'max_requests = 1\nqueue_timeout = "50ms"');
    const [slow, late, next] = [await client(front), await client(front), await client(front)];
    slow.request(get("/slow"));
    await target.request();
    expect((await late.ask(get("/late"))).status).toBe(503);
    next.request(get("/next"));
    await until("something to wait", () => release);
    release!();
    expect((await next.finalReply()).status).toBe(200);
    const accounts = new Map((await until("three accounts", () => recorder.accounts.length === 3 && recorder.accounts)).map((account) => [account.path, account]));
    expect(accounts.get("/late")).toMatchObject({ cause: "queue-timeout", detail: "no place within 50 ms", attempts: 0, tries: [], target: "", candidates: [target.address], status: 503 });
    expect(accounts.get("/late")!.queued).toBeGreaterThan(30);
    expect(accounts.get("/next")).toMatchObject({ cause: "done", attempts: 1 });
    expect(accounts.get("/next")!.queued).toBeGreaterThan(0);
    expect(accounts.get("/next")!.tries[0]!.at).toBeGreaterThanOrEqual(accounts.get("/next")!.queued);
    for (const account of accounts.values()) expectOrder(account);
  });

  test("a hedge that wins, and the attempt that lost", async () => {
    const targets = [await backend(), await backend()];
    const script: Script = async (request, connection) => {
      if (request.target === "/slow" && targets.flatMap(({ requests }) => requests).filter(({ target }) => target === "/slow").length === 1) return;
      await sayWhich(request, connection);
    };
    for (const target of targets) target.script = script;
    const { plane: front, recorder } = await plane(targets, "outlier_detection = false\n[upstreams.hedge]\nmin_delay = \"20ms\"");
    const asker = await client(front);
    for (let i = 0; i < 60; i++) await asker.ask(get(`/${i}`));
    await until("60 accounts", () => recorder.accounts.length === 60);
    expect((await asker.ask(get("/slow"))).status).toBe(200);
    const account = await recorder.next(60);
    expect(account).toMatchObject({ cause: "done", attempts: 2, candidateCount: 2 });
    expect(account.tries).toMatchObject([
      { cause: "hedge-lost", status: 0, firstByte: 0, hedge: false, at: 0 },
      { cause: "done", status: 200, hedge: true, target: account.target },
    ]);
    expect(account.tries[1]!.at).toBeGreaterThan(15);
    expect(account.tries[0]!.target).not.toBe(account.target);
    expectOrder(account);
  });

  test("a client that goes, and one that is answered here", async () => {
    const target = await backend(() => {});
    const { plane: front, recorder } = await plane([target], "", { listener: 'health_path = "/health"\n' });
    const leaving = await client(front);
    leaving.request("PUT /gone HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nabc");
    await target.request();
    leaving.destroy();
    expect(await recorder.next()).toMatchObject({ cause: "client-closed", status: 499, method: "PUT", path: "/gone", bytesIn: 3, tries: [{ target: target.address, cause: "client-closed", status: 0 }] });
    await (await client(front)).ask(get("/health"));
    expect(await recorder.next(1)).toMatchObject({ cause: "local", status: 200, upstream: "", target: "", attempts: 0, tries: [], candidates: [], candidateCount: 0, bytesOut: 3 });
    await (await client(front)).ask(get("/", "X_Y: 1\r\n"));
    expect(await recorder.next(2)).toMatchObject({ cause: "bad-request", status: 400, attempts: 0 });
    expect((await recorder.next(2)).detail).not.toBe("");
  });

  test("a tunnel: its bytes both ways, with what came with the handshake", async () => {
    const target = await backend((_, connection) => {
      connection.holdOpen = true;
      connection.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello");
    });
    const { plane: front, recorder } = await plane([target]);
    const asker = await client(front);
    asker.request(get("/tunnel", "Connection: upgrade\r\nUpgrade: x\r\n"));
    expect((await asker.finalReply()).status).toBe(101);
    asker.write("0123456789");
    const { connection } = await target.request();
    await until("the tunnelled bytes", () => connection.receivedText.endsWith("0123456789"));
    connection.end("bye");
    asker.end("");
    expect(await recorder.next()).toMatchObject({ cause: "done", status: 101, path: "/tunnel", bytesIn: 10, bytesOut: "hellobye".length, tries: [{ status: 101 }] });
  });

  test("names of targets are made for 32 candidates at most", async () => {
    const target = await backend();
    const others = Array.from({ length: 40 }, (_, index) => ({ address: `127.0.0.1:${1 + index}` }));
    const { plane: front, recorder } = await plane([target, ...others], 'policy = "first"\npanic_threshold = "0%"');
    front.flag(others[0]!, Flag.DOWN);
    await (await client(front)).ask(get("/"));
    const { candidates, candidateCount } = await recorder.next();
    expect(candidateCount).toBe(40);
    expect(candidates.length).toBe(32);
    expect(candidates).toContain(target.address);
    expect(candidates).not.toContain(others[0]!.address);
  });
});

describe("HTTP/2", () => {
  test("both sides: bodies, phases, a shared connection, a refused stream", async () => {
    const target = await H2Target.start(async (request) => {
      if (!(await request.ended())) return;
      if (request.path === "/again" && target.requests.filter(({ path }) => path === "/again").length === 1) request.refuse();
      else request.answer("four");
    });
    open.push(() => target.stop());
    const { plane: front, recorder } = await plane([target], 'protocol = "h2c"');
    const asker = await H2Client.connect(front.port());
    open.push(() => asker.destroy());
    asker.send(headers(1, asks("POST", "/one"), { endStream: false }), data(1, "12345"));
    const first = await recorder.next();
    expect(first).toMatchObject({ protocol: "HTTP/2.0", method: "POST", path: "/one", status: 200, cause: "done", bytesIn: 5, bytesOut: 4, attempts: 1, route: "", target: target.address });
    expect(first.connect).toBeGreaterThan(0);
    expectOrder(first);
    asker.send(headers(3, asks("GET", "/two")));
    expect(await recorder.next(1)).toMatchObject({ path: "/two", connect: 0, bytesIn: 0, bytesOut: 4 });
    asker.send(headers(5, asks("GET", "/again")));
    const again = await recorder.next(2);
    expect(again).toMatchObject({ path: "/again", status: 200, attempts: 2 });
    expect(again.tries).toMatchObject([{ cause: "stream-refused", status: 0 }, { cause: "done", status: 200 }]);
    expectOrder(again);
  });
});

describe("tcp", () => {
  const listener = 'protocol = "tcp"\n';

  test("bytes, the time to connect, and a target that refused", async () => {
    const target = await backend();
    const dead = await nobody();
    const { plane: front, recorder } = await plane([dead, target], 'policy = "first"', { listener });
    const asker = await client(front);
    const asked = get("/raw");
    await asker.ask(asked);
    asker.end("");
    const account = await recorder.next();
    expect(account).toMatchObject({ protocol: "tcp", cause: "done", upstream: "main", target: target.address, method: "", status: 0, bytesIn: asked.length, attempts: 2, candidateCount: 2, tries: [{ target: dead.address, cause: "connect-refused", detail: "ECONNREFUSED" }, { target: target.address, cause: "done" }] });
    expect(account.bytesOut).toBe(reply(200, "GET /raw").length);
    expect(account.connect).toBeGreaterThan(0);
    expect(account.firstByte).toBeGreaterThan(account.connect);
    expect(account.tries[0]!.firstByte).toBe(0);
    expectOrder(account);
  });

  test("nobody is there", async () => {
    const dead = await nobody();
    const { plane: front, recorder } = await plane([dead], "", { listener });
    const asker = await client(front);
    await asker.untilPeerEnds();
    expect(await recorder.next()).toMatchObject({ cause: "connect-refused", detail: "ECONNREFUSED", target: dead.address, attempts: 1, bytesIn: 0, bytesOut: 0, tries: [{ cause: "connect-refused" }] });
  });
});

describe("udp", () => {
  test("datagrams, bytes, and a target that refused", async () => {
    const target = await UdpServer.start();
    open.push(() => target.stop());
    const dead = await nobody();
    const { plane: front, recorder } = await plane([dead, target], 'policy = "first"', { listener: 'protocol = "udp"\nudp_responses = 1\n' });
    const asker = await UdpClient.open(front.port());
    open.push(() => asker.close());
    asker.send("hello");
    const account = await recorder.next();
    expect(account).toMatchObject({ protocol: "udp", cause: "done", target: target.address, bytesIn: 5, bytesOut: 5, datagrams: { in: 1, out: 1 }, attempts: 2, candidateCount: 2 });
    expect(account.tries).toMatchObject([{ target: dead.address, cause: "connect-refused" }, { target: target.address, cause: "done" }]);
    expect(account.firstByte).toBeGreaterThan(0);
  });
});

describe("witnesses", () => {
  test("are asked first; one account serves all who want it, and none is made for nobody", async () => {
    const target = await backend();
    const recorders = [new Recorder(), new Recorder()];
    const asked: unknown[] = [];
    const failuresOnly: Witness = {
      wants: (...what) => {
        asked.push(what);
        return what[0] !== "done";
      },
      tell: () => {
        throw new Error("told of what it did not want");
      },
    };
    const front = await Plane.start(`[[listeners]]\naddress = "127.0.0.1:0"\nupstream = "main"\n[[upstreams]]\nname = "main"\n[[upstreams.targets]]\naddress = "${target.address}"\n`, { witnesses: [failuresOnly, ...recorders] });
    open.push(() => front.stop());
    await (await client(front)).ask(get("/"));
    const account = await recorders[0]!.next();
    expect(recorders[1]!.accounts[0]).toBe(account);
    expect(asked).toEqual([["done", 200, 1, account.milliseconds, false]]);
  });
});

describe("a request that comes to no exchange is told of too:", () => {
  const unknown = { method: "", host: "", path: "", upstream: "", target: "", attempts: 0, tries: [] };

  test("one whose head cannot be read, over HTTP/1 and HTTP/2", async () => {
    const { plane: started, recorder } = await plane([await nobody()]);
    const one = await client(started);
    one.request("BAD\r\n\r\n");
    expect(await recorder.next()).toMatchObject({ ...unknown, protocol: "HTTP/1.1", listener: "front", status: 400, cause: "bad-request", detail: "malformed request line", bytesOut: "Bad Request: malformed request line".length });
    expect(recorder.accounts[0]!.client).toMatch(/^127\.0\.0\.1:\d+$/);
    const other = await H2Client.connect(started.port());
    open.push(() => other.destroy());
    other.send(headers(1, asks("GET", `/${"x".repeat(9_000)}`)));
    expect(await recorder.next(1)).toMatchObject({ ...unknown, protocol: "HTTP/2.0", status: 414, cause: "bad-request", bytesOut: "URI Too Long: request line too long".length });
  });

  test("one whose client is one too many", async () => {
    const { plane: started, recorder } = await plane([await nobody()], "", { listener: "max_clients = 1" });
    await client(started);
    await until("the first is there", () => started.board.clients === 1);
    await client(started);
    expect(await recorder.next()).toMatchObject({ ...unknown, status: 503, cause: "too-many-connections" });
  });
});

/** Faults that are injected into requests, over HTTP/1.1 and HTTP/2: what the client sees, what is told of it, and what it does not touch. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import type { Account } from "../../src/observability/account.ts";
import { CAUSE_NUMBERS } from "../../src/observability/cause.ts";
import { CAUSES_OF_END, FAULT_EFFECTS } from "../../src/scoreboard/scoreboard.ts";
import { asks } from "../conformance/h2/cases.ts";
import { endings } from "../support/endings.ts";
import { data, ErrorCode, headers, more, rstStream } from "../support/h2-frames.ts";
import { H2Client, reply as h2Reply, rstWith } from "../support/h2.ts";
import { H2Target } from "../support/h2-target.ts";
import { Plane, type PlaneOptions } from "../support/plane.ts";
import { always, RawBackend, reply, sayWhich, type Script } from "../support/raw-backend.ts";
import { RawClient } from "../support/raw-client.ts";
import { randomFrom } from "../support/random.ts";
import { Recorder } from "../support/recorder.ts";
import { until } from "../support/until.ts";

const open = endings(afterEach, afterAll);

interface Arranged {
  readonly plane: Plane;
  readonly target: RawBackend;
  readonly recorder: Recorder;
  readonly text: (rules: string, upstream?: string) => string;
}

const LONG = "x".repeat(20_000);

/** @param rules of the faults @param upstream more of it */
async function arranged(rules: string, { script = sayWhich, upstream: own = "", targets = 1, ...options }: { script?: Script; upstream?: string; targets?: number } & PlaneOptions = {}): Promise<Arranged> {
  const backends = await Promise.all(Array.from({ length: targets }, () => RawBackend.start(script)));
  for (const each of backends) open.push(() => each.stop());
  const listed = backends.map(({ address }) => `[[upstreams.targets]]\naddress = "${address}"\n`).join("");
  const text = (faults: string, upstream = own): string => `[[listeners]]\naddress = "127.0.0.1:0"\nupstream = "main"\nname = "front"\n[[upstreams]]\nname = "main"\n${upstream}\n${listed}${faults}`;
  const recorder = new Recorder();
  const plane = await Plane.start(text(rules), { ...options, witnesses: [recorder] });
  open.push(() => plane.stop());
  return { plane, target: backends[0]!, recorder, text };
}

function on(keys: string): string {
  return `[faults]\nenabled = true\n[[faults.rules]]\nname = "one"\n${keys}\n`;
}

async function h1(plane: Plane): Promise<RawClient> {
  const client = await RawClient.connect(plane.port());
  open.push(() => client.destroy());
  return client;
}

async function h2(plane: Plane): Promise<H2Client> {
  const client = await H2Client.connect(plane.port());
  open.push(() => client.destroy());
  return client;
}

function get(path = "/", ...fields: readonly string[]): string {
  return `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${fields.map((field) => `${field}\r\n`).join("")}\r\n`;
}

/** Of the exchange after `before` others. */
function account({ recorder }: Arranged, before = 0): Promise<Account> {
  return until(`account ${before + 1}`, () => recorder.accounts[before]);
}

function injected({ plane }: Arranged): number {
  return plane.board.listeners.sum(0, CAUSES_OF_END + CAUSE_NUMBERS["fault-injected"]);
}

describe("abort", () => {
  test("answers in the target's place, and the connection goes on", async () => {
    const work = await arranged(on('abort = 503\nmethods = ["GET"]'));
    const client = await h1(work.plane);
    const told = await client.request(get()).reply();
    expect([told.status, told.text]).toEqual([503, "Service Unavailable: fault injected"]);
    expect((await client.request("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n").reply()).text).toBe("PUT /");
    expect(await account(work)).toMatchObject({ status: 503, cause: "fault-injected", detail: 'fault "one": abort 503', target: "", upstream: "main", attempts: 0 });
    expect([injected(work), work.target.requests.length, work.plane.openRequests(work.target)]).toEqual([1, 1, 0]);
    const other = await h2(work.plane);
    other.send(headers(1, asks("GET")), headers(3, asks("PUT")));
    expect((await other.expect(h2Reply(1, 503))).text).toBe("Service Unavailable: fault injected");
    expect((await other.expect(h2Reply(3))).text).toBe("PUT /");
    expect(injected(work)).toBe(2);
  });

  test("tells calls their grpc-status, or the one that goes with the status", async () => {
    const call = (path: string): ReturnType<typeof asks> => asks("POST", path, ["content-type", "application/grpc"], ["te", "trailers"]);
    const work = await arranged(`[faults]\nenabled = true\n[[faults.rules]]\nname = "calls"\ngrpc_status = 8\nheaders = { x-which = "calls" }\n[[faults.rules]]\nname = "all"\nabort = 503\n`);
    const client = await h2(work.plane);
    client.send(headers(1, [...call("/a.B/C"), ["x-which", "calls"]]), headers(3, call("/a.B/C")), headers(5, asks("GET", "/", ["x-which", "calls"])));
    const one = await client.expect(h2Reply(1));
    expect([one.header("grpc-status"), one.header("grpc-message"), one.header("content-type")]).toEqual(["8", "fault%20injected", "application/grpc"]);
    expect((await client.expect(h2Reply(3))).header("grpc-status")).toBe("14");
    expect((await client.expect(h2Reply(5, 503))).text).toContain("fault injected");
    expect(await account(work)).toMatchObject({ status: 200, grpcStatus: 8, cause: "fault-injected", detail: 'fault "calls": grpc-status 8' });
  });

  test("counts against no target, and opens no circuit", async () => {
    const work = await arranged(on("abort = 502\npercent = 50"), { random: randomFrom(3), upstream: "circuit_breaker = { min_requests = 2 }\noutlier_detection = { consecutive_5xx = 1 }" });
    const client = await h1(work.plane);
    const statuses: number[] = [];
    for (let i = 0; i < 60; i++) statuses.push((await client.request(get()).reply()).status);
    const good = statuses.filter((status) => status === 200).length;
    expect(statuses.every((status) => status === 200 || status === 502)).toBe(true);
    expect(good).toBeGreaterThan(15);
    expect(good).toBeLessThan(45);
    expect([work.plane.reports, injected(work), work.target.requests.length]).toEqual([[], 60 - good, good]);
  });
});

describe("what is told of an exchange", () => {
  test("has the names of all that befell it, whatever else became of it, and counts what each did", async () => {
    const rules = `[faults]
enabled = true
[[faults.rules]]
name = "late"
methods = ["GET"]
delay = "5ms"
truncate = "1MiB"
[[faults.rules]]
name = "slow-target"
methods = ["GET"]
headers = { x-which = "slow" }
target_delay = "5ms"
[[faults.rules]]
name = "no-target"
methods = ["GET"]
headers = { x-which = "none" }
target_error = "connect-refused"
[[faults.rules]]
name = "chosen"
by_header = true
`;
    const work = await arranged(rules, { targets: 2, upstream: "retries = 3" });
    const client = await h1(work.plane);
    const told = async (index: number): Promise<Account> => account(work, index);
    expect((await client.request("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n").reply()).status).toBe(200);
    expect((await client.request(get("/", "X-Which: slow")).reply()).status).toBe(200);
    // The names stay where another reason takes the place of what was said of the fault, and one that befell each attempt is told once.
    expect((await client.request(get("/", "X-Which: none")).reply()).status).toBe(502);
    expect((await client.request("POST / HTTP/1.1\r\nHost: a.test\r\nX-Fairlead-Fault: nonsense\r\nContent-Length: 0\r\n\r\n").reply()).status).toBe(400);
    expect((await client.request("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n").reply()).status).toBe(200);
    expect([await told(0), await told(1), await told(2), await told(3), await told(4)].map(({ fault, cause }) => [fault, cause])).toEqual([
      ["", "done"],
      ["late,slow-target", "done"],
      ["late,no-target", "connect-refused"],
      ["chosen", "fault-injected"],
      ["", "done"],
    ]);
    const tries = (await told(2)).tries.length;
    expect(tries).toBeGreaterThan(1);
    expect(work.plane.board.faultsInjected).toEqual(FAULT_EFFECTS.map((effect) => ({ delay: 2, truncate: 2, "target-delay": 1, "target-error": tries })[effect as string] ?? 0));
  });
});

describe("reset", () => {
  test("breaks off the connection, or the stream", async () => {
    const work = await arranged(on('reset = true\nmethods = ["GET"]'));
    const client = await h1(work.plane);
    client.request(get());
    await until("a reset", () => client.peer === "reset");
    expect(client.receivedLength).toBe(0);
    expect(await account(work)).toMatchObject({ cause: "fault-injected", detail: 'fault "one": reset' });
    const other = await h2(work.plane);
    other.send(headers(1, asks("GET")), headers(3, asks("PUT")));
    await other.expect(rstWith(1, ErrorCode.INTERNAL_ERROR));
    expect((await other.expect(h2Reply(3))).text).toBe("PUT /");
    await until("nobody", () => work.plane.clients === 1);
    expect([injected(work), work.target.requests.length]).toEqual([2, 1]);
  });
});

describe("delay", () => {
  test("comes before the target, within its range, and says so", async () => {
    const work = await arranged(on('delay = ["60ms", "120ms"]'));
    const client = await h1(work.plane);
    expect((await client.request(get("/a")).reply()).text).toBe("GET /a");
    const other = await h2(work.plane);
    other.send(headers(1, asks("POST", "/b"), { endStream: false }), data(1, "12345"));
    expect((await other.expect(h2Reply(1))).text).toBe("POST /b");
    for (const at of [0, 1]) {
      const { milliseconds, tries, cause, detail } = await account(work, at);
      expect(cause).toBe("done");
      const drawn = Number(/^fault "one": delay (\d+) ms$/.exec(detail)![1]);
      expect([drawn >= 60, drawn <= 120, milliseconds >= drawn - 2, milliseconds < drawn + 2_000]).toEqual([true, true, true, true]);
      // What its target was slow with is none of it.
      expect(tries[0]!.at).toBeGreaterThanOrEqual(drawn - 2);
    }
  });

  test("whoever leaves meanwhile frees everything", async () => {
    const work = await arranged(on('delay = "1h"'));
    const client = await h1(work.plane);
    client.request(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n12`);
    const other = await h2(work.plane);
    other.send(headers(1, asks("GET")), headers(3, asks("GET")));
    await other.roundTrip();
    other.send(rstStream(1));
    await until("the stream's end", () => work.recorder.accounts.length === 1);
    client.destroy();
    other.destroy();
    await until("nobody", () => work.recorder.accounts.length === 3 && work.plane.clients === 0);
    expect(work.recorder.accounts.map(({ cause }) => cause)).toEqual(["client-closed", "client-closed", "client-closed"]);
    expect([work.plane.heldByFaults, work.plane.openRequests(work.target), work.target.connections.length]).toEqual([0, 0, 0]);
  });

  test("ends with its rule, by its time or a person, and with a drain: nobody waits longer", async () => {
    const work = await arranged(on('delay = "1h"'));
    const ask = async (): Promise<RawClient> => {
      const [client, before] = [await h1(work.plane), work.plane.heldByFaults];
      client.request(get());
      await until("it waits", () => work.plane.heldByFaults === before + 1);
      return client;
    };
    const stopped = await ask();
    work.plane.injectFaults({ rules: [], stopped: ["one"] });
    expect((await stopped.reply()).status).toBe(200);
    const loaded = await Plane.rules(work.text(on('delay = "1h"')));
    work.plane.injectFaults({ rules: [{ ...loaded[0]!, name: "two", until: Date.now() + 250 }], stopped: ["one"] });
    const timed = await ask();
    expect((await timed.reply()).status).toBe(200);
    expect(work.plane.heldByFaults).toBe(0);
    work.plane.injectFaults({ rules: [], stopped: [] });
    const drained = await ask();
    const drain = work.plane.drain(5_000);
    const last = await drained.reply();
    expect([last.status, last.header("connection")]).toEqual([200, "close"]);
    for (const client of [stopped, timed, drained]) client.destroy();
    await drain;
  });

  test("is bounded by what the whole request may take", async () => {
    const work = await arranged(on('delay = "1h"'));
    await work.plane.apply(work.text(on('delay = "1h"')).replace('name = "front"', 'name = "front"\ntimeouts = { request = "80ms" }'));
    expect((await (await h1(work.plane)).request(get()).reply()).status).toBe(504);
    expect(await account(work)).toMatchObject({ cause: "request-timeout" });
    expect(work.plane.heldByFaults).toBe(0);
  });
});

describe("throttle", () => {
  for (const [kind, bytes] of [
    ["a length", reply(200, LONG)],
    ["chunks and trailers", `HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4e20\r\n${LONG}\r\n0\r\nX-Sum: 7\r\n\r\n`],
  ] as const) {
    test(`a reply with ${kind} comes whole, and slowly`, async () => {
      const work = await arranged(on('throttle = "100KB"'), { script: always(bytes) });
      const client = await h1(work.plane);
      const whole = await client.request(get()).reply();
      expect(whole.text).toBe(LONG);
      expect((await client.request(get()).reply()).text.length).toBe(LONG.length);
      const other = await h2(work.plane);
      other.send(headers(1, asks("GET")));
      const stream = await other.expect(h2Reply(1));
      expect([stream.text === LONG, stream.trailers.length]).toEqual([true, kind === "a length" ? 0 : 1]);
      for (const at of [0, 1, 2]) {
        const { milliseconds, bytesOut, cause } = await account(work, at);
        // The first tenth of a second's bytes are free.
        expect([cause, bytesOut, milliseconds > 90, milliseconds < 3_000]).toEqual(["done", LONG.length, true, true]);
      }
      expect([work.plane.heldByFaults, work.plane.openRequests(work.target)]).toEqual([0, 0]);
    });
  }

  test("whoever leaves, or a rule that ends, ends the wait", async () => {
    const work = await arranged(on('throttle = "1B"'), { script: always(reply(200, LONG)) });
    const client = await h1(work.plane);
    client.request(get());
    const leaver = await h2(work.plane);
    leaver.send(headers(1, asks("GET")));
    await until("both are held", () => work.plane.heldByFaults === 2);
    leaver.destroy();
    await until("one has left", () => work.recorder.accounts.length === 1);
    work.plane.injectFaults({ rules: [], stopped: ["one"] });
    expect((await client.reply()).text).toBe(LONG);
    await until("nobody is held", () => work.plane.heldByFaults === 0 && work.plane.openRequests(work.target) === 0);
  });

  test("a target that sends much is made to wait: no more is held than it has sent at once", async () => {
    const sent = { bytes: 0 };
    const work = await arranged(on('throttle = "64KiB"'), {
      script: async (_request, connection) => {
        connection.write("HTTP/1.1 200 X\r\nContent-Length: 50000000\r\n\r\n");
        await connection.pour(50_000_000, Buffer.alloc(65_536), (bytes) => (sent.bytes = bytes));
      },
    });
    const client = await h1(work.plane);
    client.request(get());
    await until("a part of it", () => client.receivedLength > 30_000);
    expect(sent.bytes).toBeLessThan(20_000_000);
    client.destroy();
    await until("its end", () => work.recorder.accounts[0]?.cause === "client-closed");
  });
});

describe("truncate", () => {
  test("breaks off after so much of the body; a shorter one is whole", async () => {
    const work = await arranged(on('truncate = "10KiB"'), { script: async (request, connection) => void ((await request.ended) && connection.write(reply(200, request.target === "/short" ? "short" : LONG))), upstream: "outlier_detection = { consecutive_5xx = 1 }" });
    const client = await h1(work.plane);
    expect((await client.request(get("/short")).reply()).text).toBe("short");
    client.request(get("/long"));
    const head = await client.nextHead();
    expect(await head.ended).toBe(false);
    expect([head.status, head.bodyLength]).toEqual([200, 10_240]);
    expect(await account(work, 1)).toMatchObject({ cause: "fault-injected", status: 200, bytesOut: 10_240, target: work.target.address, detail: 'fault "one": truncate 10240 bytes' });
    const other = await h2(work.plane);
    other.send(headers(1, asks("GET", "/long")), headers(3, asks("GET", "/short")));
    await other.expect(rstWith(1, ErrorCode.INTERNAL_ERROR));
    expect(other.stream(1).bytes).toBe(10_240);
    expect((await other.expect(h2Reply(3))).text).toBe("short");
    await until("nothing open", () => work.plane.openRequests(work.target) === 0);
    expect([injected(work), work.plane.reports]).toEqual([2, []]);
  });

  test("goes with throttle", async () => {
    const work = await arranged(on('truncate = 18000\nthrottle = "100KB"'), { script: always(reply(200, LONG)) });
    const client = await h1(work.plane);
    client.request(get());
    const head = await client.nextHead();
    expect([await head.ended, head.bodyLength]).toEqual([false, 18_000]);
    const { milliseconds, cause } = await account(work);
    expect([cause, milliseconds > 70]).toEqual(["fault-injected", true]);
  });
});

describe("by the client's header", () => {
  test("only what is asked for is injected; what cannot be understood is said", async () => {
    const work = await arranged(on("by_header = true"));
    const client = await h1(work.plane);
    expect((await client.request(get("/plain")).reply()).text).toBe("GET /plain");
    expect((await client.request(get("/", "X-Fairlead-Fault: abort=418")).reply()).status).toBe(418);
    expect((await client.request(get("/slow", "X-Fairlead-Fault: delay=60")).reply()).text).toBe("GET /slow");
    expect((await account(work, 2)).milliseconds).toBeGreaterThan(55);
    const refused = await client.request(get("/", "X-Fairlead-Fault: abort=200")).reply();
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining("X-Fairlead-Fault is delay=MS")]);
    client.request(get("/", "X-Fairlead-Fault: reset"));
    await until("a reset", () => client.peer === "reset");
    // Without a rule the header is like any other.
    await work.plane.apply(work.text("[faults]\nenabled = true\n"));
    expect((await (await h1(work.plane)).request(get("/off", "X-Fairlead-Fault: abort=418")).reply()).text).toBe("GET /off");
  });
});

describe("as if targets did it", () => {
  test("a refused connect is tried elsewhere, and counts against the target", async () => {
    const work = await arranged("", { targets: 2, upstream: 'policy = "first"\noutlier_detection = { consecutive_local = 3 }' });
    await work.plane.apply(work.text(on(`target_error = "connect-refused"\ntargets = ["${work.target.address}"]`)));
    const client = await h1(work.plane);
    for (let i = 0; i < 3; i++) expect((await client.request(get()).reply()).status).toBe(200);
    expect((await account(work)).tries).toMatchObject([{ target: work.target.address, cause: "connect-refused", detail: 'fault "one"', status: 0 }, { cause: "done", status: 200 }]);
    expect([work.target.connections.length, work.plane.reports.length, work.plane.reports[0]?.target]).toEqual([0, 1, work.target.address]);
    expect([work.plane.openRequests(work.target), injected(work)]).toEqual([0, 0]);
  });

  test("a reset is not repeated where that could do harm, and opens the circuit", async () => {
    const work = await arranged(on('target_error = "target-reset"'), { upstream: "circuit_breaker = { min_requests = 2 }" });
    const client = await h1(work.plane);
    expect((await client.request("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n").reply()).status).toBe(502);
    expect(await account(work)).toMatchObject({ cause: "target-reset", attempts: 1 });
    for (let i = 0; i < 3; i++) await client.request(get()).reply();
    expect(work.recorder.accounts.at(-1)).toMatchObject({ cause: "circuit-open" });
    expect(work.target.connections.length).toBe(0);
  });

  test("a slow one answers late, and one that never answers runs into the timeout; who leaves frees its place", async () => {
    const work = await arranged(on('target_delay = "80ms"'), { upstream: 'retries = 0\ntimeouts = { response = "100ms", connect = "60ms" }' });
    const client = await h1(work.plane);
    expect((await client.request(get()).reply()).status).toBe(200);
    expect((await account(work)).tries[0]!.milliseconds).toBeGreaterThan(75);
    await work.plane.apply(work.text(on('target_error = "response-timeout"')));
    expect((await client.request(get()).reply()).status).toBe(504);
    expect(await account(work, 1)).toMatchObject({ cause: "response-timeout", attempts: 1 });
    await work.plane.apply(work.text(on('target_error = "connect-timeout"')));
    expect((await client.request(get()).reply()).status).toBe(504);
    expect(await account(work, 2)).toMatchObject({ cause: "connect-timeout" });
    await work.plane.apply(work.text(on('target_delay = "1h"')));
    client.request(get());
    await until("it waits", () => work.plane.heldByFaults === 1 && work.plane.openRequests(work.target) === 1);
    client.destroy();
    await until("its place is free", () => work.plane.heldByFaults === 0 && work.plane.openRequests(work.target) === 0);
  });
});

test("targets of HTTP/2 are throttled and cut off alike, and their connection serves on", async () => {
  const target = await H2Target.start(({ connection, id }) => connection.send(headers(id, [[":status", "200"]], more), data(id, LONG.slice(0, 10_000), more), data(id, LONG.slice(10_000))));
  open.push(() => target.stop());
  const text = (rules: string): string => `[[listeners]]\naddress = "127.0.0.1:0"\nupstream = "main"\n[[upstreams]]\nname = "main"\nprotocol = "h2c"\n[[upstreams.targets]]\naddress = "${target.address}"\n${rules}`;
  const recorder = new Recorder();
  const plane = await Plane.start(text(on('throttle = "100KB"')), { witnesses: [recorder] });
  open.push(() => plane.stop());
  const [one, two] = [await h1(plane), await h2(plane)];
  one.request(get());
  two.send(headers(1, asks("GET")));
  expect((await one.reply()).text).toBe(LONG);
  expect((await two.expect(h2Reply(1))).text).toBe(LONG);
  await until("both accounts", () => recorder.accounts.length === 2);
  for (const { milliseconds, cause } of recorder.accounts) expect([cause, milliseconds > 90]).toEqual(["done", true]);
  await plane.apply(text(on("truncate = 5000")));
  two.send(headers(3, asks("GET")));
  await two.expect(rstWith(3, ErrorCode.INTERNAL_ERROR));
  expect(two.stream(3).bytes).toBe(5_000);
  await plane.apply(text(on('target_error = "target-reset"\npercent = 0')));
  two.send(headers(5, asks("GET")));
  expect((await two.expect(h2Reply(5))).text).toBe(LONG);
  await until("nothing open", () => plane.openRequests(target) === 0);
  expect(plane.openConnections(target)).toBe(1);
});

test("with no rule in force everything is as it is without", async () => {
  const work = await arranged("[faults]\nenabled = false\n[[faults.rules]]\nname = \"one\"\nabort = 503\n");
  const client = await h1(work.plane);
  for (const rules of ["", "[faults]\nenabled = true\n", on('abort = 503\nhosts = ["elsewhere.test"]'), on("abort = 503\npercent = 0")]) {
    await work.plane.apply(work.text(rules));
    const { text, status } = await client.request(get("/same")).reply();
    expect([status, text]).toEqual([200, "GET /same"]);
  }
  expect(work.recorder.accounts.every(({ cause, detail }) => cause === "done" && detail === "")).toBe(true);
});

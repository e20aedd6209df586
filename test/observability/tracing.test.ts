/** W3C Trace Context and OpenTelemetry: which trace a request goes on with, what targets are told, and what a collector gets. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Log } from "../../src/observability/log.ts";
import { asks } from "../conformance/h2/cases.ts";
import { endings } from "../support/endings.ts";
import { headers } from "../support/h2-frames.ts";
import { H2Client } from "../support/h2.ts";
import { H2Target } from "../support/h2-target.ts";
import type { Message } from "../support/messages.ts";
import { type CollectedSpan, Collector, Kind } from "../support/otlp.ts";
import { Plane } from "../support/plane.ts";
import { freePort } from "../support/ports.ts";
import { RawBackend, reply, sayWhich, type Script } from "../support/raw-backend.ts";
import { RawClient } from "../support/raw-client.ts";
import { until } from "../support/until.ts";

const open = endings(afterEach);

async function backend(script?: Script): Promise<RawBackend> {
  const started = await RawBackend.start(script);
  open.push(() => started.stop());
  return started;
}

async function collector(): Promise<Collector> {
  const started = await Collector.start();
  open.push(() => started.stop());
  return started;
}

interface Front {
  /** Keys of [tracing]; undefined: there is no such table. */
  readonly tracing?: string;
  readonly upstream?: string;
  readonly routes?: string;
  readonly log?: Log;
}

function configuration(targets: readonly { readonly address: string }[], { tracing, upstream = "", routes = "" }: Front): string {
  const table = tracing === undefined ? "" : `[tracing]\ninterval = "20ms"\n${tracing}\n`;
  const members = targets.map(({ address }) => `[[upstreams.targets]]\naddress = "${address}"\n`).join("");
  return `${table}[[listeners]]\nname = "front"\naddress = "127.0.0.1:0"\nupstream = "main"\n${routes}\n[[upstreams]]\nname = "main"\n${upstream}\n${members}`;
}

async function plane(targets: readonly { readonly address: string }[], front: Front): Promise<Plane> {
  const started = await Plane.start(configuration(targets, front), front.log === undefined ? {} : { log: front.log });
  open.push(() => started.stop());
  return started;
}

async function ask(to: Plane, path: string, fields: readonly string[] = []): Promise<Message> {
  const client = await RawClient.connect(to.port());
  open.push(() => client.destroy());
  return client.ask(`GET ${path} HTTP/1.1\r\nHost: a.example:8080\r\nUser-Agent: test/1\r\n${fields.map((field) => `${field}\r\n`).join("")}\r\n`);
}

/** All values that a target was told, in their order. */
function told(request: Message, name: string): string[] {
  return request.fields.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
}

/** What a target was told of the trace; an error when that is not one valid field. */
function parentAt(request: Message): { readonly trace: string; readonly span: string; readonly flags: string } {
  const values = told(request, "traceparent");
  const [, trace, span, flags] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])$/.exec(values[0] ?? "") ?? [];
  if (values.length !== 1 || trace === undefined || span === undefined || flags === undefined) throw new Error(`traceparent: ${JSON.stringify(values)}`);
  expect(trace).not.toMatch(/^0+$/);
  expect(span).not.toMatch(/^0+$/);
  return { trace, span, flags };
}

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";
const VALID = `00-${TRACE}-${SPAN}-01`;

describe("a trace", () => {
  test("goes on: exchange under the client's span, attempt under the exchange's, target under the attempt's", async () => {
    const [target, traces] = [await backend(), await collector()];
    const front = await plane([target], { tracing: `endpoint = "${traces.endpoint}"\nparent = "trust"\nservice_name = "edge"\nquery = "keep"`, routes: '[[routes]]\nname = "v1"\npath_prefix = "/v1"\nupstream = "main"' });
    const before = Date.now();
    await ask(front, "/v1/x?y=z", [`Traceparent: ${VALID}`, "tracestate: congo=t61rcWkgMzE", "tracestate: rojo=1", "X-Request-ID: r1"]);
    const [exchange, attempt] = (await traces.collected(2)) as [CollectedSpan, CollectedSpan];
    const { message } = await target.request();
    expect(parentAt(message)).toEqual({ trace: TRACE, span: attempt.spanId, flags: "01" });
    expect(told(message, "tracestate")).toEqual(["congo=t61rcWkgMzE", "rojo=1"]);
    expect(exchange).toMatchObject({ traceId: TRACE, parentSpanId: SPAN, kind: Kind.SERVER, name: "GET v1", status: { code: 0 }, traceState: "congo=t61rcWkgMzE,rojo=1" });
    expect(attempt).toMatchObject({ traceId: TRACE, parentSpanId: exchange.spanId, kind: Kind.CLIENT, name: "GET", status: { code: 0 } });
    expect(new Set([SPAN, exchange.spanId, attempt.spanId]).size).toBe(3);
    expect(exchange.resource).toMatchObject({ "service.name": "edge", "telemetry.sdk.language": "nodejs", "process.pid": process.pid });
    expect(exchange.attributes).toMatchObject({
      "http.request.method": "GET",
      "url.scheme": "http",
      "url.path": "/v1/x",
      "url.query": "y=z",
      "server.address": "a.example",
      "server.port": 8080,
      "client.address": "127.0.0.1",
      "network.peer.address": "127.0.0.1",
      "network.protocol.version": "1.1",
      "user_agent.original": "test/1",
      "http.response.status_code": 200,
      "http.response.body.size": "GET /v1/x?y=z".length,
      "fairlead.listener": "front",
      "fairlead.route": "v1",
      "fairlead.upstream": "main",
      "fairlead.cause": "done",
      "fairlead.request_id": "r1",
      "fairlead.attempts": 1,
    });
    expect(exchange.attributes).not.toHaveProperty("error.type");
    expect(attempt.attributes).toMatchObject({ "server.address": "127.0.0.1", "server.port": target.port, "http.response.status_code": 200, "fairlead.cause": "done" });
    // A span lies within its parent, and both within the test.
    const milliseconds = (nanoseconds: string): number => Number(BigInt(nanoseconds) / 1_000_000n);
    expect(milliseconds(exchange.startTimeUnixNano)).toBeGreaterThanOrEqual(before - 2);
    expect(BigInt(attempt.startTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(exchange.startTimeUnixNano));
    expect(BigInt(attempt.endTimeUnixNano)).toBeLessThanOrEqual(BigInt(exchange.endTimeUnixNano) + 1_000n);
    expect(milliseconds(exchange.endTimeUnixNano)).toBeLessThanOrEqual(Date.now() + 2);
  });

  test("of a client that is not believed begins here, and what it says goes no further", async () => {
    const [target, traces] = [await backend(), await collector()];
    const front = await plane([target], { tracing: `endpoint = "${traces.endpoint}"` });
    await ask(front, "/a?secret=hush", [`traceparent: ${VALID}`, "tracestate: a=1", "tracestate: b=2"]);
    const [exchange, attempt] = (await traces.collected(2)) as [CollectedSpan, CollectedSpan];
    const { message } = await target.request();
    expect(parentAt(message)).toEqual({ trace: exchange.traceId, span: attempt.spanId, flags: "01" });
    expect(exchange.traceId).not.toBe(TRACE);
    expect(exchange.attributes["url.path"]).toBe("/a");
    expect(JSON.stringify(traces.spans)).not.toContain("hush");
    expect(exchange).not.toHaveProperty("parentSpanId");
    expect(exchange).not.toHaveProperty("traceState");
    expect(told(message, "tracestate")).toEqual([]);
  });

  // Sections 3.2.2 to 3.2.4 and 4.2 of the specification.
  const invalid: readonly (readonly [string, readonly string[]])[] = [
    ["upper case", [`00-${TRACE.toUpperCase()}-${SPAN}-01`]],
    ["the forbidden version", [`ff-${TRACE}-${SPAN}-01`]],
    ["a trace id of zeros", [`00-${"0".repeat(32)}-${SPAN}-01`]],
    ["a span id of zeros", [`00-${TRACE}-${"0".repeat(16)}-01`]],
    ["more than version 00 has", [`00-${TRACE}-${SPAN}-01-x`]],
    ["a short trace id", [`00-${TRACE.slice(1)}-${SPAN}-01`]],
    ["flags of one digit", [`00-${TRACE}-${SPAN}-1`]],
    ["a later version that goes on without a dash", [`01-${TRACE}-${SPAN}-01x`]],
    ["nothing", [""]],
    ["two of them", [VALID, VALID]],
  ];
  test("with an invalid traceparent begins anew, without the client's tracestate", async () => {
    const [target, traces] = [await backend(), await collector()];
    const front = await plane([target], { tracing: `endpoint = "${traces.endpoint}"\nparent = "trust"` });
    for (const [what, values] of invalid) {
      target.clear();
      await ask(front, "/", [...values.map((value) => `traceparent: ${value}`), "tracestate: a=1"]);
      const { message } = await target.request();
      expect([what, parentAt(message).trace === TRACE, told(message, "tracestate")]).toEqual([what, false, []]);
    }
    for (const { parentSpanId } of await traces.collected(invalid.length, Kind.SERVER)) expect(parentSpanId).toBeUndefined();
  });

  test("of a later version goes on as one of version 00, unknown flags cleared", async () => {
    const [target, traces] = [await backend(), await collector()];
    const front = await plane([target], { tracing: `endpoint = "${traces.endpoint}"\nparent = "trust"` });
    await ask(front, "/", [`traceparent: cc-${TRACE}-${SPAN}-ff-what.the.future.has`]);
    expect(parentAt((await target.request()).message)).toMatchObject({ trace: TRACE, flags: "01" });
    expect((await traces.collected(1, Kind.SERVER))[0]).toMatchObject({ traceId: TRACE, parentSpanId: SPAN });
  });

  test("has a span for each attempt, and each target has a parent of its own", async () => {
    const [bad, good, traces] = [await backend(async (request, connection) => void ((await request.ended) && connection.write(reply(503)))), await backend(), await collector()];
    const dead = { address: `127.0.0.1:${await freePort()}` };
    const front = await plane([dead, bad, good], { tracing: `endpoint = "${traces.endpoint}"`, upstream: 'policy = "first"\nretries = 3\nretry_on = ["connect-failure", 503]\nretry_backoff = "off"' });
    expect((await ask(front, "/")).status).toBe(200);
    const [exchange] = await traces.collected(1, Kind.SERVER);
    const attempts = await traces.collected(3, Kind.CLIENT);
    expect(attempts.map(({ attributes }) => [attributes["server.port"], attributes["error.type"], attributes["http.request.resend_count"]])).toEqual([
      [Number(dead.address.split(":")[1]), "connect-refused", undefined],
      [bad.port, "503", 1],
      [good.port, undefined, 2],
    ]);
    expect(attempts.map(({ status }) => status)).toEqual([{ code: 2, message: "ECONNREFUSED" }, { code: 2, message: "status 503" }, { code: 0 }]);
    for (const attempt of attempts) expect(attempt).toMatchObject({ traceId: exchange!.traceId, parentSpanId: exchange!.spanId });
    expect(parentAt((await bad.request()).message).span).toBe(attempts[1]!.spanId);
    expect(parentAt((await good.request()).message).span).toBe(attempts[2]!.spanId);
    expect(new Set(attempts.map(({ spanId }) => spanId)).size).toBe(3);
    expect(exchange).toMatchObject({ status: { code: 0 }, attributes: { "fairlead.attempts": 3 } });
  });

  test("of a hedged request tells both targets, each of its own span", async () => {
    const [traces, targets] = [await collector(), [await backend(), await backend()]];
    const asked = (): Message[] => targets.flatMap(({ requests }) => requests).filter(({ target }) => target === "/slow");
    for (const target of targets) target.script = async (request, connection) => (request.target === "/slow" && asked().length === 1 ? undefined : sayWhich(request, connection));
    const front = await plane(targets, { tracing: `endpoint = "${traces.endpoint}"`, upstream: 'outlier_detection = false\n[upstreams.hedge]\nmin_delay = "20ms"' });
    const client = await RawClient.connect(front.port());
    open.push(() => client.destroy());
    for (let i = 0; i < 60; i++) await client.ask(`GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`);
    await client.ask("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    const slow = await until("the hedged exchange", () => traces.spans.find(({ attributes }) => attributes["url.path"] === "/slow"));
    const attempts = (await traces.collected(62, Kind.CLIENT)).filter(({ traceId }) => traceId === slow.traceId);
    expect(attempts.map(({ attributes }) => attributes["fairlead.cause"])).toEqual(["hedge-lost", "done"]);
    expect(attempts[1]!.attributes["fairlead.hedge"]).toBe(true);
    expect(asked().map((message) => parentAt(message).span).toSorted()).toEqual(attempts.map(({ spanId }) => spanId).toSorted());
  });

  test("ends with an error when the exchange does", async () => {
    const [traces, dead] = [await collector(), { address: `127.0.0.1:${await freePort()}` }];
    const front = await plane([dead], { tracing: `endpoint = "${traces.endpoint}"`, upstream: "retries = 0" });
    expect((await ask(front, "/")).status).toBe(502);
    expect((await traces.collected(1, Kind.SERVER))[0]).toMatchObject({ status: { code: 2, message: "ECONNREFUSED" }, attributes: { "http.response.status_code": 502, "error.type": "connect-refused", "fairlead.cause": "connect-refused" } });
  });

  test("goes over HTTP/2 on both sides", async () => {
    const traces = await collector();
    const target = await H2Target.start();
    open.push(() => target.stop());
    const front = await plane([target], { tracing: `endpoint = "${traces.endpoint}"\nparent = "trust"`, upstream: 'protocol = "h2c"' });
    const client = await H2Client.connect(front.port());
    open.push(() => client.destroy());
    client.send(headers(1, asks("GET", "/one", ["traceparent", VALID], ["tracestate", "a=1"])));
    const [exchange, attempt] = (await traces.collected(2)) as [CollectedSpan, CollectedSpan];
    expect(exchange).toMatchObject({ traceId: TRACE, parentSpanId: SPAN, attributes: { "network.protocol.version": "2" } });
    const { fields } = target.requests[0]!;
    expect(fields.filter(([name]) => name === "traceparent")).toEqual([["traceparent", `00-${TRACE}-${attempt.spanId}-01`]]);
    expect(fields.filter(([name]) => name === "tracestate")).toEqual([["tracestate", "a=1"]]);
  });
});

describe("sampling", () => {
  test("nothing is recorded of what is not sampled, and targets are told so; a client that is believed decides for its own", async () => {
    const [target, traces] = [await backend(), await collector()];
    const front = await plane([target], { tracing: `endpoint = "${traces.endpoint}"\nsample = 0\nparent = "trust"` });
    await ask(front, "/unsampled");
    expect(parentAt((await target.request(0)).message).flags).toBe("00");
    // A client's trace that is not recorded: a span of ours that nobody hears of must not stand in it.
    const came = `cc-${TRACE}-${SPAN}-00-x`;
    await ask(front, "/theirs", [`TraceParent: ${came}`, "tracestate: a=1"]);
    expect(told((await target.request(1)).message, "traceparent")).toEqual([came]);
    expect(told((await target.request(1)).message, "tracestate")).toEqual(["a=1"]);
    await ask(front, "/sampled", [`traceparent: ${VALID}`]);
    await traces.collected(2);
    expect(new Set(traces.spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE]));
    expect(traces.spans.filter(({ kind }) => kind === Kind.SERVER).map(({ attributes }) => attributes["url.path"])).toEqual(["/sampled"]);
  });

  test("takes its share", async () => {
    const [target, traces] = [await backend(), await collector()];
    const front = await plane([target], { tracing: `endpoint = "${traces.endpoint}"\nsample = 0.5` });
    const client = await RawClient.connect(front.port());
    open.push(() => client.destroy());
    for (let i = 0; i < 200; i++) await client.ask(`GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`);
    const sampled = target.requests.filter((message) => parentAt(message).flags === "01");
    // Six standard deviations to either side.
    expect(sampled.length).toBeGreaterThan(57);
    expect(sampled.length).toBeLessThan(143);
    await traces.collected(sampled.length, Kind.SERVER);
    expect(new Set(traces.spans.map(({ traceId }) => traceId))).toEqual(new Set(sampled.map((message) => parentAt(message).trace)));
  });
});

describe("tracing that is off", () => {
  test("leaves what clients say as it came; on and off by a reload", async () => {
    const [target, traces] = [await backend(), await collector()];
    const front = await plane([target], {});
    const said = ["Traceparent: anything at all", "tracestate: a=1", "tracestate: b=2"];
    await ask(front, "/1", said);
    await front.apply(configuration([target], { tracing: `endpoint = "${traces.endpoint}"` }));
    await ask(front, "/2", said);
    await front.apply(configuration([target], {}));
    await ask(front, "/3", said);
    const fieldsOf = async (at: number): Promise<unknown> => (await target.request(at)).message.fields.filter(([name]) => name.toLowerCase().startsWith("trace"));
    const untouched = [["Traceparent", "anything at all"], ["tracestate", "a=1"], ["tracestate", "b=2"]];
    expect(await fieldsOf(0)).toEqual(untouched);
    expect(parentAt((await target.request(1)).message).flags).toBe("01");
    expect(await fieldsOf(2)).toEqual(untouched);
    // What was waiting when it was turned off was sent.
    await traces.collected(2);
    expect(new Set(traces.spans.map(({ traceId }) => traceId)).size).toBe(1);
  });
});

interface Line {
  readonly fields: object;
  readonly message: string;
}

function keeping(): { readonly log: Log; readonly lines: Line[] } {
  const lines: Line[] = [];
  const keep = (fields: object, message: string): void => void lines.push({ fields, message });
  return { lines, log: { level: "debug", debug: keep, info: keep, warn: keep, error: keep } as unknown as Log };
}

describe("a collector", () => {
  test("that is not there costs a line, which tells no secret", async () => {
    const { log, lines } = keeping();
    const target = await backend();
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    const front = await plane([target], { tracing: `endpoint = "${endpoint}"\ntimeout = "50ms"\nheaders = { authorization = "Bearer hush-hush" }`, log });
    expect((await ask(front, "/1")).status).toBe(200);
    const complaints = (): Line[] => lines.filter(({ message }) => message.startsWith("Spans"));
    await until("a complaint", () => complaints().length > 0);
    expect(complaints()[0]!.fields).toMatchObject({ endpoint: `${endpoint}/v1/traces`, spans: 2 });
    expect((await ask(front, "/2")).status).toBe(200);
    const stopped = performance.now();
    await front.drain(1_000);
    expect(performance.now() - stopped).toBeLessThan(5_000);
    expect(complaints().length).toBe(1);
    expect(JSON.stringify(lines)).not.toContain("hush");
  });

  test("gets the headers that it asks for, and at the end what still waits", async () => {
    const [target, traces] = [await backend(), await collector()];
    const front = await plane([target], { tracing: `endpoint = "${traces.endpoint}/"\nheaders = { Authorization = "Bearer hush-hush" }`, log: keeping().log });
    await front.apply(configuration([target], { tracing: `endpoint = "${traces.endpoint}"\nheaders = { Authorization = "Bearer hush-hush" }` }).replace('interval = "20ms"', 'interval = "1h"'));
    await ask(front, "/");
    expect(traces.spans).toEqual([]);
    await front.drain(1_000);
    expect(traces.problems).toEqual([]);
    expect(traces.spans.length).toBe(2);
    expect(traces.headers[0]!.authorization).toBe("Bearer hush-hush");
  });

  test("that is too slow gets no more than fits, and the log says so", async () => {
    const { log, lines } = keeping();
    const [target, traces] = [await backend(), await collector()];
    traces.silent = true;
    const front = await plane([target], { tracing: `endpoint = "${traces.endpoint}"\nbatch = 2\nqueue = 6`, log });
    for (let i = 0; i < 10; i++) expect((await ask(front, `/${i}`)).status).toBe(200);
    expect(await until("a complaint", () => lines.find(({ message }) => message.startsWith("Spans")))).toMatchObject({ fields: { spans: 2, reason: "more spans than the collector takes" } });
    await front.drain(1_000);
    expect(traces.spans.length).toBe(6);
  });

  test("that takes spans and says nothing does not hold up who stops", async () => {
    const [target, traces] = [await backend(), await collector()];
    traces.silent = true;
    const front = await plane([target], { tracing: `endpoint = "${traces.endpoint}"`, log: keeping().log });
    await ask(front, "/");
    await until("the request to the collector", () => traces.headers.length > 0);
    const stopped = performance.now();
    await front.drain(1_000);
    expect(performance.now() - stopped).toBeLessThan(5_000);
  });
});

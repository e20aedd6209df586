/**
 * Plays conformance cases against one Fairlead.
 *
 * Each lane is a listener with an upstream and a recording back end of its own, so that whatever one back end sees between the
 * start and the end of a case belongs to that case, also when it is a request that was smuggled in.
 * After each delivery a probe goes over the lane: a connection that the case poisoned would answer it wrongly.
 */
import { Fairlead } from "../support/fairlead.ts";
import type { Message } from "../support/messages.ts";
import { freePort } from "../support/ports.ts";
import { RawBackend, type Script, sayWhich } from "../support/raw-backend.ts";
import { RawClient } from "../support/raw-client.ts";
import { toToml } from "../support/toml.ts";
import { until } from "../support/until.ts";
import type { Expected, RequestCase, ResponseCase } from "./cases.ts";

/** How long a verdict may take. */
const PATIENCE = 3_000;
/** Longer messages are not sent byte by byte, but in pieces. */
const BYTEWISE_LIMIT = 1_500;
const PIECE = 1_000;

export interface Lane {
  readonly port: number;
  readonly backend: RawBackend;
}

/** One Fairlead with many lanes; a case borrows one. */
export class Lanes {
  private readonly free: Lane[];
  private readonly waiting: ((lane: Lane) => void)[] = [];
  private readonly all: readonly Lane[];
  private readonly fairlead: Fairlead;

  private constructor(fairlead: Fairlead, lanes: Lane[]) {
    this.fairlead = fairlead;
    this.all = [...lanes];
    this.free = lanes;
  }

  /** @param http2 is spoken too: then the preface of HTTP/2 is no request of HTTP/1 */
  static async open(count: number, http2: boolean): Promise<Lanes> {
    const lanes: Lane[] = [];
    while (lanes.length < count) lanes.push({ port: await freePort(), backend: await RawBackend.start() });
    const toml = toToml({
      workers: 1,
      listeners: lanes.map(({ port }, i) => ({ name: `l${i}`, address: `127.0.0.1:${port}`, protocol: "http", http2, upstream: `u${i}` })),
      upstreams: lanes.map(({ backend }, i) => ({ name: `u${i}`, policy: "round-robin", targets: [{ address: backend.address }] })),
    });
    return new Lanes(await Fairlead.start(toml), lanes);
  }

  async use<T>(play: (lane: Lane) => Promise<T>): Promise<T> {
    const lane = this.free.pop() ?? (await new Promise<Lane>((resolve) => this.waiting.push(resolve)));
    try {
      return await play(lane);
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.free.push(lane);
      else next(lane);
    }
  }

  async close(): Promise<void> {
    await this.fairlead.kill();
    await Promise.all(this.all.map(({ backend }) => backend.stop()));
  }
}

type Delivery = readonly [name: string, parts: (bytes: Buffer) => Buffer[]];

function split(bytes: Buffer, size: number): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) parts.push(bytes.subarray(at, at + size));
  return parts;
}

/** The same bytes in one segment, in two, and one by one: what they mean must not change. */
const DELIVERIES: readonly Delivery[] = [
  ["in one segment", (bytes) => [bytes]],
  ["in two segments", (bytes) => split(bytes, Math.max(1, Math.ceil(bytes.length / 2)))],
  ["byte by byte", (bytes) => split(bytes, bytes.length > BYTEWISE_LIMIT ? PIECE : 1)],
];

export function show(messages: readonly Message[]): string {
  return JSON.stringify(messages.map(({ head, text, state }) => [head, text.slice(0, 200), state]));
}

class Wrong extends Error {}

export function demand(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Wrong(what);
}

export function matches(actual: string | undefined, wanted: string | RegExp): boolean {
  return typeof wanted === "string" ? actual === wanted : actual !== undefined && wanted.test(actual);
}

/** Compares what arrived with what was wanted, on either side. */
export function compare(message: Message, wanted: Omit<Expected, "line">): void {
  if (wanted.body !== undefined) demand(message.text === wanted.body, `body ${JSON.stringify(wanted.body)} expected, got ${show([message])}`);
  for (const [name, value] of Object.entries(wanted.has ?? {})) demand(matches(message.header(name), value), `field ${name}: ${String(value)} expected, got ${show([message])}`);
  for (const name of wanted.lacks ?? []) {
    demand(message.header(name) === undefined, `no field ${name} expected, got ${show([message])}`);
    const nominated = (message.header("connection") ?? "").toLowerCase().split(/[ ,\t]+/);
    demand(!nominated.includes(name.toLowerCase()), `Connection still names ${name}: ${show([message])}`);
  }
  if (wanted.trailers !== undefined) {
    const trailers = message.trailers.map(([name, value]) => `${name}: ${value}`);
    demand(JSON.stringify(trailers) === JSON.stringify(wanted.trailers), `trailers ${JSON.stringify(wanted.trailers)} expected, got ${JSON.stringify(trailers)}`);
  }
}

/** A plain request over the lane must get its own answer. */
async function probe(lane: Lane): Promise<void> {
  const before = lane.backend.seen.length;
  const client = await RawClient.connect(lane.port);
  try {
    const path = `/probe-${Math.random().toString(36).slice(2)}`;
    const reply = await client.ask(`GET ${path} HTTP/1.1\r\nHost: probe.test\r\nConnection: close\r\n\r\n`, PATIENCE);
    demand(reply.status === 200 && reply.text === `GET ${path}`, `the request after it was answered with ${show([reply])}`);
  } finally {
    client.destroy();
  }
  const strangers = lane.backend.requests.slice(before).filter(({ target }) => !target.startsWith("/probe-"));
  demand(strangers.length === 0, `a request came out of nowhere: ${show(strangers)}`);
}

async function deliver(lane: Lane, test: RequestCase, parts: Buffer[]): Promise<RawClient> {
  const client = await RawClient.connect(lane.port);
  const method = /^(?:\r\n)*([A-Z]+) /.exec(test.send)?.[1];
  if (method === "HEAD") client.reader.methods.push(method);
  for (const part of parts) {
    if (client.peer !== "open") break;
    await client.segments([part]);
  }
  if (test.end) client.end();
  return client;
}

function expectRequests(backend: RawBackend, wanted: readonly Expected[]): void {
  const { complete } = backend;
  demand(complete.length === wanted.length, `${wanted.length} request(s) expected at the back end, got ${show(backend.requests)}`);
  for (const [i, request] of complete.entries()) {
    const { line } = wanted[i] as Expected;
    if (line !== undefined) demand(request.startLine === line, `request line ${JSON.stringify(line)} expected, got ${JSON.stringify(request.startLine)}`);
    compare(request, wanted[i] as Expected);
  }
}

function got(client: RawClient): string {
  return `${JSON.stringify(client.receivedText.slice(0, 300))} (connection ${client.peer})`;
}

function finals(client: RawClient): Message[] {
  return client.reader.messages.filter(({ status }) => status >= 200);
}

async function judge(lane: Lane, { verdict }: RequestCase, client: RawClient): Promise<void> {
  const { backend } = lane;
  const replies = verdict.kind === "forwarded" || verdict.kind === "either" ? verdict.requests.length : 1;
  await until("a verdict", () => client.peer !== "open" || finals(client).filter(({ state }) => state === "complete").length >= replies, PATIENCE).catch(() => {
    throw new Wrong(`neither ${replies} repl${replies === 1 ? "y" : "ies"} nor the end of the connection: ${got(client)}; the back end saw ${show(backend.requests)}`);
  });
  demand(client.reader.malformed === undefined, `the client got a malformed reply: ${client.reader.malformed}`);
  const statuses = finals(client).map(({ status }) => status);
  switch (verdict.kind) {
    case "refused": {
      demand(verdict.before > 0 || statuses.length === 1, `one status of ${verdict.statuses.join(", ")} expected, got ${got(client)}`);
      await until("the end of the connection", () => client.peer !== "open", PATIENCE).catch(() => {
        throw new Wrong(`the connection stays open after ${got(client)}`);
      });
      const last = finals(client).at(-1)?.status ?? 0;
      demand(finals(client).length === verdict.before + 1, `${verdict.before + 1} replies expected, got ${got(client)}`);
      demand(verdict.statuses.includes(last), `status ${verdict.statuses.join(" or ")} expected, got ${got(client)}`);
      expectRequests(backend, Array.from({ length: verdict.before }, () => ({})));
      return;
    }
    case "forwarded":
      demand(statuses.length === replies && statuses.every((status) => status === 200), `${replies} × 200 expected, got ${got(client)}`);
      expectRequests(backend, verdict.requests);
      return;
    case "answered":
      demand(verdict.statuses.includes(statuses[0] ?? 0), `status ${verdict.statuses.join(" or ")} expected, got ${got(client)}`);
      demand(backend.requests.length === 0, `nothing expected at the back end, got ${show(backend.requests)}`);
      return;
    case "incomplete":
      demand(!statuses.includes(200), `no 200 expected, got ${got(client)}`);
      demand(backend.complete.length === 0, `nothing complete expected at the back end, got ${show(backend.requests)}`);
      return;
    case "either":
      if ((statuses[0] ?? 0) < 400) expectRequests(backend, verdict.requests);
      else demand(backend.complete.length === 0, `refused with ${statuses[0]}, and yet the back end got ${show(backend.requests)}`);
  }
}

/** Nothing that Fairlead began may stay half-done at the back end. */
export async function expectTidy(backend: RawBackend): Promise<void> {
  demand(backend.malformed.length === 0, `the back end got malformed bytes: ${backend.malformed.join("; ")}`);
  await until("unfinished requests to be aborted", () => backend.requests.every(({ state }) => state !== "open"), PATIENCE).catch(() => {
    throw new Wrong(`an unfinished request stays open at the back end: ${show(backend.requests)}`);
  });
}

/** Throws with a sentence that says what is wrong. */
export async function playRequest(lanes: Lanes, test: RequestCase): Promise<void> {
  const bytes = Buffer.from(test.send, "latin1");
  for (const [how, parts] of DELIVERIES) {
    await lanes.use(async (lane) => {
      lane.backend.clear(sayWhich);
      const client = await deliver(lane, test, parts(bytes));
      try {
        await judge(lane, test, client);
        await expectTidy(lane.backend);
        await probe(lane);
      } catch (error) {
        if (error instanceof Error) error.message = `${how}: ${error.message}`;
        throw error;
      } finally {
        client.destroy();
      }
    });
  }
}

export function answering(test: ResponseCase, parts: Buffer[]): Script {
  return async (request, connection) => {
    if (request.target !== "/case") return sayWhich(request, connection);
    await request.ended;
    await connection.segments(parts);
    if (test.after === "end") connection.end();
    else if (test.after === "reset") connection.reset();
    return undefined;
  };
}

async function judgeResponse({ backend }: Lane, { verdict, method }: ResponseCase, client: RawClient): Promise<void> {
  await until("a verdict", () => client.peer !== "open" || finals(client).some(({ state }) => state !== "open"), PATIENCE).catch(() => {
    throw new Wrong(`neither a reply nor the end of the connection: ${got(client)}`);
  });
  demand(client.reader.malformed === undefined, `the client got a malformed reply: ${client.reader.malformed}`);
  const [reply] = finals(client);
  demand(reply !== undefined, `a reply expected, got ${got(client)}`);
  const refused = reply.status === 502 && reply.state === "complete" && !reply.text.includes("hello");
  switch (verdict.kind) {
    case "reply": {
      demand(reply.status === verdict.status && reply.state === "complete", `a complete ${verdict.status} expected, got ${got(client)}`);
      compare(reply, verdict);
      if (verdict.interim !== undefined) {
        const interim = client.reader.messages.map(({ status }) => status).filter((status) => status < 200);
        demand(JSON.stringify(interim) === JSON.stringify(verdict.interim), `interim replies ${verdict.interim.join(", ")} expected, got ${interim.join(", ")}`);
      }
      // Bytes beyond a reply spoil the target's connection once they are there, not before.
      await Promise.all(backend.connections.map(({ turn }) => turn));
      if (client.peer !== "open") return;
      // The client's connection is as good as before.
      const next = await client.skip().ask("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n", PATIENCE).catch((error: unknown) => {
        if (client.peer === "open") throw error;
      });
      if (next !== undefined) demand(next.text === "GET /next", `the next request on the same connection was answered with ${show([next])} after ${method}`);
      return;
    }
    case "bad":
      demand(refused, `502 expected, got ${got(client)}`);
      return;
    case "broken":
      demand(refused || (reply.status === 200 && reply.state === "truncated"), `502 or a truncated reply expected, got ${got(client)}, which is ${reply.state}`);
      // Without a length, a clean end would look complete.
      if (!refused && reply.framing === "close") demand(client.peer === "reset", `an error expected at the end of a body without length, got ${got(client)}`);
      return;
    case "either":
      demand(refused || (reply.state === "complete" && reply.text === verdict.body), `502 or ${JSON.stringify(verdict.body)} expected, got ${got(client)}`);
  }
}

/** Throws with a sentence that says what is wrong. */
export async function playResponse(lanes: Lanes, test: ResponseCase): Promise<void> {
  const bytes = Buffer.from(test.send, "latin1");
  for (const [how, parts] of DELIVERIES) {
    await lanes.use(async (lane) => {
      lane.backend.clear(answering(test, parts(bytes)));
      const client = await RawClient.connect(lane.port);
      try {
        client.request(`${test.method} /case HTTP/1.1\r\nHost: a.test\r\n\r\n`);
        await judgeResponse(lane, test, client);
        await probe(lane);
      } catch (error) {
        if (error instanceof Error) error.message = `${how}: ${error.message}`;
        throw error;
      } finally {
        client.destroy();
        lane.backend.clear(sayWhich);
      }
    });
  }
}

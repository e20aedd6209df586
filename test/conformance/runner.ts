/**
 * Plays conformance cases: what the back end saw, what the client was told, and whether the next request gets its own answer
 * (a connection that the case poisoned would answer it wrongly).
 */
import { sayWhich as sayWhichH2 } from "../support/h2-backend.ts";
import type { Message } from "../support/messages.ts";
import { RawBackend, type Script, sayWhich } from "../support/raw-backend.ts";
import { RawClient } from "../support/raw-client.ts";
import { until } from "../support/until.ts";
import { asked, type Expected, PAUSE, type RequestCase, type ResponseCase } from "./cases.ts";
import { type Backend, behave, type Lane, type Lanes } from "./lanes.ts";

/** How long a verdict may take. */
const PATIENCE = 3_000;
/** Longer messages are not sent byte by byte, but in pieces. */
const BYTEWISE_LIMIT = 1_500;
const PIECE = 1_000;

type Delivery = readonly [name: string, parts: (bytes: Buffer) => Buffer[]];

function split(bytes: Buffer, size: number): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) parts.push(bytes.subarray(at, at + size));
  return parts;
}

/** The same bytes in one segment, in two, and one by one: what they mean must not change. */
export const DELIVERIES: readonly Delivery[] = [
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
    // HTTP/2 has all names in lower case.
    demand(JSON.stringify(trailers).toLowerCase() === JSON.stringify(wanted.trailers).toLowerCase(), `trailers ${JSON.stringify(wanted.trailers)} expected, got ${JSON.stringify(trailers)}`);
  }
}

/** From now on it waits for whole requests; what came stays. */
function behaveAgain(backend: Backend): void {
  if (backend instanceof RawBackend) backend.script = sayWhich;
  else backend.target.script = sayWhichH2;
}

/** A plain request over the lane must get its own answer. */
export async function probe(lane: Lane<Backend>): Promise<void> {
  behaveAgain(lane.backend);
  const before = lane.backend.requests.length;
  const client = await RawClient.connect(lane.port);
  try {
    const path = `/probe-${Math.random().toString(36).slice(2)}`;
    const reply = await client.ask(`GET ${path} HTTP/1.1\r\nHost: probe.test\r\nConnection: close\r\n\r\n`, PATIENCE);
    demand(reply.status === 200 && reply.text === `GET ${path}`, `the request after it was answered with ${show([reply])}`);
  } finally {
    client.destroy();
  }
  // A request that was broken off may have been on its way.
  const strangers = lane.backend.requests.slice(before).filter(({ target, state }) => !target.startsWith("/probe-") && state !== "truncated");
  demand(strangers.length === 0, `a request came out of nowhere: ${show(strangers)}`);
}

/** Sends a case's bytes in these parts; stops when the other side has ended. */
export async function deliver(port: number, test: RequestCase, parts: (bytes: Buffer) => Buffer[]): Promise<RawClient> {
  const client = await RawClient.connect(port);
  const method = /^(?:\r\n)*([A-Z]+) /.exec(test.send)?.[1];
  if (method === "HEAD") client.reader.methods.push(method);
  const bytes = Buffer.from(test.send, "latin1");
  const { pauseAt = bytes.length } = test;
  await send(client, parts(bytes.subarray(0, pauseAt)));
  if (pauseAt < bytes.length) {
    await until("an early answer", () => client.receivedLength > 0 || client.peer !== "open", PAUSE).catch(() => undefined);
    await send(client, parts(bytes.subarray(pauseAt)));
  }
  if (test.end) client.end();
  return client;
}

async function send(client: RawClient, parts: readonly Buffer[]): Promise<void> {
  for (const part of parts) {
    if (client.peer !== "open") return;
    await client.segments([part]);
  }
}

function expectRequests(backend: Backend, wanted: readonly Expected[]): void {
  const { complete } = backend;
  demand(complete.length === wanted.length, `${wanted.length} request(s) expected at the back end, got ${show(backend.requests)}`);
  expectOrder(complete, wanted);
}

/** These messages are the first of the wanted ones. */
export function expectOrder(complete: readonly Message[], wanted: readonly Expected[]): void {
  for (const [i, request] of complete.entries()) {
    const { line } = wanted[i] as Expected;
    if (line !== undefined) demand(request.startLine === line, `request line ${JSON.stringify(line)} expected, got ${JSON.stringify(request.startLine)}`);
    compare(request, wanted[i] as Expected);
  }
}

function got(client: RawClient): string {
  return `${JSON.stringify(client.receivedText.slice(0, 300))} (connection ${client.peer})`;
}

export function finals(client: RawClient): Message[] {
  return client.reader.messages.filter(({ status }) => status >= 200);
}

async function judge(lane: Lane<Backend>, { verdict }: RequestCase, client: RawClient): Promise<void> {
  const { backend } = lane;
  const replies = "requests" in verdict ? verdict.requests.length : 1;
  const answered = (count: number) => client.peer !== "open" || finals(client).filter(({ state }) => state === "complete").length >= count;
  await until("a verdict", () => answered(replies), verdict.kind === "at most" ? PAUSE : PATIENCE).catch(() => {
    if (verdict.kind === "at most" && answered(1)) return;
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
      return;
    case "at most":
      await expectTidy(backend);
      demand(backend.requests.length <= verdict.requests.length, `at most ${verdict.requests.length} request(s) expected at the back end, got ${show(backend.requests)}`);
      expectOrder(backend.complete, verdict.requests);
      return;
    case "no tunnel":
      expectNoTunnel(backend, client, verdict.protocols);
  }
}

export function expectNoTunnel(backend: Backend, client: RawClient, protocols: readonly string[]): void {
  const asked = backend.requests.flatMap((request) => request.headers("upgrade").flatMap((value) => value.toLowerCase().split(/[,/\s]+/)));
  demand(!asked.some((protocol) => protocols.includes(protocol)), `the back end is asked to upgrade: ${show(backend.requests)}`);
  demand(!client.reader.messages.some(({ status }) => status === 101), `a tunnel was made: ${got(client)}`);
}

/** Nothing that Fairlead began may stay half-done at the back end. */
export async function expectTidy(backend: Backend): Promise<void> {
  demand(backend.malformed.length === 0, `the back end got malformed bytes: ${backend.malformed.join("; ")}`);
  await until("unfinished requests to be aborted", () => backend.requests.every(({ state }) => state !== "open"), PATIENCE).catch(() => {
    throw new Wrong(`an unfinished request stays open at the back end: ${show(backend.requests)}`);
  });
}

/** Throws with a sentence that says what is wrong. */
export async function playRequest<B extends Backend>(lanes: Lanes<B>, test: RequestCase): Promise<void> {
  for (const [how, parts] of DELIVERIES) {
    await lanes.use(async (lane) => {
      behave(lane.backend, test.backend ?? "patient");
      const client = await deliver(lane.port, test, parts);
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
      demand(refused || reply.state === "truncated" || (reply.state === "complete" && reply.text === verdict.body), `502, a reply cut short, or ${JSON.stringify(verdict.body)} expected, got ${got(client)}`);
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
        client.request(asked(test));
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

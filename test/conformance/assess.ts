/**
 * What any proxy makes of a case, by one measure: the back end may see exactly one well-formed request where one was sent, or none; the client exactly
 * the reply that was sent, or an error. The measure is milder than runner.ts, which holds Fairlead to statuses and closed connections too.
 */
import { type Message, MessageReader } from "../support/messages.ts";
import { RawBackend, sayWhich } from "../support/raw-backend.ts";
import { RawClient } from "../support/raw-client.ts";
import { sleep, until } from "../support/until.ts";
import { asked, type Expected, type RequestCase, type ResponseCase } from "./cases.ts";
import { type Backend, behave, type Lane } from "./lanes.ts";
import { answering, compare, DELIVERIES, deliver, expectNoTunnel, expectOrder, finals, probe, show } from "./runner.ts";

/** How a proxy did: as the case demands; by another reading that its source leaves open, and that harms nobody; or wrong. */
export type Grade = "passed" | "lenient" | "failed";

export interface Assessment {
  readonly grade: Grade;
  readonly what: string;
}

/** How long an answer, the end of what was begun, and silence after an answer may take, in ms. */
const PATIENCE = 1_000;
const TIDY = 2_000;
const QUIET = 40;

const ORDER: readonly Grade[] = ["passed", "lenient", "failed"];
const passed = (what: string): Assessment => ({ grade: "passed", what });
const lenient = (what: string): Assessment => ({ grade: "lenient", what });
const failed = (what: string): Assessment => ({ grade: "failed", what });

function worst(all: readonly Assessment[]): Assessment {
  const [first] = all.toSorted((a, b) => ORDER.indexOf(b.grade) - ORDER.indexOf(a.grade));
  return first!;
}

/** All deliveries; the worst counts. */
async function inSegments(assess: (parts: (bytes: Buffer) => Buffer[]) => Promise<Assessment>): Promise<Assessment> {
  const all: Assessment[] = [];
  for (const [how, parts] of DELIVERIES) {
    const one = await assess(parts);
    all.push(all.length > 0 && one.grade !== all[0]!.grade ? { ...one, what: `${one.what} (${how})` } : one);
  }
  return worst(all);
}

/** Invalid bytes that RFC 9110 section 5.5 lets a recipient retain, and bytes of a target beyond its grammar: everything but CR, LF and NUL. */
function withoutOddities(bytes: Buffer): Buffer {
  return Buffer.from(bytes.map((byte) => (byte >= 0x7f || (byte < 0x20 && byte !== 0 && byte !== 9 && byte !== 10 && byte !== 13) ? 0x3f : byte)));
}

/** What came is well-formed but for such bytes. */
function onlyOdd(kind: "request" | "reply", bytes: Buffer, messages: number): boolean {
  const reader = new MessageReader(kind);
  reader.feed(withoutOddities(bytes));
  return reader.malformed === undefined && reader.messages.length === messages;
}

/** Connections that a case spoilt must not spoil the next. */
function abandon(backend: Backend): void {
  if (!(backend instanceof RawBackend)) return;
  for (const connection of backend.connections) connection.destroy();
  backend.connections = [];
}

/** What the client made of it, in a few words. */
function told(client: RawClient): string {
  const statuses = finals(client).map(({ status }) => status);
  if (statuses.length > 0) return statuses.join(" and ");
  return client.peer === "open" ? "no answer" : "connection closed without an answer";
}

function brief(text: string): string {
  return text.length > 110 ? `${text.slice(0, 109)}…` : text;
}

function differs(error: unknown): string {
  return `what goes on differs: ${brief((error instanceof Error ? error.message : String(error)).split(", got ")[0]!)}`;
}

function without(expected: Expected, key: keyof Expected): Expected {
  return Object.fromEntries(Object.entries(expected).filter(([name]) => name !== key));
}

/** Other ways to pass a request on that its source leaves open. */
function mildly(complete: readonly Message[], wanted: readonly Expected[]): Assessment | undefined {
  const agrees = (expected: readonly Expected[]): boolean => {
    try {
      expectOrder(complete, expected);
      return true;
    } catch {
      return false;
    }
  };
  if (complete.length !== wanted.length) return undefined;
  // RFC 9112 section 7.1.2 lets who takes the chunks away keep or discard trailers.
  if (agrees(wanted.map((one) => without(one, "trailers")))) return lenient(complete.every(({ trailers }) => trailers.length === 0) ? "trailers are discarded" : "trailers go on as they came");
  // A server must accept it: section 3.2.2.
  if (complete.some(({ target }) => /^https?:/i.test(target)) && agrees(wanted.map((one) => without(one, "line")))) return lenient("forwarded in absolute-form");
  return undefined;
}

/** A length that is a number of 63 bits, but no plain one. */
function isLongLength(malformed: string): boolean {
  const digits = /^framing \{"lengths":\["(\d+)"\]\}$/.exec(malformed)?.[1];
  return digits !== undefined && BigInt(digits) < 2n ** 63n;
}

function judgeRequest(backend: Backend, test: RequestCase, client: RawClient): Assessment {
  const { verdict, must = false, own = false } = test;
  const { complete } = backend;
  const said = told(client);
  const forwarded = complete.length;
  const again = (wanted: Parameters<typeof expectOrder>[1]): Assessment => {
    try {
      expectOrder(complete, wanted);
      return passed("forwarded");
    } catch (error) {
      return own && forwarded === wanted.length ? passed("forwarded") : (mildly(complete, wanted) ?? failed(differs(error)));
    }
  };
  switch (verdict.kind) {
    case "refused":
    case "answered": {
      const extra = forwarded - ("before" in verdict ? verdict.before : 0);
      if (extra <= 0) return passed(said);
      if (extra > 1 && test.room !== undefined) return lenient(`${extra} well-formed requests (${test.room})`);
      if (extra > 1) return failed(`${extra} requests at the back end: ${brief(complete.map(({ startLine }) => startLine).join(", "))}`);
      return must ? failed("forwarded as one well-formed request, against a MUST") : lenient("forwarded as one well-formed request");
    }
    case "incomplete":
      return forwarded === 0 ? passed(said) : failed("a request that was cut arrives as a whole one");
    case "forwarded":
      if (forwarded === verdict.requests.length) return again(verdict.requests);
      if (own && forwarded === 0) return passed(said);
      return failed(forwarded < verdict.requests.length ? `a valid request is refused: ${said}` : `${forwarded} requests at the back end: ${brief(complete.map(({ startLine }) => startLine).join(", "))}`);
    case "either":
      if (forwarded === 0) return passed(said);
      return forwarded === verdict.requests.length ? again(verdict.requests) : failed(`${forwarded} requests at the back end instead of ${verdict.requests.length}`);
    case "at most":
      return forwarded <= verdict.requests.length ? again(verdict.requests) : failed(`${forwarded} requests at the back end: ${brief(complete.map(({ startLine }) => startLine).join(", "))}`);
    case "no tunnel":
      try {
        expectNoTunnel(backend, client, verdict.protocols);
        return passed(said);
      } catch {
        return failed("the back end is asked for HTTP by Upgrade, and a tunnel may be made");
      }
  }
}

async function assessDelivery(lane: Lane<Backend>, test: RequestCase, parts: (bytes: Buffer) => Buffer[]): Promise<Assessment> {
  const { backend } = lane;
  behave(backend, test.backend ?? "patient");
  const before = backend instanceof RawBackend ? new Map(backend.connections.map((connection) => [connection, connection.reader.messages.length])) : new Map();
  const client = await deliver(lane.port, test, parts);
  try {
    const replies = "requests" in test.verdict ? test.verdict.requests.length : 1;
    const done = () => client.peer !== "open" || finals(client).filter(({ state }) => state === "complete").length >= replies || client.reader.messages.some(({ status }) => status === 101);
    await until("an answer", done, PATIENCE).catch(() => undefined);
    if (client.peer === "open") await sleep(QUIET);
    const { malformed } = backend;
    if (malformed.length > 0) {
      const odd = backend instanceof RawBackend && backend.connections.filter(({ reader }) => reader.malformed !== undefined).every((connection) => onlyOdd("request", connection.received, (before.get(connection) ?? 0) + 1));
      if (malformed.every(isLongLength)) return lenient("a length goes on as it came");
      return odd && test.must !== true ? lenient("invalid characters go on as they came") : failed(`malformed bytes at the back end: ${brief(malformed.join("; "))}`);
    }
    const assessment = judgeRequest(backend, test, client);
    client.destroy();
    // A tunnel has no end that concerns anybody.
    const settled = await until("the end of what was begun", () => backend.requests.every(({ state }) => state !== "open"), TIDY).catch(() => false);
    if (settled === false && assessment.grade !== "failed") return failed(`a request that was begun stays open at the back end: ${brief(show(backend.requests))}`);
    return assessment;
  } finally {
    client.destroy();
  }
}

/** A request case through a product: what its back end saw. */
export function assessRequest(lane: Lane<Backend>, test: RequestCase): Promise<Assessment> {
  return inSegments(async (parts) => {
    const assessment = await assessDelivery(lane, test, parts);
    if (assessment.grade !== "passed") {
      abandon(lane.backend);
      return assessment;
    }
    return (await probed(lane)) ?? assessment;
  });
}

/** A request of somebody else must get its own answer. */
async function probed(lane: Lane<Backend>): Promise<Assessment | undefined> {
  try {
    await probe(lane);
    return undefined;
  } catch (error) {
    abandon(lane.backend);
    return failed(`the next client's request went wrong: ${brief(error instanceof Error ? error.message : String(error))}`);
  }
}

function judgeReply(client: RawClient, { verdict, after }: ResponseCase): Assessment {
  // RFC 9110 section 15 tells clients what to make of a status beyond 599.
  if (/^start line "HTTP\/1\.[01] \d{3}( [ -~]*)?"$/.test(client.reader.malformed ?? "")) return lenient("a status line goes on as it came");
  if (client.reader.malformed !== undefined) return onlyOdd("reply", client.received, 1) ? lenient("invalid characters go on as they came") : failed(`the client gets malformed bytes: ${brief(client.reader.malformed)}`);
  const [reply] = finals(client);
  const said = told(client);
  if (reply === undefined) {
    const tunnel = client.reader.messages.some(({ status }) => status === 101);
    if (tunnel) return failed("a tunnel is made");
    return verdict.kind === "reply" ? failed(`the client gets ${said}`) : passed(said);
  }
  const refused = reply.status >= 500 && !reply.text.includes("hello");
  const clean = reply.state === "complete" && !(reply.framing === "close" && client.peer === "reset");
  switch (verdict.kind) {
    case "reply":
      return reply.status === verdict.status && clean ? matching(reply, verdict) : failed(`the client gets ${reply.state === "complete" ? said : `${said}, cut short`}`);
    case "bad":
      if (refused) return passed(said);
      return clean ? lenient("goes on as one well-formed reply") : lenient("goes on, visibly cut short");
    case "broken":
      if (refused || !clean) return passed(refused ? said : "cut short");
      if (after === "stay" && reply.text === "hello") return lenient("goes on as one well-formed reply");
      return failed(`a reply that is broken looks complete: ${brief(JSON.stringify(reply.text))}`);
    case "either":
      if (refused || !clean) return passed(said);
      return reply.text === verdict.body ? passed("goes on") : failed(`another body: ${brief(JSON.stringify(reply.text))}`);
  }
}

function matching(reply: Message, wanted: Parameters<typeof compare>[1]): Assessment {
  try {
    compare(reply, wanted);
    return passed("goes on");
  } catch (error) {
    return failed(differs(error));
  }
}

/** A response case through a product: what its client saw. */
export function assessReply(lane: Lane<RawBackend>, test: ResponseCase): Promise<Assessment> {
  return inSegments(async (parts) => {
    const { backend } = lane;
    backend.clear(answering(test, parts(Buffer.from(test.send, "latin1"))));
    const client = await RawClient.connect(lane.port);
    try {
      client.request(asked(test));
      await until("a reply", () => client.peer !== "open" || finals(client).some(({ state }) => state !== "open") || client.reader.malformed !== undefined, PATIENCE).catch(() => undefined);
      if (client.peer === "open") await sleep(QUIET);
      const assessment = judgeReply(client, test);
      await Promise.all(backend.connections.map(({ turn }) => turn));
      backend.script = sayWhich;
      if (assessment.grade === "passed" && client.peer === "open" && finals(client)[0]?.state === "complete") {
        const next = await client.skip().ask("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n", PATIENCE).catch(() => undefined);
        if (next !== undefined && next.text !== "GET /next") return failed(`the next request on the connection is answered with ${brief(show([next]))}`);
      }
      return (await probed(lane)) ?? assessment;
    } finally {
      client.destroy();
      abandon(backend);
      backend.clear(sayWhich);
    }
  });
}

/**
 * The spans of an exchange: one of its own, and one for each way to a target, as the HTTP semantic conventions have them
 * (https://opentelemetry.io/docs/specs/semconv/http/http-spans/); what they have no name for is `fairlead.*`.
 */
import type { Attributes, AttributeValue, SpanContext, SpanStatus, TraceState } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";
import type { Account, Attempt, Trace } from "../account.ts";
import { CAUSES } from "../cause.ts";

/** What all spans of a process have in common, and what only the libraries can make. */
export interface Origin extends Pick<ReadableSpan, "resource" | "instrumentationScope"> {
  traceState(text: string): TraceState;
  newSpanId(): string;
  /** Tell what follows the ? of paths. */
  readonly tellsQuery: boolean;
}

type Facts = Readonly<Record<string, AttributeValue | undefined>>;

// Of @opentelemetry/api, which is loaded with the exporter only.
const SAMPLED = 1;
const KIND = { server: 1, client: 2 } as const;
const STATUS_UNSET = 0;
const STATUS_ERROR = 2;

/** Other methods are `_OTHER`: a client may think of as many as it likes. */
const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"]);
const VERSIONS: Readonly<Record<string, string>> = { "HTTP/1.0": "1.0", "HTTP/1.1": "1.1", "HTTP/2.0": "2" };

/** None for an exchange that is not recorded. */
export function spansOf(account: Account, origin: Origin): ReadableSpan[] {
  const { trace } = account;
  if (trace?.sampled !== true) return [];
  return [exchangeSpan(account, trace, origin), ...account.tries.map((attempt, index) => attemptSpan(account, attempt, index, trace, origin))];
}

function exchangeSpan(account: Account, trace: Trace, origin: Origin): ReadableSpan {
  const { method, route, status, cause, detail, fault, at, milliseconds, path, client, host } = account;
  const failed = status >= 500 || CAUSES[cause].status >= 500;
  const named = METHODS.has(method) ? method : "HTTP";
  const query = path.indexOf("?");
  return span(origin, {
    name: route === "" ? named : route.startsWith(named) ? route : `${named} ${route}`,
    kind: KIND.server,
    context: contextOf(origin, trace, trace.span),
    parent: trace.parent === "" ? undefined : { ...contextOf(origin, trace, trace.parent), isRemote: true },
    at,
    milliseconds,
    error: failed ? detail || cause : undefined,
    facts: {
      ...methodFacts(method),
      ...placeFacts("server", host),
      ...placeFacts("network.peer", client),
      "client.address": placeFacts("client", client)["client.address"],
      "url.scheme": trace.scheme,
      "url.path": query < 0 ? path : path.slice(0, query),
      "url.query": query < 0 || !origin.tellsQuery ? undefined : path.slice(query + 1),
      "network.protocol.version": VERSIONS[account.protocol],
      "user_agent.original": trace.userAgent || undefined,
      "http.response.status_code": status || undefined,
      "http.request.body.size": account.bytesIn,
      "http.response.body.size": account.bytesOut,
      "error.type": failed ? (cause === "done" ? String(status) : cause) : undefined,
      "fairlead.listener": account.listener,
      "fairlead.route": route || undefined,
      "fairlead.upstream": account.upstream || undefined,
      "fairlead.cause": cause,
      "fairlead.detail": detail || undefined,
      "fairlead.fault": fault || undefined,
      "fairlead.request_id": account.requestId || undefined,
      "fairlead.attempts": account.attempts,
      "fairlead.queued_ms": account.queued,
      "fairlead.first_byte_ms": account.firstByte || undefined,
      "fairlead.candidates": account.candidateCount,
    },
  });
}

function attemptSpan(account: Account, attempt: Attempt, index: number, trace: Trace, origin: Origin): ReadableSpan {
  const { target, status, cause, detail, milliseconds } = attempt;
  const failed = status >= 400 || CAUSES[cause].side === "target";
  return span(origin, {
    name: METHODS.has(account.method) ? account.method : "HTTP",
    kind: KIND.client,
    context: contextOf(origin, trace, attempt.span ?? origin.newSpanId()),
    parent: contextOf(origin, trace, trace.span),
    at: account.at + attempt.at,
    milliseconds,
    error: failed ? detail || cause : undefined,
    facts: {
      ...methodFacts(account.method),
      ...placeFacts("server", target),
      "http.request.resend_count": index || undefined,
      "http.response.status_code": status || undefined,
      "error.type": failed ? (status >= 400 ? String(status) : cause) : undefined,
      "fairlead.upstream": account.upstream,
      "fairlead.cause": cause,
      "fairlead.detail": detail || undefined,
      "fairlead.connect_ms": attempt.connect,
      "fairlead.first_byte_ms": attempt.firstByte || undefined,
      "fairlead.hedge": attempt.hedge || undefined,
    },
  });
}

interface SpanFacts {
  readonly name: string;
  readonly kind: 1 | 2;
  readonly context: SpanContext;
  readonly parent: SpanContext | undefined;
  /** Wall-clock ms since 1970. */
  readonly at: number;
  readonly milliseconds: number;
  /** In words; undefined: it is none. */
  readonly error: string | undefined;
  readonly facts: Facts;
}

function span(origin: Origin, { name, kind, context, parent, at, milliseconds, error, facts }: SpanFacts): ReadableSpan {
  const status: SpanStatus = error === undefined ? { code: STATUS_UNSET } : { code: STATUS_ERROR, message: error };
  const { resource, instrumentationScope } = origin;
  return {
    resource,
    instrumentationScope,
    name,
    kind,
    spanContext: () => context,
    ...(parent === undefined ? {} : { parentSpanContext: parent }),
    startTime: time(at),
    endTime: time(at + milliseconds),
    duration: time(milliseconds),
    status,
    attributes: Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)) as Attributes,
    links: [],
    events: [],
    ended: true,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

function contextOf(origin: Origin, { id, state }: Trace, spanId: string): SpanContext {
  return { traceId: id, spanId, traceFlags: SAMPLED, ...(state === "" ? {} : { traceState: origin.traceState(state) }) };
}

/** Seconds, and nanoseconds of the next one. */
function time(milliseconds: number): [number, number] {
  const seconds = Math.floor(milliseconds / 1000);
  return [seconds, Math.min(999_999_999, Math.round((milliseconds - seconds * 1000) * 1e6))];
}

function methodFacts(method: string): Facts {
  return METHODS.has(method) ? { "http.request.method": method } : { "http.request.method": "_OTHER", "http.request.method_original": method || undefined };
}

/** `name:8080`, `[::1]:8080`, a path, or a host alone. */
function placeFacts(what: string, place: string): Facts {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(place) ?? [];
  const address = bracketed ?? plain ?? place;
  return { [`${what}.address`]: address || undefined, [`${what}.port`]: port === undefined ? undefined : Number(port) };
}

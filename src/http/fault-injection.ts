/** What a fault does to a request before it goes to a target: it waits, is answered, is broken off, or its reply is seen to. */
import type { ClientFault, FaultRule } from "../config/snapshot.ts";
import { CHOICE_RULE } from "../faults/choice.ts";
import type { Faults, Injection } from "../faults/faults.ts";
import { FaultyTargets } from "../faults/faulty-targets.ts";
import { clientWords } from "../faults/words.ts";
import type { RoutingRequest } from "../policies/policy.ts";
import type { Match } from "../routing/router.ts";
import type { Placement } from "../upstream/placement.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { Exchange } from "./exchange.ts";
import { FaultedReply } from "./faulted-reply.ts";
import type { Services } from "./services.ts";
import type { ErrorReply } from "./sides.ts";

/** What a client is told whose header cannot be understood. */
const INVALID: ErrorReply = { status: 400, grpcStatus: undefined, text: CHOICE_RULE };
const INJECTED = "fault injected";
/** Told in HTTP, a call that fails has status 200: gRPC over HTTP/2, Responses. */
const CALL_STATUS = 200;

/** @returns true: the exchange has ended, or goes on by itself later */
export function injects(faults: Faults, exchange: Exchange, placement: Placement, match: Match<Upstream>, request: RoutingRequest, services: Services): boolean {
  const passage = { listener: exchange.telemetry.listenerName, route: match.label, upstream: match.upstream.name };
  const rules = faults.forTargets(passage, request);
  if (rules.length > 0) placement.tellInstead(new FaultyTargets(exchange, placement, faults, rules));
  const injection = faults.forClient(passage, request, exchange.isCall);
  if (injection === undefined) return false;
  placement.upstream = match.upstream;
  const { rule, fault } = injection;
  const goOn = (): void => {
    if (!faults.isInForce(rule) || !meets(faults, exchange, injection, services)) placement.seek(match.upstream.current, request);
  };
  const delay = fault === "invalid" || fault.delay === undefined ? 0 : faults.lengthOf(fault.delay);
  exchange.telemetry.detail = detailOf(injection, delay);
  exchange.injected(rule.name);
  if (delay > 0) placement.pause((over) => faults.wait(rule, delay, over), goOn);
  else goOn();
  return true;
}

/** @returns true: it has ended */
function meets(faults: Faults, exchange: Exchange, { rule, fault }: Injection, services: Services): boolean {
  if (fault === "invalid") answer(exchange, INVALID);
  else if (fault.reset) {
    exchange.telemetry.failed("fault-injected", exchange.telemetry.detail, undefined);
    exchange.finish("fault-injected");
    exchange.abort();
  } else if (fault.abort !== undefined || fault.grpcStatus !== undefined) answer(exchange, answerOf(exchange, fault));
  else {
    if (fault.throttle > 0 || fault.truncate !== undefined) faultReply(faults, exchange, rule, fault, services);
    return false;
  }
  return true;
}

function faultReply(faults: Faults, exchange: Exchange, rule: FaultRule, fault: ClientFault, services: Services): void {
  exchange.replyThrough((client) => new FaultedReply(client, exchange, faults, rule, fault, services));
}

function answerOf({ isCall }: Exchange, { abort, grpcStatus }: ClientFault): ErrorReply {
  return { status: abort ?? CALL_STATUS, grpcStatus: isCall ? grpcStatus : undefined, text: INJECTED };
}

function answer(exchange: Exchange, reply: ErrorReply): void {
  const { telemetry, isCall } = exchange;
  telemetry.status = reply.status;
  if (isCall && reply.grpcStatus !== undefined) telemetry.grpcStatus = reply.grpcStatus;
  telemetry.failed("fault-injected", telemetry.detail, undefined);
  exchange.answerInstead(reply);
}

/** For log and records. */
function detailOf({ rule: { name }, fault }: Injection, delay: number): string {
  if (fault === "invalid") return `fault "${name}": the client's X-Fairlead-Fault cannot be understood`;
  return `fault "${name}": ${clientWords(fault, delay)}`;
}

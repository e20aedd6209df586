/** gRPC's own statuses: what a client is told in place of an HTTP status, and what a target's say about it (gRPC over HTTP/2, Responses). */
import type { Cause } from "../observability/cause.ts";
import type { Fields } from "./fields.ts";
import type { RequestHead } from "./h1/request-head.ts";

/** By number. */
export const GRPC_STATUSES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;
const UNKNOWN = 2;
const DEADLINE_EXCEEDED = 4;
const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;
const UNAVAILABLE = 14;
const DATA_LOSS = 15;

export function isGrpc(head: RequestHead): boolean {
  const type = head.get("content-type");
  return type !== undefined && /^application\/grpc(?:$|[+;])/i.test(type);
}

/** What a call is told that is answered here with this HTTP status. */
export function grpcStatusFor(cause: Cause, status: number): number {
  // Who waited was waiting for the answer: other timeouts say that nobody could be asked.
  if (cause === "request-timeout" || cause === "response-timeout") return DEADLINE_EXCEEDED;
  switch (status) {
    case 404:
    case 405:
      return UNIMPLEMENTED;
    case 408:
      return DEADLINE_EXCEEDED;
    case 413:
    case 431:
      return RESOURCE_EXHAUSTED;
    case 429:
    case 502:
    case 503:
    case 504:
      return UNAVAILABLE;
    default:
      return INTERNAL;
  }
}

/** How a call ended: the grpc-status of trailers, or of a reply that is nothing but them; -1: it does not say. */
export function grpcStatusOf(fields: Fields): number {
  const text = fields.get("grpc-status");
  return text !== undefined && /^\d{1,2}$/.test(text) ? Number(text) : -1;
}

/**
 * The HTTP status that a target's grpc-status counts as with the circuit breaker and outlier detection; 0: it is no failure of the target.
 * A deadline is the client's: missing it is an error, and not one that says that nobody is there.
 */
export function failureOf(grpcStatus: number): number {
  switch (grpcStatus) {
    case UNAVAILABLE:
      return 503;
    case UNKNOWN:
    case DEADLINE_EXCEEDED:
    case INTERNAL:
    case DATA_LOSS:
      return 500;
    default:
      return 0;
  }
}

/** The fields of a reply that has only these: a "Trailers-Only" one. */
export function grpcLines(cause: Cause, status: number, text: string, grpcStatus = grpcStatusFor(cause, status)): string {
  const message = text === "" ? cause.replaceAll("-", " ") : text;
  return `content-type: application/grpc\r\ngrpc-status: ${grpcStatus}\r\ngrpc-message: ${encodeURI(message)}\r\n`;
}

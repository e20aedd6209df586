/** What a gRPC client is told in place of an HTTP status (gRPC over HTTP/2, Responses; "HTTP to gRPC Status Code Mapping"). */
import type { Cause } from "../../observability/cause.ts";
import type { RequestHead } from "../h1/request-head.ts";

const DEADLINE_EXCEEDED = 4;
const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;
const UNAVAILABLE = 14;

export function isGrpc(head: RequestHead): boolean {
  const type = head.get("content-type");
  return type !== undefined && /^application\/grpc(?:$|[+;])/i.test(type);
}

function codeOf(status: number): number {
  switch (status) {
    case 404:
    case 405:
      return UNIMPLEMENTED;
    case 408:
    case 504:
      return DEADLINE_EXCEEDED;
    case 413:
    case 431:
      return RESOURCE_EXHAUSTED;
    case 429:
    case 502:
    case 503:
      return UNAVAILABLE;
    default:
      return INTERNAL;
  }
}

/** The fields of a reply that has only these: a "Trailers-Only" one. */
export function grpcLines(cause: Cause, status: number, text: string): string {
  const message = text === "" ? cause.replaceAll("-", " ") : text;
  return `content-type: application/grpc\r\ngrpc-status: ${codeOf(status)}\r\ngrpc-message: ${encodeURI(message)}\r\n`;
}

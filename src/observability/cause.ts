/**
 * Why an exchange ended: one list that log, metrics, events and tests share.
 *
 * Each cause names who ended it and in which phase, like HAProxy's termination codes.
 */
import { TlsError } from "../net/tls.ts";

export const CAUSES = {
  /** Request and reply are whole. */
  "done": { side: "none", phase: "-", status: 0 },
  /** Answered here without an upstream (health path, TRACE, OPTIONS with Max-Forwards 0). */
  "local": { side: "none", phase: "request", status: 0 },
  /** The request breaks the protocol or a limit. */
  "bad-request": { side: "client", phase: "request", status: 400 },
  "client-header-timeout": { side: "client", phase: "request", status: 408 },
  "client-body-timeout": { side: "client", phase: "body", status: 408 },
  "client-closed": { side: "client", phase: "any", status: 499 },
  "client-write-timeout": { side: "client", phase: "reply", status: 499 },
  /** What a trusted proxy sent first is no PROXY protocol header, or it did not come. */
  "bad-proxy-header": { side: "client", phase: "accept", status: 0 },
  "proxy-header-timeout": { side: "client", phase: "accept", status: 0 },
  /** On a tls-passthrough listener: what came first is no ClientHello, or it did not come. */
  "bad-client-hello": { side: "client", phase: "accept", status: 0 },
  "client-hello-timeout": { side: "client", phase: "accept", status: 0 },
  "tls-handshake-failed": { side: "client", phase: "tls", status: 0 },
  "tls-handshake-timeout": { side: "client", phase: "tls", status: 0 },
  "client-certificate-missing": { side: "client", phase: "tls", status: 0 },
  /** It is not signed by whom we trust, expired, or revoked. */
  "client-certificate-refused": { side: "client", phase: "tls", status: 0 },
  "too-many-connections": { side: "balancer", phase: "accept", status: 503 },
  /** One client address has as many connections as it may. */
  "too-many-connections-of-client": { side: "balancer", phase: "accept", status: 429 },
  /** This side has no descriptor, memory or local port left for another connection. */
  "overloaded": { side: "balancer", phase: "accept", status: 503 },
  "no-route": { side: "balancer", phase: "route", status: 404 },
  "no-target": { side: "balancer", phase: "pick", status: 503 },
  /** All targets were full, and so was the queue, or it took too long. */
  "queue-full": { side: "balancer", phase: "queue", status: 503 },
  "queue-timeout": { side: "balancer", phase: "queue", status: 503 },
  /** Not an end: the reply's status is one that is tried again. */
  "retry-status": { side: "target", phase: "reply", status: 502 },
  /** Not an end: another attempt of the same request was answered first. */
  "hedge-lost": { side: "balancer", phase: "wait", status: 0 },
  "circuit-open": { side: "balancer", phase: "pick", status: 503 },
  /** The target speaks HTTP/2 and does not take WebSockets over it: what the client asks for, not what the target does, is at fault. */
  "upgrade-unsupported": { side: "balancer", phase: "connect", status: 502 },
  /** The target's drain is over, or it was put out of service. */
  "target-drained": { side: "balancer", phase: "any", status: 503 },
  /** Somebody wants to see what becomes of it: an abort, a reset or a truncated reply. */
  "fault-injected": { side: "balancer", phase: "any", status: 503 },
  "request-timeout": { side: "balancer", phase: "any", status: 504 },
  "shutdown": { side: "balancer", phase: "any", status: 503 },
  "connect-refused": { side: "target", phase: "connect", status: 502 },
  "connect-timeout": { side: "target", phase: "connect", status: 504 },
  "connect-failed": { side: "target", phase: "connect", status: 502 },
  /** The target's certificate is not good, or is another's. */
  "tls-verify-failed": { side: "target", phase: "connect", status: 502 },
  /** The target and we found no way to speak TLS with each other. */
  "tls-connect-failed": { side: "target", phase: "connect", status: 502 },
  "target-closed": { side: "target", phase: "wait", status: 502 },
  "target-reset": { side: "target", phase: "wait", status: 502 },
  /** The target says that it has not looked at the request: HTTP/2's REFUSED_STREAM, or GOAWAY. */
  "stream-refused": { side: "target", phase: "wait", status: 502 },
  "bad-reply": { side: "target", phase: "reply", status: 502 },
  "response-timeout": { side: "target", phase: "wait", status: 504 },
  "target-write-timeout": { side: "target", phase: "body", status: 504 },
  "reply-truncated": { side: "target", phase: "reply", status: 502 },
  "reply-timeout": { side: "target", phase: "reply", status: 504 },
  /** A tunnel or a tcp connection without a byte for too long. */
  "idle-timeout": { side: "balancer", phase: "tunnel", status: 0 },
} as const satisfies Record<string, { side: "none" | "client" | "target" | "balancer"; phase: string; status: number }>;

export type Cause = keyof typeof CAUSES;

/** In the order of the list: how causes are counted. */
export const CAUSE_NAMES = Object.keys(CAUSES) as readonly Cause[];
export const CAUSE_NUMBERS = Object.fromEntries(CAUSE_NAMES.map((cause, number) => [cause, number])) as Readonly<Record<Cause, number>>;

/** Out of descriptors, memory or local ports: never the target's fault. */
export const OUR_SHORTAGES: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EAGAIN", "EADDRNOTAVAIL"]);

/** The cause of a connect that failed with this errno name, or this code of a TLS failure. */
export function connectCause(code: string): Cause {
  if (OUR_SHORTAGES.has(code)) return "overloaded";
  if (code === TlsError.CERTIFICATE) return "tls-verify-failed";
  if (code === TlsError.HANDSHAKE) return "tls-connect-failed";
  return code === "ECONNREFUSED" || code === "ENOENT" ? "connect-refused" : code === "ETIMEDOUT" ? "connect-timeout" : "connect-failed";
}

/** What a load generator is told, and what it tells: the interface between it and whoever starts it (generator.ts). */

export interface Lane {
  readonly name: string;
  readonly port: number;
  readonly protocol: "h1" | "h2";
  /** TLS, whose certificate is not looked at. Default: none. */
  readonly tls?: boolean;
  /** Connections that are kept open; an open loop in the clear opens more while requests wait for one. */
  readonly connections: number;
  /** HTTP/2: requests at a time on each. Default: 8. */
  readonly streams?: number;
  /** Part of the requests that are POSTs with a body; default 0. */
  readonly posts?: number;
  /** HTTP/1.1: after so many requests the client goes and comes anew. Default: it stays. */
  readonly requestsPerConnection?: number;
  /**
   * Open loop: so many requests are due each second over the lane, evenly, whatever becomes of those before; latency counts from when a request was due.
   * Absent: closed loop, each connection or stream asks again when it has been answered.
   */
  readonly rate?: number;
}

export interface LoadPlan {
  /** The first request's number; those after it follow. Generators that run at a time need numbers of their own. */
  readonly first: number;
  readonly lanes: readonly Lane[];
  /** How long a reply may take, in ms; then the request has failed. Default: 10,000. */
  readonly timeout?: number;
}

export type FailureKind =
  /** The connect failed. */
  | "refused"
  /** The connection ended with a reset. */
  | "reset"
  /** The connection ended before a byte of the reply. */
  | "closed"
  /** The connection or stream ended within the reply. */
  | "truncated"
  | "timeout"
  /** A status that is not 200. */
  | "status"
  /** RST_STREAM. */
  | "stream reset"
  /** Another's reply, changed bytes, or bytes that nobody asked for: must never be. */
  | "wrong";

/** A request that was not answered as it should have been. Times are ms since 1970. */
export interface Failure {
  readonly kind: FailureKind;
  readonly lane: string;
  readonly number: number;
  readonly method: "GET" | "POST";
  /** The client's port; 0: it had none. */
  readonly port: number;
  /** Of the kind "status"; else 0. */
  readonly status: number;
  /** Requests that this connection had answered before. */
  readonly answeredBefore: number;
  /** The back end that answered last on this connection; 0: none did. */
  readonly backend: number;
  readonly sent: number;
  readonly ended: number;
  /** How far its reply was, or what is wrong with it. */
  readonly detail: string;
  /** The socket's error; "": it had none. */
  readonly reason: string;
}

/** What has been counted so far. */
export interface Counts {
  readonly requests: number;
  readonly failed: number;
  /** Sent once more on another connection because the server said that it had done nothing with it: above the last stream of a GOAWAY, or REFUSED_STREAM (RFC 9113 section 8.7). */
  readonly resent: number;
  readonly connections: number;
}

export interface LaneReport extends Counts {
  readonly name: string;
  /** Of those that were answered well, in ms: the 50th, 99th and 99.9th percentile and the longest. */
  readonly latency: readonly [p50: number, p99: number, p999: number, max: number];
}

export interface LoadReport extends Counts {
  readonly lanes: readonly LaneReport[];
  /** The first MAX_TOLD of them. */
  readonly failures: readonly Failure[];
  readonly seconds: number;
}

/** So many failures are told one by one. */
export const MAX_TOLD = 20_000;

export type ToGenerator = { readonly type: "start"; readonly plan: LoadPlan } | { readonly type: "stop" };
export type FromGenerator = { readonly type: "up" } | { readonly type: "counts"; readonly counts: Counts } | { readonly type: "report"; readonly report: LoadReport };

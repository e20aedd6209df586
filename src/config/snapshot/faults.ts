/** Faults that are injected. */
import type { RouteConfig } from "./route.ts";
import type { Milliseconds } from "./units.ts";

/** What is made to go wrong, and for whom. */
export interface FaultRule {
  readonly name: string;
  /** Names; empty, as all lists here: every one. */
  readonly listeners: readonly string[];
  /** Labels. */
  readonly routes: readonly string[];
  readonly upstreams: readonly string[];
  /** Lower-case names, `*.example.org` for any name below it. */
  readonly hosts: readonly string[];
  /** Of HTTP, as are headers. */
  readonly methods: readonly string[];
  readonly headers: RouteConfig["headers"];
  /** Of those for whom all of that holds, from 0 to 100. */
  readonly percent: number;
  readonly effect: FaultEffect;
  /** When it ends, in wall-clock ms since 1970; absent: it does not by itself. */
  readonly until?: number;
}

export type FaultEffect =
  /** Towards the client. */
  | ({ readonly side: "client" } & ClientFault)
  /** The same, as the client's own header says. */
  | { readonly side: "chosen" }
  /** As if a target did it. */
  | ({ readonly side: "target" } & TargetFault);

/** From and to, both included: one is drawn for each exchange. */
export interface FaultDelay {
  readonly from: Milliseconds;
  readonly to: Milliseconds;
}

export interface ClientFault {
  /** Before all else. */
  readonly delay?: FaultDelay;
  /** The reply in place of a target's; a gRPC status is for calls, and without `abort` the rule is for calls only. */
  readonly abort?: number;
  readonly grpcStatus?: number;
  /** No reply: the connection, with HTTP/2 the stream, is reset. */
  readonly reset: boolean;
  /** Bytes of the reply's body a second; 0: as fast as it comes. */
  readonly throttle: number;
  /** Bytes of the reply's body after which it breaks off; absent: it is whole. */
  readonly truncate?: number;
}

export type TargetError = "connect-refused" | "connect-timeout" | "response-timeout" | "target-reset";

export interface TargetFault {
  /** Addresses as written; empty: every one. */
  readonly targets: readonly string[];
  /** Before the attempt goes on its way. */
  readonly delay?: FaultDelay;
  /** What it comes to. */
  readonly error?: TargetError;
}

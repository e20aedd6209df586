/**
 * A client's own connections to targets, which begin with who it is (PROXY protocol): each serves this client's requests only, one after the other,
 * and ends with the client.
 */
import type { Arrival } from "../accept/arrival.ts";
import type { Target } from "../upstream/target.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { UpstreamStream } from "./sides.ts";

/** A connection that is one client's. */
export interface OwnStream extends UpstreamStream {
  /** It can take a request. */
  readonly isIdle: boolean;
}

export class OwnConnections {
  /** Where the client comes from. */
  readonly arrival: Arrival;
  private idle: OwnStream[] = [];
  private closed = false;

  constructor(arrival: Arrival) {
    this.arrival = arrival;
  }

  /** One that waits for a request to this target. */
  take(target: Target): UpstreamStream | undefined {
    const at = this.idle.findIndex((stream) => stream.isIdle && stream.target === target);
    return at < 0 ? undefined : this.idle.splice(at, 1)[0];
  }

  /** Keep for the next request. False: it is of no use. */
  keep(stream: OwnStream): boolean {
    const { target } = stream;
    if (this.closed || !target.current || !target.isWanted) return false;
    // Those that their targets have ended go.
    this.idle = this.idle.filter(({ isIdle }) => isIdle);
    this.idle.push(stream);
    return true;
  }

  /** The client is gone. */
  close(): void {
    this.closed = true;
    for (const stream of this.idle.splice(0)) if (stream.isIdle) stream.retire();
  }
}

/** A connection that waits for a request to this target: of all clients, or of the one that asks, where targets are told who it is. */
export function takeIdle(target: Target, { config }: Upstream, asks: { readonly own: OwnConnections }): UpstreamStream | undefined {
  return config.proxyProtocol === undefined ? (target.takeIdle() as UpstreamStream | undefined) : asks.own.take(target);
}

/** A request that comes to no exchange, for nobody knows what it asks: its head cannot be read or does not come in time, or its client is one too many. */
import { type Account, NO_REQUEST } from "../observability/account.ts";
import type { Cause } from "../observability/cause.ts";
import type { Ended } from "../observability/witnesses.ts";
import type { Listener } from "../routing/listener.ts";
import type { Services } from "./services.ts";

export interface Refused {
  readonly listener: Listener;
  readonly protocol: Account["protocol"];
  /** Its address and port. */
  readonly client: string;
  readonly cause: Cause;
  /** What it is told. */
  readonly status: number;
  readonly detail: string;
  /** Of the body that says so. */
  readonly bytesOut: number;
}

/** Count it, and tell of it whoever wants to know. */
export function refuseRequest({ witnesses, network }: Services, request: Refused): void {
  const { listener, cause, status } = request;
  listener.refused(cause, status);
  witnesses?.ended(new Refusal(request, network.clock.wall()), cause, status, 0, 0);
}

class Refusal implements Ended {
  readonly isTraced = false;
  private readonly request: Refused;
  private readonly at: number;

  /** @param at wall-clock ms since 1970 */
  constructor(request: Refused, at: number) {
    this.request = request;
    this.at = at;
  }

  account(): Account {
    const { listener, protocol, client, cause, status, detail, bytesOut } = this.request;
    return {
      protocol,
      at: this.at,
      listener: listener.config.name,
      route: "",
      upstream: "",
      target: "",
      client,
      ...NO_REQUEST,
      status,
      cause,
      detail,
      milliseconds: 0,
      queued: 0,
      connect: 0,
      firstByte: 0,
      bytesIn: 0,
      bytesOut,
      attempts: 0,
      tries: [],
      candidates: [],
      candidateCount: 0,
    };
  }
}

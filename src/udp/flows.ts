/**
 * The flows of a worker, over all its udp listeners. A source address can be forged, and each new one costs a descriptor: flows have a part of
 * those only, so that whoever floods one listener does not keep clients from others. When there is no place, the oldest flow goes whose client
 * has not spoken again after a reply: only who is really there does (Linux's conntrack has the same rule for what it drops early).
 */
import type { Clock } from "../net/network.ts";
import type { LimitedLog } from "../observability/limited-log.ts";
import type { UdpRelay } from "./relay.ts";

/** Between two complaints, in ms. */
const COMPLAIN_EVERY = 10_000;

export class Flows {
  private readonly most: number;
  private readonly log: LimitedLog;
  private readonly clock: Clock;
  private readonly relays = new Set<UdpRelay>();
  private nextComplaint = 0;

  /** @param most flows at a time; Infinity: as many as there are */
  constructor(most: number, log: LimitedLog, clock: Clock) {
    this.most = most;
    this.log = log;
    this.clock = clock;
  }

  join(relay: UdpRelay): void {
    this.relays.add(relay);
  }

  leave(relay: UdpRelay): void {
    this.relays.delete(relay);
  }

  /** Is there a place for the last one, if need be that of another flow of the listener that has most of those who have not shown themselves? */
  hasPlace(): boolean {
    let open = 0;
    let fullest: UdpRelay | undefined;
    for (const relay of this.relays) {
      open += relay.open;
      if (fullest === undefined || relay.unproven > fullest.unproven) fullest = relay;
    }
    if (open <= this.most) return true;
    this.complain();
    return fullest?.dropOldest("overloaded") === true;
  }

  private complain(): void {
    const { now } = this.clock;
    if (now < this.nextComplaint) return;
    this.nextComplaint = now + COMPLAIN_EVERY;
    this.log.write("warn", { flows: this.most }, "Flows of udp have taken their part of the open files: new ones take the places of those whose clients have not spoken after a reply (set udp_responses or a shorter udp_idle, or raise the limit: ulimit -n)");
  }
}

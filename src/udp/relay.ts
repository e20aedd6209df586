/** A udp listener at work: which client a datagram is of, and what its clients share. What happens to it is up to its flow (flow.ts). */
import type { DatagramListener, DatagramPeer, DatagramReceiver } from "../net/datagram.ts";
import type { NetListener, Network } from "../net/network.ts";
import type { TimerWheel } from "../net/timers.ts";
import type { Cause } from "../observability/cause.ts";
import type { LimitedLog } from "../observability/limited-log.ts";
import type { Witnesses } from "../observability/witnesses.ts";
import type { Listener } from "../routing/listener.ts";
import { Flow } from "./flow.ts";
import type { Flows } from "./flows.ts";

/** What udp clients of one worker share. */
export interface UdpServices {
  readonly network: Network;
  readonly wheel: TimerWheel;
  readonly udpLog: LimitedLog;
  readonly witnesses: Witnesses | undefined;
  /** This worker, or process, leaves. */
  readonly draining: boolean;
}

export class UdpRelay implements DatagramReceiver, NetListener {
  readonly listener: Listener;
  readonly services: UdpServices;
  readonly flows: Flows;
  private readonly socket: DatagramListener;
  private readonly byPeer = new Map<string, Flow>();
  /** Those whose clients have not spoken after a reply; the oldest first. */
  private readonly unprovenFlows = new Set<Flow>();
  private closing = false;

  /** @param fd inherited descriptor; undefined: bind the listener's own address @throws what the network does */
  constructor(listener: Listener, fd: number | undefined, services: UdpServices, flows: Flows) {
    this.listener = listener;
    this.services = services;
    this.flows = flows;
    this.socket = services.network.datagrams.listen(listener.config.address, fd, this);
    flows.join(this);
  }

  get port(): number {
    return this.socket.port;
  }

  /** Flows of now; of these those whose clients may be anybody. */
  get open(): number {
    return this.byPeer.size;
  }

  get unproven(): number {
    return this.unprovenFlows.size;
  }

  onDatagram(bytes: Buffer, address: string, port: number): void {
    const key = `${address} ${port}`;
    let flow = this.byPeer.get(key);
    if (flow === undefined) {
      flow = new Flow(this, key, this.socket.peer(address, port));
      this.byPeer.set(key, flow);
      if (!flow.admit()) return;
      this.unprovenFlows.add(flow);
    }
    flow.forward(bytes);
  }

  /** To a client. */
  reply(bytes: Buffer, to: DatagramPeer): void {
    this.socket.send(bytes, to);
  }

  /** Its client is where it says that it is. */
  prove(flow: Flow): void {
    this.unprovenFlows.delete(flow);
  }

  /** For the sake of another one. @returns false: there is none that may go */
  dropOldest(cause: Cause): boolean {
    const { value: oldest } = this.unprovenFlows.values().next();
    oldest?.drop(cause);
    return oldest !== undefined;
  }

  /** A flow is over. */
  forget(flow: Flow, key: string): void {
    this.byPeer.delete(key);
    this.unprovenFlows.delete(flow);
    this.closeIfDone();
  }

  /** Nothing more comes in; replies go out until the last flow is over. */
  close(): void {
    this.closing = true;
    this.socket.stop();
    this.closeIfDone();
  }

  private closeIfDone(): void {
    if (!this.closing || this.byPeer.size > 0) return;
    this.socket.close();
    this.flows.leave(this);
  }

  /** Datagrams go on as they came: DTLS and QUIC end at the targets. */
  secure(): void {}

  /** When descriptors are short, new clients are turned away one by one. */
  pause(): void {}

  resume(): void {}
}

/** A udp listener at work: which client a datagram is of, and what its clients share. What happens to it is up to its flow (flow.ts). */
import type { DatagramListener, DatagramPeer, DatagramReceiver } from "../net/datagram.ts";
import type { NetListener, Network } from "../net/network.ts";
import type { TimerWheel } from "../net/timers.ts";
import type { LimitedLog } from "../observability/limited-log.ts";
import type { Witnesses } from "../observability/witnesses.ts";
import type { Listener } from "../routing/listener.ts";
import { Flow } from "./flow.ts";

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
  private readonly socket: DatagramListener;
  private readonly flows = new Map<string, Flow>();
  private closing = false;

  /** @param fd inherited descriptor; undefined: bind the listener's own address @throws what the network does */
  constructor(listener: Listener, fd: number | undefined, services: UdpServices) {
    this.listener = listener;
    this.services = services;
    this.socket = services.network.datagrams.listen(listener.config.address, fd, this);
  }

  get port(): number {
    return this.socket.port;
  }

  onDatagram(bytes: Buffer, address: string, port: number): void {
    const key = `${address} ${port}`;
    let flow = this.flows.get(key);
    if (flow === undefined) {
      flow = new Flow(this, key, this.socket.peer(address, port));
      this.flows.set(key, flow);
      if (!flow.admit()) return;
    }
    flow.forward(bytes);
  }

  /** To a client. */
  reply(bytes: Buffer, to: DatagramPeer): void {
    this.socket.send(bytes, to);
  }

  /** A flow is over. */
  forget(key: string): void {
    this.flows.delete(key);
    this.closeIfDone();
  }

  /** Nothing more comes in; replies go out until the last flow is over. */
  close(): void {
    this.closing = true;
    this.socket.stop();
    this.closeIfDone();
  }

  private closeIfDone(): void {
    if (this.closing && this.flows.size === 0) this.socket.close();
  }

  /** Datagrams go on as they came: DTLS and QUIC end at the targets. */
  secure(): void {}

  /** When descriptors are short, new clients are turned away one by one. */
  pause(): void {}

  resume(): void {}
}

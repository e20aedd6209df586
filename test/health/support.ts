/** A network and clock that tests turn by hand, snapshots in one line, and a log that remembers. */
import { type ApplyOptions, HealthChecker } from "../../src/health/checker.ts";
import { Rotation } from "../../src/health/rotation.ts";
import type { Scoreboard } from "../../src/scoreboard/scoreboard.ts";
import { snapshotOf as configured } from "../support/upstreams.ts";
import type { Address, HealthCheckConfig, Snapshot, TargetConfig, UpstreamConfig } from "../../src/config/snapshot.ts";
import type { DatagramNetwork } from "../../src/net/datagram.ts";
import type { Clock, NetListener, NetSocket, Network, SocketOwner } from "../../src/net/network.ts";
import { formatText, type Log } from "../../src/observability/log.ts";

export const PASSING = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** What a target does with a check: takes and answers it, refuses, is silent on connect or after it. */
export type Behaviour = { readonly reply: string } | "refuse" | "swallow" | "silent" | "shortage";

export class FakeNetwork implements Network {
  soon(run: () => void): void {
    queueMicrotask(run);
  }

  readonly clock = new FakeClock();
  readonly openSockets = 0;
  /** By port; what is not listed passes. */
  readonly behaviour = new Map<number, Behaviour>();
  /** One entry a connect: port and time. */
  readonly connects: { readonly port: number; readonly at: number }[] = [];
  readonly requests: string[] = [];
  open = 0;
  mostOpen = 0;
  private readonly draw: () => number;

  constructor(draw: () => number = () => 0.5) {
    this.draw = draw;
  }

  random(): number {
    return this.draw();
  }

  listen(): NetListener {
    throw new Error("not in this network");
  }

  tlsContext(): never {
    throw new Error("not in this network");
  }

  secure = this.tlsContext;
  peek = this.tlsContext;
  take = this.tlsContext;

  get datagrams(): DatagramNetwork {
    throw new Error("not in this network");
  }

  connect(address: Address, owner: SocketOwner): void {
    const port = address.kind === "tcp" ? address.port : 0;
    this.connects.push({ port, at: this.clock.time });
    const behaviour = this.behaviour.get(port) ?? { reply: PASSING };
    if (behaviour === "swallow") return;
    this.clock.after(1, () => {
      if (behaviour === "refuse") return owner.onConnectError("ECONNREFUSED");
      if (behaviour === "shortage") return owner.onConnectError("EMFILE");
      this.mostOpen = Math.max(this.mostOpen, ++this.open);
      const socket = this.socketFor(owner);
      owner.onOpen(socket);
      if (behaviour !== "silent") this.clock.after(1, () => owner.onData(Buffer.from(behaviour.reply)));
    });
  }

  private socketFor(owner: SocketOwner): NetSocket {
    let closed = false;
    const close = () => {
      if (closed) return;
      closed = true;
      this.open -= 1;
      socket.data.onClose(undefined);
    };
    const socket: NetSocket = {
      data: owner,
      alpnProtocol: null,
      write: (bytes, offset, length) => {
        this.requests.push(Buffer.from(bytes.subarray(offset, offset + length)).toString("latin1"));
        return length;
      },
      pause() {},
      resume() {},
      shutdown() {},
      end: close,
      terminate: close,
      remoteAddress: "127.0.0.1",
      remotePort: 1,
      localAddress: "127.0.0.1",
      localPort: 2,
    };
    return socket;
  }
}

class FakeClock implements Clock {
  time = 0;
  private count = 0;
  private readonly timers = new Map<number, { readonly at: number; readonly run: () => void }>();

  get now(): number {
    return this.time;
  }
  precise(): number {
    return this.time;
  }
  wall(): number {
    return 1_000_000 + this.time;
  }
  everyTick(): () => void {
    throw new Error("not in this clock");
  }
  after(delay: number, run: () => void): () => void {
    const id = this.count++;
    this.timers.set(id, { at: this.time + delay, run });
    return () => this.timers.delete(id);
  }
  get pending(): number {
    return this.timers.size;
  }

  /** Let this many milliseconds pass, timer by timer. */
  advance(milliseconds: number): void {
    const until = this.time + milliseconds;
    for (;;) {
      let next: [number, { at: number; run: () => void }] | undefined;
      for (const entry of this.timers) if (entry[1].at <= until && (next === undefined || entry[1].at < next[1].at)) next = entry;
      if (next === undefined) break;
      this.timers.delete(next[0]);
      this.time = Math.max(this.time, next[1].at);
      next[1].run();
    }
    this.time = until;
  }
}

export const CHECK: HealthCheckConfig = {
  type: "http",
  interval: 5000,
  timeout: 2000,
  rise: 2,
  fall: 3,
  initial: "up",
  path: "/healthz",
  method: "GET",
  headers: [],
  statuses: [],
  service: "",
  tls: false,
  command: [],
};

const DEFAULTS = configured({ upstreams: [{ name: "main", targets: [{ address: "127.0.0.1:1" }] }] }).upstreams[0]!;

export function target(slot: number, port = 9000 + slot, more: Partial<TargetConfig> = {}): TargetConfig {
  return { ...DEFAULTS.targets[0]!, address: { kind: "tcp", host: "127.0.0.1", port }, name: `127.0.0.1:${port}`, slot, ...more };
}

export function upstream(name: string, targets: readonly TargetConfig[], healthCheck: HealthCheckConfig | undefined = CHECK, slot = 0): UpstreamConfig {
  return { ...DEFAULTS, name, slot, targets, ...(healthCheck === undefined ? {} : { healthCheck }) };
}

export function snapshotOf(...upstreams: UpstreamConfig[]): Snapshot {
  return { generation: 1, workers: 1, drainTimeout: 0, maxClients: 1, log: { level: "info", modules: {} }, metrics: { buckets: [1], perTargetLimit: 0 }, listeners: [], routes: [], upstreams };
}

/** A checker and the rotation that it reports to. */
export function watching(network: Network, scoreboard: Scoreboard, log: Log): HealthChecker {
  const rotation = new Rotation({ scoreboard, clock: network.clock, log });
  const checker = new HealthChecker({ network, scoreboard, rotation, log });
  const apply = checker.apply.bind(checker);
  return Object.assign(checker, {
    apply: (snapshot: Snapshot, options?: ApplyOptions) => {
      rotation.apply(snapshot);
      apply(snapshot, options);
    },
  });
}

/** A log and the lines, as text, that were written to it at info or above. */
export function memoryLog(): { readonly log: Log; readonly lines: string[] } {
  const lines: string[] = [];
  const at = (level: number) => (fields: object, msg: string) => {
    lines.push(formatText(JSON.stringify({ level, time: "2000-01-01T00:00:00.000Z", ...fields, msg })).slice(13, -1));
  };
  const log = { level: "info", debug() {}, info: at(30), warn: at(40), error: at(50) } as unknown as Log;
  return { log, lines };
}

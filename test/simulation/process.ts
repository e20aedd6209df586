/** A simulated process: sockets, clock and timers of its own, behind the same interface as those of Bun. It can hang and be killed. */
import type { Address, ListenAddress } from "../../src/config/snapshot.ts";
import type { DatagramNetwork } from "../../src/net/datagram.ts";
import type { Clock, ConnectOwner, NetListener, Network, SocketOwner } from "../../src/net/network.ts";
import { TICK } from "../../src/net/timers.ts";
import type { Internet } from "./internet.ts";
import type { Holder, SimSocket } from "./socket.ts";
import type { World } from "./world.ts";

/** Which monotonic clock a process has: just started, or about to pass what fits into 31 and 32 bits. */
const CLOCK_STARTS = [50, 2 ** 31 - 1_500, 2 ** 32 - 1_500];
const EPOCH = 1_750_000_000_000;

class ProcessClock implements Clock {
  now: number;
  /** What the wall clock was set forward by, in ms. */
  jumped = 0;
  private readonly world: World;
  private readonly process: Process;
  private readonly start: number;
  private ticks: ((now: number) => void)[] = [];
  private running = false;

  constructor(world: World, process: Process) {
    this.world = world;
    this.process = process;
    this.start = world.dice.one(CLOCK_STARTS);
    this.now = this.precise();
  }

  precise(): number {
    return this.start + this.world.now;
  }

  wall(): number {
    return EPOCH + Math.round(this.world.now) + this.jumped;
  }

  everyTick(tick: (now: number) => void): () => void {
    this.ticks.push(tick);
    this.now = this.precise();
    if (!this.running) this.schedule();
    return () => void (this.ticks = this.ticks.filter((each) => each !== tick));
  }

  private schedule(): void {
    this.running = true;
    this.world.after(TICK + this.world.dice.random(), this.process, () => {
      this.running = false;
      this.now = this.precise();
      for (const each of this.ticks) each(this.now);
      if (this.ticks.length > 0) this.schedule();
    });
  }

  after(delay: number, run: () => void): () => void {
    return this.world.after(Math.max(1, delay), this.process, run);
  }
}

const NO_DATAGRAMS: DatagramNetwork = {
  openSockets: 0,
  listen: () => {
    throw new Error("datagrams are not simulated");
  },
  connect: () => {
    throw new Error("datagrams are not simulated");
  },
};

function noTls(): never {
  throw new Error("TLS is not simulated");
}

export class Process implements Network, Holder {
  readonly name: string;
  readonly address: string;
  readonly clock: ProcessClock;
  readonly datagrams = NO_DATAGRAMS;
  readonly sockets = new Set<SimSocket>();
  /** Whom a proxy before it speaks for, and the header that says so first on each of its connections; absent: it speaks for itself. */
  readonly spokenFor: { readonly address: string; readonly header: Buffer } | undefined;
  alive = true;
  blockedUntil = 0;
  openSockets = 0;
  private readonly world: World;
  private readonly internet: Internet;

  constructor(world: World, internet: Internet, name: string, address: string, spokenFor?: Process["spokenFor"]) {
    this.world = world;
    this.internet = internet;
    this.name = name;
    this.spokenFor = spokenFor;
    this.address = address;
    this.clock = new ProcessClock(world, this);
  }

  listen(address: ListenAddress, _fd: number | undefined, accept: () => SocketOwner): NetListener {
    if (address.kind !== "tcp") throw new Error("only tcp is simulated");
    return this.internet.listen(this, address.port, accept);
  }

  connect(address: Address, owner: ConnectOwner, _tls?: unknown, preface?: Buffer): void {
    if (address.kind !== "tcp") throw new Error("only tcp is simulated");
    this.internet.connect(this, address.port, owner, preface ?? this.spokenFor?.header);
  }

  /** As which it is known to who accepts its connections. */
  get knownAs(): string {
    return this.spokenFor?.address ?? this.address;
  }

  soon(run: () => void): void {
    // What happens in the meantime is of the same turn of the loop.
    this.world.after(this.world.dice.random() * 0.05, this, run);
  }

  random(): number {
    return this.world.dice.random();
  }

  readonly secure = noTls;
  readonly peek = noTls;
  readonly take = noTls;
  readonly tlsContext = noTls;

  hang(milliseconds: number): void {
    this.world.note(`${this.name} hangs for`, 0, milliseconds);
    this.blockedUntil = this.world.now + milliseconds;
  }

  /** SIGKILL: the system closes what it had open. */
  kill(): void {
    this.world.note(`${this.name} is killed`, 0, 0);
    this.alive = false;
    this.internet.forget(this);
    for (const socket of this.sockets) socket.orphan();
  }
}

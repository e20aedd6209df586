/** Who listens where, and how connections come to be: with delays, refusals, and connects that nobody answers. */
import type { ConnectOwner, NetListener, SocketOwner } from "../../src/net/network.ts";
import { NOBODY } from "../../src/net/leaving.ts";
import { type Holder, SimSocket, type Wire } from "./socket.ts";
import type { World } from "./world.ts";

/** When the system gives up on a connect that nobody answers, in ms. */
const SYSTEM_PATIENCE = 20_000;

/** Between two looks whether those who accept hang still, in ms. */
const RETRY = 2;

/** Who asks for a connection has a port above this. */
export const CLIENT_PORTS = 30_000;

interface Acceptor {
  readonly holder: Holder;
  readonly accept: () => SocketOwner;
  paused: boolean;
}

/** A port. */
interface Site {
  readonly acceptors: Acceptor[];
  /** Somebody holds the socket though nobody accepts: who comes waits. */
  held: boolean;
  /** Packets to it vanish. */
  silent: boolean;
  waiting: SimSocket[];
}

export class Internet {
  /** In the order in which they were made; closed ones too. */
  readonly connections: SimSocket[] = [];
  /** Called with each connection: the end that asked for it. */
  onConnection: ((socket: SimSocket, port: number) => void) | undefined = undefined;
  /** Connections that nobody has accepted are the system's. */
  private readonly backlog: Holder = { name: "backlog", address: "", alive: true, blockedUntil: 0, openSockets: 0, sockets: new Set() };
  private readonly world: World;
  private readonly wireOf: (port: number) => Wire;
  private readonly sites = new Map<number, Site>();
  private lastPort = CLIENT_PORTS;

  constructor(world: World, wireOf: (port: number) => Wire) {
    this.world = world;
    this.wireOf = wireOf;
  }

  private site(port: number): Site {
    let site = this.sites.get(port);
    if (site === undefined) this.sites.set(port, (site = { acceptors: [], held: false, silent: false, waiting: [] }));
    return site;
  }

  /** Somebody keeps its listening socket open, whoever accepts from it. */
  hold(port: number): void {
    this.site(port).held = true;
  }

  silence(port: number, silent: boolean): void {
    this.site(port).silent = silent;
  }

  listen(holder: Holder, port: number, accept: () => SocketOwner): NetListener {
    const site = this.site(port);
    const acceptor: Acceptor = { holder, accept, paused: false };
    site.acceptors.push(acceptor);
    const close = (): void => void (site.acceptors.includes(acceptor) && site.acceptors.splice(site.acceptors.indexOf(acceptor), 1));
    this.serve(site);
    return {
      port,
      close,
      secure: () => {},
      pause: () => void (acceptor.paused = true),
      resume: () => {
        acceptor.paused = false;
        this.serve(site);
      },
    };
  }

  /** A process is no more. */
  forget(holder: Holder): void {
    for (const site of this.sites.values()) {
      for (let i = site.acceptors.length - 1; i >= 0; i--) if (site.acceptors[i]!.holder === holder) site.acceptors.splice(i, 1);
    }
  }

  connect(holder: Holder, port: number, owner: ConnectOwner, preface: Buffer | undefined): void {
    const { world } = this;
    const wire = this.wireOf(port);
    const site = this.site(port);
    holder.openSockets++;
    const fail = (code: string): void => {
      holder.openSockets--;
      owner.onConnectError(code);
    };
    world.after(wire.latency + world.dice.random() * wire.jitter, holder, () => {
      if (site.silent) {
        world.after(SYSTEM_PATIENCE, holder, () => fail("ETIMEDOUT"));
        return;
      }
      if (site.acceptors.length === 0 && !site.held) {
        fail("ECONNREFUSED");
        return;
      }
      const mine = this.pair(holder, port, owner, wire);
      for (let at = 0; at < (preface?.length ?? 0); ) at += mine.write(preface!, at, preface!.length - at);
      this.onConnection?.(mine, port);
      owner.onOpen(mine);
      site.waiting.push(mine.peer);
      this.serve(site, world.dice.random() * wire.jitter);
    });
  }

  private pair(holder: Holder, port: number, owner: SocketOwner, wire: Wire): SimSocket {
    const { world, backlog } = this;
    const here = { address: holder.address, port: ++this.lastPort };
    const there = { address: "127.0.0.1", port };
    const number = this.connections.length * 2;
    const mine = new SimSocket(world, holder, number, wire, owner, here);
    const theirs = new SimSocket(world, backlog, number + 1, wire, NOBODY, there).await();
    for (const [socket, peer, remote] of [[mine, theirs, there], [theirs, mine, here]] as const) {
      socket.peer = peer;
      socket.remoteAddress = remote.address;
      socket.remotePort = remote.port;
    }
    this.connections.push(mine);
    return mine;
  }

  /** Those that wait are accepted, each by whoever is quickest. */
  private serve(site: Site, delay = 0): void {
    this.world.after(delay, this.backlog, () => {
      let hangs = false;
      for (const waiting of site.waiting.splice(0)) {
        const willing = site.acceptors.filter(({ paused, holder }) => !paused && holder.alive);
        const ready = willing.filter(({ holder }) => holder.blockedUntil <= this.world.now);
        if (ready.length > 0) {
          const { holder, accept } = this.world.dice.one(ready);
          waiting.acceptedBy(holder, accept);
          continue;
        }
        site.waiting.push(waiting);
        if (willing.length > 0) hangs = true;
      }
      // Whoever listens anew, or goes on, asks again.
      if (hangs) this.serve(site, RETRY);
    });
  }
}

/**
 * The listening sockets: bound once, kept open for as long as the configuration names them, lent to every worker.
 *
 * The supervisor holds each by a duplicate of its descriptor and never accepts: the queue stays whatever happens to the workers.
 * All workers accept from one stream socket. Of a udp listener each has a socket of its own at the same address (its seat), for the system
 * spreads clients over sockets, not over readers: a client stays with one socket as long as their number stays. Where systemd made the
 * socket there is that one, and one worker reads it: beside somebody else's socket we could bind none of our own.
 */
import { chmodSync, renameSync, rmSync } from "node:fs";
import type { Address, ListenerConfig, Snapshot } from "../config/snapshot.ts";
import { formatAddress } from "../config/values.ts";
import { activatedFor, type ActivatedSocket, suits } from "./activation.ts";
import { StartError } from "./errors.ts";
import { libc } from "../net/libc.ts";
import { removeStaleSocket } from "../net/stale-socket.ts";
import { udpCalls } from "../net/udp-calls.ts";

/** Clients that wait to be accepted; the system may allow fewer (net.core.somaxconn). */
const QUEUE = 4_096;

export interface ListeningSocket {
  readonly name: string;
  /** As configured; tells whether a socket of before serves again. */
  readonly key: string;
  readonly fd: number;
  /** As bound: with the port that the system chose for port 0. */
  readonly address: Address;
  /** Systemd made it, and its name stays when we go. */
  readonly activated?: boolean;
  /** udp: the one worker that reads it, from 0 up. */
  readonly seat?: number;
}

/** One that the configuration needs. */
interface Wanted {
  readonly listener: ListenerConfig;
  readonly key: string;
  readonly seat?: number;
}

/** Listeners on port 0 each have a port of their own. */
function socketKey({ name, address }: ListenerConfig): string {
  return address.kind === "tcp" && address.port === 0 ? `${formatAddress(address)} ${name}` : formatAddress(address);
}

function seatKey(listener: ListenerConfig, seat: number): string {
  return `udp ${socketKey(listener)} ${seat}`;
}

export class ListeningSockets {
  private sockets = new Map<string, ListeningSocket>();
  private readonly activated: readonly ActivatedSocket[];

  /** @param inherited sockets of a supervisor before this one, by key @param activated sockets that systemd made */
  constructor(inherited: ReadonlyMap<string, ListeningSocket> = new Map(), activated: readonly ActivatedSocket[] = []) {
    this.activated = activated;
    for (const [key, socket] of inherited) this.sockets.set(key, socket);
  }

  get all(): ListeningSocket[] {
    return [...this.sockets.values()];
  }

  private wantedBy({ listeners, workers }: Snapshot): Wanted[] {
    return listeners.flatMap((listener): Wanted[] => {
      if (listener.protocol !== "udp") return [{ listener, key: socketKey(listener) }];
      const seats = this.isActivated(listener, seatKey(listener, 0)) ? 1 : workers;
      return Array.from({ length: seats }, (_, seat) => ({ listener, key: seatKey(listener, seat), seat }));
    });
  }

  /** @throws StartError when it asks for a socket of systemd that was not passed */
  private isActivated(listener: ListenerConfig, key: string): boolean {
    const kept = this.sockets.get(key);
    return kept === undefined ? activatedFor(listener, this.activated) !== undefined : kept.activated === true;
  }

  /** Does this configuration need a socket that is not there, or leave one that is? */
  differs(snapshot: Snapshot): boolean {
    const wanted = this.wantedBy(snapshot);
    return wanted.length !== this.sockets.size || wanted.some(({ key, listener }) => this.sockets.get(key)?.name !== listener.name);
  }

  /**
   * Bind what is missing. Returns the sockets for exactly this configuration, and what closes those no longer wanted, or those bound in vain.
   * @throws StartError that names the address; then nothing has changed
   */
  async prepare(snapshot: Snapshot): Promise<{ readonly sockets: readonly ListeningSocket[]; commit(): void; abandon(): void }> {
    const next = new Map<string, ListeningSocket>();
    const fresh: ListeningSocket[] = [];
    try {
      for (const { listener, key, seat } of this.wantedBy(snapshot)) {
        const kept = this.sockets.get(key);
        const bound = async (): Promise<ListeningSocket> => (seat === undefined ? bind(listener, key) : bindSeat(listener, key, seat, next.get(seatKey(listener, 0))));
        const socket: ListeningSocket = kept === undefined ? (this.activate(listener, key, seat) ?? (await bound())) : { ...kept, name: listener.name };
        if (kept === undefined) fresh.push(socket);
        next.set(key, socket);
      }
    } catch (error) {
      for (const socket of fresh) close(socket);
      throw error;
    }
    return {
      sockets: [...next.values()],
      commit: () => {
        for (const [key, socket] of this.sockets) if (!next.has(key)) close(socket);
        this.sockets = next;
      },
      abandon: () => {
        for (const socket of fresh) close(socket);
      },
    };
  }

  /** A copy of what systemd passed for it. @throws StartError when it asks for one that was not passed */
  private activate(listener: ListenerConfig, key: string, seat: number | undefined): ListeningSocket | undefined {
    const { name } = listener;
    const found = activatedFor(listener, this.activated);
    if (found === undefined) return undefined;
    const fd = libc().dup(found.fd);
    if (fd < 0) throw new StartError(`cannot keep the socket of listener "${name}"`);
    return { name, key, fd, address: found.address ?? { kind: "unix", path: `@${found.name}` }, activated: true, ...(seat === undefined ? {} : { seat }) };
  }

  /** What systemd passed and none of these listeners asks for, as people know it. */
  unused(listeners: readonly ListenerConfig[]): string[] {
    const unused = this.activated.filter((socket) => !listeners.some((listener) => suits(listener, socket)));
    return unused.map(({ name, address }) => (address === undefined ? name : `${name} (${formatAddress(address)})`));
  }

  /** Close all: connections in the queue are refused from now on, unless others hold the sockets too. */
  close(): void {
    for (const socket of this.sockets.values()) close(socket);
    this.sockets.clear();
  }

  /** Close without taking away the names of unix sockets: somebody else goes on with them. */
  letGo(): void {
    for (const { fd } of this.sockets.values()) libc().close(fd);
    this.sockets.clear();
  }
}

function close({ fd, address, activated }: ListeningSocket): void {
  libc().close(fd);
  if (address.kind === "unix" && activated !== true) rmSync(address.path, { force: true });
}

/** What it is bound to. @throws StartError when it is bound by somebody else */
function ownAddress({ name, address }: ListenerConfig): Address {
  if (address.kind === "systemd") throw new StartError(`listener "${name}" takes its socket from systemd, which passed none`);
  return address;
}

async function bind(listening: ListenerConfig, key: string): Promise<ListeningSocket> {
  const { name } = listening;
  const address = ownAddress(listening);
  const occupied = address.kind === "unix" ? await removeStaleSocket(address.path) : undefined;
  if (occupied !== undefined) throw new StartError(`cannot listen on ${formatAddress(address)} (listener "${name}"): ${occupied}`);
  const socket = { data() {} };
  try {
    const listener = address.kind === "unix" ? Bun.listen({ unix: address.path, socket }) : Bun.listen({ hostname: address.host, port: address.port, exclusive: true, socket });
    // `fd` works and is not in the types. Bun's own listener goes in the same turn of the loop, so it accepts nothing.
    const fd = libc().dup((listener as unknown as { fd: number }).fd);
    const port = "port" in listener ? (listener.port as number) : 0;
    if (address.kind === "unix") {
      chmodSync(address.path, 0o666);
      keepName(address.path, () => listener.stop(true));
    } else listener.stop(true);
    // Bun's queue holds 512; while workers are replaced it has to hold more.
    libc().listen(fd, QUEUE);
    if (fd < 0) throw new StartError(`cannot keep the socket of listener "${name}"`);
    return { name, key, fd, address: address.kind === "unix" ? address : { ...address, port } };
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw new StartError(`cannot listen on ${formatAddress(address)} (listener "${name}"): ${why(error, address)}`);
  }
}

/** @param first the same listener's first seat, which has the port that is shared */
function bindSeat(listener: ListenerConfig, key: string, seat: number, first: ListeningSocket | undefined): ListeningSocket {
  const { name } = listener;
  const address = ownAddress(listener);
  const calls = udpCalls();
  try {
    let shared = first?.address;
    if (shared === undefined) {
      // Another program of this user that shares ports too would get a part of the clients: nobody else may be there.
      const alone = calls.bound(address, false);
      calls.close(alone.fd);
      shared = { ...address, port: alone.port } as Address;
    }
    return { name, key, seat, fd: calls.bound(shared, true).fd, address: shared };
  } catch (error) {
    throw new StartError(`cannot listen on ${formatAddress(address)}, udp (listener "${name}"): ${why(error, address)}`);
  }
}

/** Bun unlinks a unix socket when its listener stops; the name must outlive that. */
function keepName(path: string, stop: () => void): void {
  const kept = `${path}.${process.pid}`;
  renameSync(path, kept);
  stop();
  renameSync(kept, path);
}

function why(error: unknown, address: Address): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "EADDRINUSE") return "the address is taken by another program";
  if (code === "EACCES" || code === "EPERM") return address.kind === "tcp" && address.port < 1024 ? "no permission for ports below 1024 (run as root, or give the bun binary cap_net_bind_service)" : "no permission";
  if (code === "EADDRNOTAVAIL") return "this machine does not have that address";
  if (code === "ENOENT") return "the directory does not exist";
  return error instanceof Error ? error.message : String(error);
}

/**
 * The listening sockets: bound once, kept open for as long as the configuration names them, lent to every worker.
 *
 * The supervisor holds each by a duplicate of its descriptor and never accepts: the queue stays whatever happens to the workers.
 */
import { chmodSync, renameSync, rmSync } from "node:fs";
import type { Address, ListenerConfig } from "../config/snapshot.ts";
import { formatAddress } from "../config/values.ts";
import { activatedFor, type ActivatedSocket, suits } from "./activation.ts";
import { StartError } from "./errors.ts";
import { libc } from "../net/libc.ts";
import { removeStaleSocket } from "../net/stale-socket.ts";

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
}

/** Listeners on port 0 each have a port of their own. */
function socketKey({ name, address }: ListenerConfig): string {
  return address.kind === "tcp" && address.port === 0 ? `${formatAddress(address)} ${name}` : formatAddress(address);
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

  /** Do these listeners need a socket that is not there, or leave one that is? */
  differs(listeners: readonly ListenerConfig[]): boolean {
    return listeners.length !== this.sockets.size || listeners.some((listener) => this.sockets.get(socketKey(listener))?.name !== listener.name);
  }

  /**
   * Bind what is missing. Returns the sockets for exactly these listeners, and what closes those no longer wanted, or those bound in vain.
   * @throws StartError that names the address; then nothing has changed
   */
  async prepare(listeners: readonly ListenerConfig[]): Promise<{ readonly sockets: readonly ListeningSocket[]; commit(): void; abandon(): void }> {
    const next = new Map<string, ListeningSocket>();
    const fresh: ListeningSocket[] = [];
    try {
      for (const listener of listeners) {
        const key = socketKey(listener);
        const kept = this.sockets.get(key);
        const socket: ListeningSocket = kept === undefined ? (this.activate(listener, key) ?? (await bind(listener, key))) : { ...kept, name: listener.name };
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
  private activate({ name, address }: ListenerConfig, key: string): ListeningSocket | undefined {
    const found = activatedFor(address, this.activated);
    if (found === undefined) return undefined;
    const fd = libc().dup(found.fd);
    if (fd < 0) throw new StartError(`cannot keep the socket of listener "${name}"`);
    return { name, key, fd, address: found.address ?? { kind: "unix", path: `@${found.name}` }, activated: true };
  }

  /** What systemd passed and none of these listeners asks for, as people know it. */
  unused(listeners: readonly ListenerConfig[]): string[] {
    const unused = this.activated.filter((socket) => !listeners.some(({ address }) => suits(address, socket)));
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

async function bind({ name, address }: ListenerConfig, key: string): Promise<ListeningSocket> {
  if (address.kind === "systemd") throw new StartError(`listener "${name}" takes its socket from systemd, which passed none`);
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

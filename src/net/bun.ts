/** The seam's production side: Bun's sockets and clock. Thin on purpose: a Bun socket is a NetSocket as it is. */
import type { Address, ListenAddress } from "../config/snapshot.ts";
import { BunDatagrams } from "./bun-datagram.ts";
import { peekingHandlers } from "./bun-peek.ts";
import { bunTlsContext, clientOptions, Securing, serverHandlers, serverOptions } from "./bun-tls.ts";
import { deferAccept, peek, take } from "./early.ts";
import { NOBODY } from "./leaving.ts";
import { libc } from "./libc.ts";
import type { Clock, ConnectOwner, HandshakeOwner, NetListener, NetSocket, Network, SocketOwner } from "./network.ts";
import { canOpenSocket } from "./open-files.ts";
import { TICK } from "./timers.ts";
import type { TlsClient, TlsContext, TlsContextOptions, TlsServer } from "./tls.ts";

type BunSocket = Bun.Socket<SocketOwner>;

function asNetSocket(socket: BunSocket): NetSocket {
  return socket as unknown as NetSocket;
}

class BunClock implements Clock {
  now = performance.now();
  private readonly ticks: ((now: number) => void)[] = [];
  private interval: Timer | undefined;

  precise(): number {
    // After a stall, what is read comes before the tick: whoever begins something then has looked here, and its deadline is counted from now.
    return (this.now = performance.now());
  }

  wall(): number {
    return Date.now();
  }

  everyTick(tick: (now: number) => void): () => void {
    this.ticks.push(tick);
    this.now = performance.now();
    this.interval ??= setInterval(() => {
      this.now = performance.now();
      for (const each of this.ticks) each(this.now);
    }, TICK);
    return () => {
      const at = this.ticks.indexOf(tick);
      if (at >= 0) this.ticks.splice(at, 1);
      if (this.ticks.length === 0) {
        clearInterval(this.interval);
        this.interval = undefined;
      }
    };
  }

  after(delay: number, run: () => void): () => void {
    const timer = setTimeout(run, delay);
    return () => clearTimeout(timer);
  }
}

class BunNetwork implements Network {
  readonly clock = new BunClock();
  readonly datagrams = new BunDatagrams();
  openSockets = 0;
  /** Handlers shared by both directions; `open` differs for accepted sockets. */
  private readonly connected: Bun.SocketHandler<SocketOwner> = {
    binaryType: "buffer",
    open(socket) {
      socket.data.onOpen(asNetSocket(socket));
    },
    data(socket, chunk) {
      socket.data.onData(chunk);
    },
    drain(socket) {
      socket.data.onDrain();
    },
    end(socket) {
      socket.data.onEnd();
    },
    close: (socket, error) => {
      this.openSockets--;
      socket.data.onClose(error);
    },
    error(socket, error) {
      if (isTlsFailure(error)) {
        // The close that follows does not say why.
        socket.data.onClose(error);
        return;
      }
      // A handler threw: a bug of ours. One connection pays for it, the worker goes on.
      console.error(error);
      socket.terminate();
    },
    connectError: (socket, error) => {
      this.openSockets--;
      socket.data.onConnectError(connectErrorOf(error));
    },
  };

  /** The same with TLS: the owner has its socket when the handshake is over. */
  private readonly securing: Bun.SocketHandler<SocketOwner> = {
    ...this.connected,
    handshake(socket, success, error) {
      // Cutting a socket off in the middle of its handshake ends that too.
      if (socket.data instanceof Securing) socket.data.secured(asNetSocket(socket), success, error);
    },
  };

  private opening(owner: ConnectOwner, tls: TlsClient | undefined): ConnectOptions {
    return tls === undefined ? { socket: this.connected, data: owner } : { socket: this.securing, data: new Securing(owner, tls.verify), tls: clientOptions(tls) };
  }

  /** The system takes all of a preface: it is small, and nothing was sent before. */
  private openingWith(preface: Buffer, owner: ConnectOwner, tls: TlsClient | undefined): ConnectOptions {
    const data = tls === undefined ? owner : new Securing(owner, tls.verify);
    const open = (socket: BunSocket): void => {
      socket.write(preface);
      if (tls === undefined) owner.onOpen(asNetSocket(socket));
      else data.onOpen(raise(socket, { data, tls: clientOptions(tls), socket: { ...this.securing, ...UPPER } }));
    };
    return { socket: { ...this.connected, open }, data };
  }

  readonly peek = peek;
  readonly take = take;

  secure(socket: NetSocket, tls: TlsServer, owner: HandshakeOwner): void {
    const handlers = { ...this.connected, ...serverHandlers(tls), ...UPPER };
    owner.onOpen(raise(socket as unknown as BunSocket, { isServer: true, data: owner, tls: serverOptions(tls), socket: handlers }));
  }

  soon(run: () => void): void {
    setImmediate(run);
  }

  random(): number {
    return Math.random();
  }

  tlsContext(options: TlsContextOptions): TlsContext {
    return bunTlsContext(options);
  }

  listen(address: ListenAddress, fd: number | undefined, accept: () => SocketOwner, tls?: TlsServer, deferred = false): NetListener {
    const socket: Bun.SocketHandler<SocketOwner> = {
      ...this.connected,
      open: (accepted) => {
        this.openSockets++;
        if (hasGone(accepted)) {
          accepted.data = NOBODY;
          accepted.terminate();
          return;
        }
        // Its first deadline counts from now, also after a stall.
        this.clock.precise();
        const owner = accept();
        accepted.data = owner;
        owner.onOpen(asNetSocket(accepted));
      },
    };
    const optionsFor = (server: TlsServer | undefined): ListenOptions => {
      if (server === undefined) return { allowHalfOpen: true, socket };
      if (server.challenge !== undefined) return { allowHalfOpen: true, socket: peekingHandlers(socket, server, server.challenge, (change) => void (this.openSockets += change)) };
      return { allowHalfOpen: true, socket: { ...socket, ...serverHandlers(server) }, tls: serverOptions(server) };
    };
    if (fd !== undefined) {
      deferAccept(fd, deferred);
      return new InheritedListener(fd, optionsFor, tls);
    }
    if (address.kind === "systemd") throw new Error(`systemd:${address.name} is a socket that only a supervisor is passed`);
    const options = optionsFor(tls);
    const listener = address.kind === "unix" ? Bun.listen({ ...options, unix: address.path }) : Bun.listen({ ...options, hostname: address.host, port: address.port });
    return {
      port: "port" in listener ? (listener.port as number) : 0,
      close: () => listener.stop(),
      secure: ignore,
      pause: ignore,
      resume: ignore,
    };
  }

  connect(address: Address, owner: ConnectOwner, tls?: TlsClient, preface?: Buffer): void {
    const options = { allowHalfOpen: true, ...(preface === undefined ? this.opening(owner, tls) : this.openingWith(preface, owner, tls)) };
    this.openSockets++;
    const attempt = address.kind === "unix" ? Bun.connect({ ...options, unix: address.path }) : Bun.connect({ ...options, hostname: address.host, port: address.port });
    // connectError has told the owner already.
    attempt.catch(ignore);
  }
}

interface ConnectOptions {
  readonly socket: Bun.SocketHandler<SocketOwner>;
  readonly data: SocketOwner;
  readonly tls?: object;
}

interface ListenOptions {
  readonly allowHalfOpen: boolean;
  readonly socket: Bun.SocketHandler<SocketOwner>;
  readonly tls?: object;
}

/** Accepts on a copy of a descriptor, so that it can stop and begin again. */
class InheritedListener implements NetListener {
  private readonly fd: number;
  private readonly optionsFor: (tls: TlsServer | undefined) => ListenOptions;
  private options: ListenOptions;
  private listener: Bun.TCPSocketListener<SocketOwner> | undefined;

  constructor(fd: number, optionsFor: (tls: TlsServer | undefined) => ListenOptions, tls: TlsServer | undefined) {
    this.fd = fd;
    this.optionsFor = optionsFor;
    this.options = optionsFor(tls);
    this.listener = this.listen();
  }

  secure(tls: TlsServer | undefined): void {
    this.options = this.optionsFor(tls);
    if (this.listener === undefined) return;
    this.pause();
    this.resume();
  }

  private listen(): Bun.TCPSocketListener<SocketOwner> {
    const copy = libc().dup(this.fd);
    if (copy < 0) throw new Error("no descriptor is left to listen on");
    // Inherited descriptors work but are not in the types.
    return (Bun.listen as unknown as (o: object) => Bun.TCPSocketListener<SocketOwner>)({ ...this.options, fd: copy });
  }

  get port(): number {
    return this.listener?.port ?? 0;
  }

  pause(): void {
    this.listener?.stop();
    this.listener = undefined;
  }

  resume(): void {
    this.listener ??= this.listen();
  }

  close(): void {
    this.pause();
    libc().close(this.fd);
  }
}

/**
 * It has cut the connection already. What it sent could still be read, but nobody can say any more who it was, and it would be taken for a client of a unix
 * socket, which has no address either. Asked at once, the address stays known. The other one costs a system call more, so only a doubt is worth asking for it.
 */
function hasGone(socket: BunSocket): boolean {
  return socket.remoteAddress === undefined && socket.localAddress !== undefined;
}

/** Bun says ECONNREFUSED also where the system had no descriptor for the socket: that is our lack, and not the target's doing. */
function connectErrorOf(error: Error): string {
  return canOpenSocket() ? ((error as NodeJS.ErrnoException).code ?? "ECONNREFUSED") : "EMFILE";
}

/** An established session that breaks: a record that does not decrypt, a fatal alert. */
function isTlsFailure(error: Error): boolean {
  return (error as NodeJS.ErrnoException).code === "EPROTO";
}

/** Of a socket above another, which is counted. It is opened by whoever raised it: cut off from within, it would leave the lower one open. */
const UPPER: Partial<Bun.SocketHandler<SocketOwner>> = {
  open: ignore,
  close(socket, error) {
    socket.data.onClose(error);
  },
};

/** TLS over a socket that is open. */
function raise(socket: BunSocket, options: object): NetSocket {
  // It goes on hearing each byte, still encrypted; what becomes of the connection, the socket above it tells.
  socket.data = NOBODY;
  const [, upper] = socket.upgradeTLS(options as Bun.TLSUpgradeOptions<SocketOwner>);
  return asNetSocket(upper);
}

function ignore(): void {}

export function bunNetwork(): Network {
  return new BunNetwork();
}

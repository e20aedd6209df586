/** The seam's production side: Bun's sockets and clock. Thin on purpose: a Bun socket is a NetSocket as it is. */
import type { Address } from "../config/snapshot.ts";
import { BunDatagrams } from "./bun-datagram.ts";
import { libc } from "./libc.ts";
import type { Clock, NetListener, NetSocket, Network, SocketOwner } from "./network.ts";
import { TICK } from "./timers.ts";

type BunSocket = Bun.Socket<SocketOwner>;

function asNetSocket(socket: BunSocket): NetSocket {
  return socket as unknown as NetSocket;
}

class BunClock implements Clock {
  now = performance.now();
  private readonly ticks: ((now: number) => void)[] = [];
  private interval: Timer | undefined;

  precise(): number {
    return performance.now();
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
      // A handler threw: a bug of ours. One connection pays for it, the worker goes on.
      console.error(error);
      socket.terminate();
    },
    connectError: (socket, error) => {
      this.openSockets--;
      socket.data.onConnectError((error as NodeJS.ErrnoException).code ?? "ECONNREFUSED");
    },
  };

  random(): number {
    return Math.random();
  }

  listen(address: Address, fd: number | undefined, accept: () => SocketOwner): NetListener {
    const socket: Bun.SocketHandler<SocketOwner> = {
      ...this.connected,
      open: (accepted) => {
        this.openSockets++;
        const owner = accept();
        accepted.data = owner;
        owner.onOpen(asNetSocket(accepted));
      },
    };
    const options = { socket, allowHalfOpen: true };
    if (fd !== undefined) return new InheritedListener(fd, options);
    const listener = address.kind === "unix" ? Bun.listen({ ...options, unix: address.path }) : Bun.listen({ ...options, hostname: address.host, port: address.port });
    return {
      port: "port" in listener ? (listener.port as number) : 0,
      close: () => listener.stop(),
      pause: ignore,
      resume: ignore,
    };
  }

  connect(address: Address, owner: SocketOwner): void {
    const options = { socket: this.connected, allowHalfOpen: true, data: owner };
    this.openSockets++;
    const attempt = address.kind === "unix" ? Bun.connect({ ...options, unix: address.path }) : Bun.connect({ ...options, hostname: address.host, port: address.port });
    // connectError has told the owner already.
    attempt.catch(ignore);
  }
}

/** Accepts on a copy of a descriptor, so that it can stop and begin again. */
class InheritedListener implements NetListener {
  private readonly fd: number;
  private readonly options: object;
  private listener: Bun.TCPSocketListener<SocketOwner> | undefined;

  constructor(fd: number, options: object) {
    this.fd = fd;
    this.options = options;
    this.listener = this.listen();
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

function ignore(): void {}

export function bunNetwork(): Network {
  return new BunNetwork();
}

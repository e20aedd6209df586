/**
 * Datagrams on Bun. Sockets are made and written to by the C library, and Bun reads them: so one that reads no more can still be written
 * to, a connected one takes half the calls to open, and a client that refuses a reply is no error of the socket that all clients share
 * (Bun asks for IP_RECVERR, under which it would be).
 */
import { lookup } from "node:dns";
import { ptr } from "bun:ffi";
import type { Address, ListenAddress } from "../config/snapshot.ts";
import type { DatagramListener, DatagramNetwork, DatagramOwner, DatagramPeer, DatagramReceiver, DatagramSocket } from "./datagram.ts";
import { IdleDatagrams, type Read } from "./idle-datagrams.ts";
import { AF_INET, AF_INET6, IPv4SocketAddress, parseIPv4, socketAddress } from "./socket-address.ts";
import { type UdpCalls, udpCalls } from "./udp-calls.ts";

/** How long the addresses of a target's name are good for, in ms: as long as Bun keeps those of stream targets. */
const NAME_LIFETIME = 30_000;
/** What an empty datagram is read from. */
const NOTHING = new Uint8Array(new ArrayBuffer(1));

/** A Bun.udpSocket on a descriptor of ours; that it takes one is not in the types. */
interface Reader {
  readonly port: number;
  close(): void;
  /** Set by us. */
  connected: Connected | undefined;
}

interface ReaderHandlers {
  data(reader: Reader, bytes: Buffer, port: number, address: string): void;
  error(this: Reader, error: NodeJS.ErrnoException): void;
}

/** Reads `fd` from now on, and closes it in the end. */
function read(fd: number, socket: ReaderHandlers, calls: UdpCalls): Reader {
  const opened = Bun.peek(Bun.udpSocket({ fd, socket } as unknown as Bun.udp.SocketOptions<"buffer">));
  if (opened instanceof Promise) throw new Error("Bun.udpSocket did not open a descriptor at once");
  // Bun has set it. Under it anybody might bind the port of a listener beside us, and two sockets of ours might be given one port: then one
  // would get what is for the other.
  calls.forbidReuse(fd);
  return opened as unknown as Reader;
}

/** Not of the network: a handler threw, a bug of ours. One datagram pays for it, the worker goes on. */
function isBug(error: NodeJS.ErrnoException): boolean {
  if (error.syscall === "recv") return false;
  console.error(error);
  return true;
}

class Peer implements DatagramPeer {
  readonly address: string;
  readonly port: number;
  readonly four: number | undefined;
  /** Of one that is not IPv4. */
  readonly bytes: Uint8Array | undefined;

  constructor(address: string, port: number) {
    this.address = address;
    this.port = port;
    this.four = parseIPv4(address);
    this.bytes = this.four === undefined ? socketAddress(address, port) : undefined;
  }
}

class Bound implements DatagramListener {
  readonly port: number;
  private readonly fd: number;
  private readonly calls: UdpCalls;
  private reader: Reader | undefined;
  private readonly four = new IPv4SocketAddress();
  private closed = false;

  /** @param fd is closed in the end */
  constructor(fd: number, receiver: DatagramReceiver, calls: UdpCalls) {
    this.fd = fd;
    this.calls = calls;
    const copy = calls.dup(fd);
    if (copy < 0) throw calls.failure("dup");
    this.reader = read(copy, {
      data: (_reader, bytes, port, address) => {
        // A batch that was read before it was told to stop.
        if (this.reader !== undefined) receiver.onDatagram(bytes, address, port);
      },
      error(error) {
        isBug(error);
      },
    }, calls);
    this.port = this.reader.port;
  }

  peer(address: string, port: number): Peer {
    return new Peer(address, port);
  }

  send(bytes: Buffer, to: Peer): boolean {
    if (this.closed) return false;
    const data = ptr(bytes.length === 0 ? NOTHING : bytes);
    if (to.four !== undefined) {
      this.four.set(to.four, to.port);
      return this.calls.sendto(this.fd, data, bytes.length, 0, this.four.pointer, this.four.length) >= 0;
    }
    return to.bytes !== undefined && this.calls.sendto(this.fd, data, bytes.length, 0, ptr(to.bytes), to.bytes.length) >= 0;
  }

  stop(): void {
    this.reader?.close();
    this.reader = undefined;
  }

  close(): void {
    this.stop();
    if (!this.closed) this.calls.close(this.fd);
    this.closed = true;
  }
}

class Connected implements DatagramSocket {
  readonly owner: DatagramOwner;
  private closed = false;
  private readonly socket: Read<Reader>;
  private readonly network: BunDatagrams;

  constructor(socket: Read<Reader>, owner: DatagramOwner, network: BunDatagrams) {
    this.socket = socket;
    this.owner = owner;
    this.network = network;
    socket.reader.connected = this;
    network.openSockets++;
  }

  send(bytes: Buffer): string | undefined {
    if (this.closed) return "EBADF";
    const { calls } = this.network;
    return calls.send(this.socket.fd, ptr(bytes.length === 0 ? NOTHING : bytes), bytes.length, 0) >= 0 ? undefined : calls.errno();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.network.openSockets--;
    // What is left of a batch comes after this, too.
    this.socket.reader.connected = undefined;
    this.network.idle.put(this.socket);
  }
}

/** One for all connected sockets. */
const CONNECTED: ReaderHandlers = {
  data({ connected }, bytes) {
    connected?.owner.onReply(bytes);
  },
  error(error) {
    if (!isBug(error)) this.connected?.owner.onError(error.code ?? "ECONNREFUSED");
  },
};

interface Name {
  readonly bytes: Uint8Array;
  /** In performance.now() ms. */
  readonly until: number;
}

export class BunDatagrams implements DatagramNetwork {
  openSockets = 0;
  private loaded: UdpCalls | undefined = undefined;
  private unused: IdleDatagrams<Reader> | undefined = undefined;
  private readonly addresses = new WeakMap<Address, Uint8Array>();
  private readonly names = new WeakMap<Address, Name>();

  get calls(): UdpCalls {
    return (this.loaded ??= udpCalls());
  }

  get idle(): IdleDatagrams<Reader> {
    return (this.unused ??= new IdleDatagrams(this.calls));
  }

  listen(address: ListenAddress, fd: number | undefined, receiver: DatagramReceiver): DatagramListener {
    const { calls } = this;
    if (fd !== undefined) return new Bound(fd, receiver, calls);
    if (address.kind === "systemd") throw new Error(`systemd:${address.name} is a socket that only a supervisor is passed`);
    return new Bound(calls.bound(address, false).fd, receiver, calls);
  }

  connect(address: Address, owner: DatagramOwner): void {
    if (address.kind === "unix") {
      owner.onError("EAFNOSUPPORT");
      return;
    }
    const bytes = this.addressOf(address, address.host, address.port);
    if (bytes !== undefined) {
      this.open(bytes, owner);
      return;
    }
    lookup(address.host, (error, ip) => {
      const found = error === null ? socketAddress(ip, address.port) : undefined;
      if (found === undefined) {
        owner.onError(error?.code ?? "ENOTFOUND");
        return;
      }
      this.names.set(address, { bytes: found, until: performance.now() + NAME_LIFETIME });
      this.open(found, owner);
    });
  }

  /** Undefined: it is a name whose address is not known now. */
  private addressOf(address: Address, host: string, port: number): Uint8Array | undefined {
    const known = this.addresses.get(address);
    if (known !== undefined) return known;
    const bytes = socketAddress(host, port);
    if (bytes !== undefined) {
      this.addresses.set(address, bytes);
      return bytes;
    }
    const name = this.names.get(address);
    return name !== undefined && name.until > performance.now() ? name.bytes : undefined;
  }

  private open(to: Uint8Array, owner: DatagramOwner): void {
    const { calls } = this;
    const family = to.length === 16 ? AF_INET : AF_INET6;
    let socket: Read<Reader>;
    try {
      socket = this.idle.take(family) ?? this.create(family);
    } catch (error) {
      owner.onError((error as NodeJS.ErrnoException).code ?? "EMFILE");
      return;
    }
    if (calls.connect(socket.fd, ptr(to), to.length) !== 0) {
      const code = calls.errno();
      socket.reader.close();
      owner.onError(code);
      return;
    }
    owner.onReady(new Connected(socket, owner, this));
  }

  /** @throws Error with errno's name as its code */
  private create(family: number): Read<Reader> {
    const { calls } = this;
    const fd = calls.create(family);
    if (fd < 0) throw calls.failure("socket");
    try {
      return { fd, family, reader: read(fd, CONNECTED, calls) };
    } catch (error) {
      calls.close(fd);
      throw error;
    }
  }
}

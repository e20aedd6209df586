/**
 * Socket activation: listening sockets that systemd made and passes on, as sd_listen_fds(3) says (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES).
 * They stay open for as long as the supervisor lives: a listener that a reload takes away may come back with the next one.
 */
import { ptr } from "bun:ffi";
import ipaddr from "ipaddr.js";
import type { Address, ListenerConfig } from "../config/snapshot.ts";
import { formatAddress } from "../config/values.ts";
import { loadLibrary } from "../net/libc.ts";
import { StartError } from "./errors.ts";

/** Descriptors 0 to 2 are the standard ones. */
const FIRST_DESCRIPTOR = 3;
const VARIABLES = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] as const;
/** As on Linux; nobody else passes sockets like this. */
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_ACCEPTCONN = 30;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
/** struct sockaddr_storage */
const MAX_ADDRESS = 128;

const SYMBOLS = {
  getsockname: { args: ["int", "ptr", "ptr"], returns: "int" },
  getsockopt: { args: ["int", "int", "int", "ptr", "ptr"], returns: "int" },
} as const;

export interface ActivatedSocket {
  readonly fd: number;
  /** FileDescriptorName= of its unit; the unit's name unless said otherwise. */
  readonly name: string;
  readonly kind: "stream" | "datagram";
  /** Undefined: it has none that a listener could have, as that of an abstract unix socket. */
  readonly address: Address | undefined;
}

/**
 * What was passed to this process; the variables are taken away, for they are not meant for processes that it starts.
 * @throws StartError when a descriptor is neither a stream socket that listens nor a UDP socket
 */
export function takeActivated(environment: NodeJS.ProcessEnv): readonly ActivatedSocket[] {
  const { LISTEN_PID: pid, LISTEN_FDS: count, LISTEN_FDNAMES: names } = environment;
  for (const variable of VARIABLES) delete environment[variable];
  // Those of another process came down by the environment alone.
  if (pid === undefined || Number(pid) !== process.pid) return [];
  const all = names === undefined ? [] : names.split(":");
  return Array.from({ length: Number(count) || 0 }, (_, index) => describe(FIRST_DESCRIPTOR + index, all[index] ?? "unknown"));
}

function describe(fd: number, name: string): ActivatedSocket {
  const c = loadLibrary(SYMBOLS);
  const option = (which: number): number => {
    const [value, length] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32LE(4);
    return c.getsockopt(fd, SOL_SOCKET, which, ptr(value), ptr(length)) === 0 ? value.readInt32LE() : -1;
  };
  const type = option(SO_TYPE);
  if (type === -1) throw new StartError(`descriptor ${fd} ("${name}"), which systemd passed, is no socket`);
  if (type !== SOCK_STREAM && type !== SOCK_DGRAM) throw new StartError(`socket "${name}", which systemd passed, is neither a stream nor a datagram socket; use ListenStream= or ListenDatagram= in its unit`);
  if (type === SOCK_STREAM && option(SO_ACCEPTCONN) !== 1) throw new StartError(`socket "${name}", which systemd passed, does not listen; use Accept=no in its unit`);
  const [bytes, length] = [Buffer.alloc(MAX_ADDRESS), Buffer.alloc(4)];
  length.writeUInt32LE(MAX_ADDRESS);
  const known = c.getsockname(fd, ptr(bytes), ptr(length)) === 0;
  const address = known ? addressIn(bytes.subarray(0, length.readUInt32LE())) : undefined;
  if (type === SOCK_DGRAM && address?.kind !== "tcp") throw new StartError(`socket "${name}", which systemd passed, takes datagrams that are not UDP; use ListenDatagram= with an IP address and a port in its unit`);
  return { fd, name, kind: type === SOCK_STREAM ? "stream" : "datagram", address };
}

/** struct sockaddr_in, sockaddr_in6, sockaddr_un. */
function addressIn(bytes: Buffer): Address | undefined {
  const family = bytes.readUInt16LE(0);
  if (family === AF_INET) return { kind: "tcp", host: bytes.subarray(4, 8).join("."), port: bytes.readUInt16BE(2) };
  if (family === AF_INET6) return { kind: "tcp", host: ipaddr.fromByteArray([...bytes.subarray(8, 24)]).toString(), port: bytes.readUInt16BE(2) };
  if (family !== AF_UNIX || bytes[2] === 0) return undefined;
  const end = bytes.indexOf(0, 2);
  return { kind: "unix", path: bytes.toString("utf8", 2, end < 0 ? bytes.length : end) };
}

/**
 * The socket that a listener asks for by name, or that has its address; a datagram socket for udp, else a stream socket. One for every IPv6 address takes IPv4 clients too, so it will also do for
 * every IPv4 address. Undefined: there is none at its address.
 * @throws StartError when the name is nobody's, or that of several
 */
export function activatedFor(listener: ListenerConfig, sockets: readonly ActivatedSocket[]): ActivatedSocket | undefined {
  const { address } = listener;
  if (address.kind === "systemd") {
    const named = sockets.filter((socket) => suits(listener, socket));
    if (named.length === 1) return named[0];
    const known = [...new Set(sockets.map(({ name }) => name))].join(", ");
    if (named.length > 1) throw new StartError(`systemd passed ${named.length} sockets called "${address.name}"; give each a unit with a FileDescriptorName= of its own, or name listeners by their addresses`);
    const kind = kindFor(listener);
    if (sockets.some(({ name }) => name === address.name)) throw new StartError(`socket "${address.name}", which systemd passed, is no ${kind} socket; use ${kind === "stream" ? "ListenStream=" : "ListenDatagram="} in its unit`);
    throw new StartError(`systemd passed no socket called "${address.name}" (${known === "" ? "it passed none" : `it passed: ${known}`}); set FileDescriptorName=${address.name} in its unit`);
  }
  const fitting = sockets.filter((socket) => suits(listener, socket));
  return fitting.find((socket) => isAt(address, socket)) ?? fitting[0];
}

/** Does a listener of this address ask for it, or would it do? */
export function suits(listener: ListenerConfig, socket: ActivatedSocket): boolean {
  const { address } = listener;
  if (socket.kind !== kindFor(listener)) return false;
  return address.kind === "systemd" ? address.name === socket.name : isAt(address, socket) || isAt(dual(address), socket);
}

function kindFor({ protocol }: ListenerConfig): ActivatedSocket["kind"] {
  return protocol === "udp" ? "datagram" : "stream";
}

function isAt(address: Address, socket: ActivatedSocket): boolean {
  return socket.address !== undefined && canonical(socket.address) === canonical(address);
}

function dual(address: Address): Address {
  return address.kind === "tcp" && address.host === "0.0.0.0" ? { ...address, host: "::" } : address;
}

function canonical(address: Address): string {
  return formatAddress(address.kind === "tcp" && ipaddr.isValid(address.host) ? { ...address, host: ipaddr.parse(address.host).toString() } : address);
}

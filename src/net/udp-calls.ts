/** The C library's calls on UDP sockets, with errno (udp(7), socket(7)). */
import { ptr, read } from "bun:ffi";
import { getSystemErrorName } from "node:util";
import type { Address } from "../config/snapshot.ts";
import { loadLibrary } from "./libc.ts";
import { AF_INET, AF_INET6, socketAddress } from "./socket-address.ts";

const MAC = process.platform === "darwin";
const SOCK_DGRAM = 2;
/** Linux: SOCK_NONBLOCK and SOCK_CLOEXEC. Elsewhere whoever reads the socket sets both. */
const AT_ONCE = MAC ? 0 : 0o4000 | 0o2000000;
const SOL_SOCKET = MAC ? 0xffff : 1;
const SO_REUSEADDR = MAC ? 0x4 : 2;
const SO_REUSEPORT = MAC ? 0x200 : 15;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = MAC ? 27 : 26;
const ERRNO = MAC ? "__error" : "__errno_location";

const SYMBOLS = {
  dup: { args: ["int"], returns: "int" },
  close: { args: ["int"], returns: "int" },
  socket: { args: ["int", "int", "int"], returns: "int" },
  bind: { args: ["int", "ptr", "u32"], returns: "int" },
  connect: { args: ["int", "ptr", "u32"], returns: "int" },
  getsockname: { args: ["int", "ptr", "ptr"], returns: "int" },
  setsockopt: { args: ["int", "int", "int", "ptr", "u32"], returns: "int" },
  // A datagram's length fits.
  recv: { args: ["int", "ptr", "u64", "int"], returns: "int" },
  send: { args: ["int", "ptr", "u64", "int"], returns: "int" },
  sendto: { args: ["int", "ptr", "u64", "int", "ptr", "u32"], returns: "int" },
} as const;

type Library = ReturnType<typeof loadLibrary<typeof SYMBOLS>>;

export interface UdpCalls extends Pick<Library, "dup" | "close" | "connect" | "recv" | "send" | "sendto"> {
  /** Name of the last failed call's error, as ECONNREFUSED; ask before the next call. */
  errno(): string;
  /** The same as an Error that has it as its code. */
  failure(call: string): Error;
  /** A socket that does not block and that children do not inherit; below 0: there is none (errno). */
  create(family: number): number;
  /** Take SO_REUSEADDR away from it. */
  forbidReuse(fd: number): void;
  /**
   * A socket bound to `address`, an IP address; one on every IPv6 address takes IPv4 too.
   * @param shared others of this user may be bound to it too, if they all say so: Linux gives each of them a part of the clients
   * @throws Error with errno's name as its code
   */
  bound(address: Address, shared: boolean): { readonly fd: number; readonly port: number };
}

/** @throws Error when the system has no C library under a known name */
export function udpCalls(): UdpCalls {
  const library = loadLibrary(SYMBOLS);
  const location = (loadLibrary({ [ERRNO]: { args: [], returns: "ptr" } } as const) as unknown as Record<string, () => Parameters<typeof read.i32>[0]>)[ERRNO]!;

  const errno = (): string => getSystemErrorName(-read.i32(location(), 0));
  const failure = (call: string): Error => {
    const code = errno();
    return Object.assign(new Error(`${call}: ${code}`), { code, syscall: call });
  };
  const option = (fd: number, level: number, name: number, value: number): boolean => library.setsockopt(fd, level, name, ptr(new Int32Array(new ArrayBuffer(4)).fill(value)), 4) === 0;
  const create = (family: number): number => library.socket(family, SOCK_DGRAM | AT_ONCE, 0);

  const bound = (address: Address, shared: boolean): { readonly fd: number; readonly port: number } => {
    const bytes = address.kind === "unix" ? undefined : socketAddress(address.host, address.port);
    if (bytes === undefined) throw new Error("datagrams need an IP address to listen on");
    const family = bytes.length === 16 ? AF_INET : AF_INET6;
    const fd = create(family);
    if (fd < 0) throw failure("socket");
    try {
      if (family === AF_INET6 && !option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)) throw failure("setsockopt");
      if (shared && !option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) throw failure("setsockopt");
      if (library.bind(fd, ptr(bytes), bytes.length) !== 0) throw failure("bind");
      const length = new Uint32Array(new ArrayBuffer(4)).fill(bytes.length);
      if (library.getsockname(fd, ptr(bytes), ptr(length)) !== 0) throw failure("getsockname");
    } catch (error) {
      library.close(fd);
      throw error;
    }
    return { fd, port: new DataView(bytes.buffer).getUint16(2, false) };
  };

  return { ...library, errno, failure, create, bound, forbidReuse: (fd) => void option(fd, SOL_SOCKET, SO_REUSEADDR, 0) };
}

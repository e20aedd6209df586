/** What systemd does for a service, by hand: sockets that listen before it runs, and an ear for its notifications. */
import { ptr } from "bun:ffi";
import ipaddr from "ipaddr.js";
import { loadLibrary } from "../../src/net/libc.ts";
import { until } from "./until.ts";

const c = loadLibrary({
  socket: { args: ["int", "int", "int"], returns: "int" },
  bind: { args: ["int", "ptr", "u32"], returns: "int" },
  setsockopt: { args: ["int", "int", "int", "ptr", "u32"], returns: "int" },
  listen: { args: ["int", "int"], returns: "int" },
  close: { args: ["int"], returns: "int" },
  recv: { args: ["int", "ptr", "u64", "int"], returns: "i64" },
});
const [AF_UNIX, AF_INET, AF_INET6] = [1, 2, 10];
const [SOCK_STREAM, SOCK_DGRAM, SOCK_NONBLOCK] = [1, 2, 0o4000];
const MSG_DONTWAIT = 0x40;
const [SOL_SOCKET, SO_REUSEADDR] = [1, 2];
const ON = Int32Array.of(1);

function made(family: number, type: number, rest: Uint8Array): number {
  const fd = c.socket(family, type, 0);
  const address = Buffer.concat([Buffer.from([family, 0]), rest]);
  // As systemd does: connections of a test before that are not forgotten yet are in nobody's way.
  if (type !== SOCK_DGRAM) c.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ptr(ON), 4);
  if (fd < 0 || c.bind(fd, ptr(address), address.length) !== 0) throw new Error("cannot bind");
  return fd;
}

function inet(host: string, port: number): { readonly family: number; readonly rest: Buffer } {
  const bytes = Buffer.from(ipaddr.parse(host).toByteArray());
  const at = Buffer.from([port >> 8, port & 255]);
  if (bytes.length === 4) return { family: AF_INET, rest: Buffer.concat([at, bytes, Buffer.alloc(8)]) };
  return { family: AF_INET6, rest: Buffer.concat([at, Buffer.alloc(4), bytes, Buffer.alloc(4)]) };
}

/** Descriptors as a .socket unit makes them. */
export const listening = {
  tcp(host: string, port: number): number {
    const { family, rest } = inet(host, port);
    const fd = made(family, SOCK_STREAM | SOCK_NONBLOCK, rest);
    c.listen(fd, 4096);
    return fd;
  },
  unix(path: string): number {
    const fd = made(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, Buffer.from(`${path}\0`));
    c.listen(fd, 4096);
    return fd;
  },
  udp(host: string, port: number): number {
    const { family, rest } = inet(host, port);
    return made(family, SOCK_DGRAM, rest);
  },
  close(fd: number): void {
    c.close(fd);
  },
};

/** Hears what a service of Type=notify says. */
export class NotifySocket {
  readonly path: string;
  readonly messages: string[] = [];
  private readonly fd: number;

  /** @param path of a socket; with an @ before it, of an abstract one */
  constructor(path: string) {
    this.path = path;
    this.fd = made(AF_UNIX, SOCK_DGRAM, Buffer.from(path.startsWith("@") ? `\0${path.slice(1)}` : `${path}\0`));
  }

  /** The first message that contains `text`, from message `from` on. */
  hear(text: string, from = 0): Promise<string> {
    return until(`a notification ${text}`, () => {
      const bytes = Buffer.alloc(4096);
      for (let length = 0; (length = Number(c.recv(this.fd, ptr(bytes), 4096n, MSG_DONTWAIT))) > 0; ) this.messages.push(bytes.toString("utf8", 0, length));
      return this.messages.slice(from).find((message) => message.includes(text));
    });
  }

  close(): void {
    c.close(this.fd);
  }
}

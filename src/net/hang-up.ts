/** Ends connections that a server has accepted which has no hook for them: by their descriptors, so that it hears of each as if its client had gone. */
import { ptr } from "bun:ffi";
import { loadLibrary } from "./libc.ts";
import { AF_INET, AF_INET6 } from "./socket-address.ts";

const SHUT_RDWR = 2;
/** struct sockaddr: the family, which macOS has behind a length, and the port of an IP address at bytes 2 and 3. */
const NAME = new Uint8Array(new ArrayBuffer(128));
const LENGTH = new Uint32Array(new ArrayBuffer(4));
const FAMILY = process.platform === "darwin" ? 1 : 0;
const PORT = new DataView(NAME.buffer);

const load = () => loadLibrary({ getsockname: { args: ["int", "ptr", "ptr"], returns: "int" }, getpeername: { args: ["int", "ptr", "ptr"], returns: "int" }, shutdown: { args: ["int", "int"], returns: "int" } });
let calls: ReturnType<typeof load> | undefined;

/**
 * @param port that they were accepted at
 * @param below descriptors up to this one are looked at
 * @param spared ports of clients that stay
 * @returns how many were ended
 */
export function hangUp(port: number, below: number, spared: ReadonlySet<number>): number {
  calls ??= load();
  const portOf = (call: "getsockname" | "getpeername", fd: number): number => {
    LENGTH[0] = NAME.length;
    if (calls![call](fd, ptr(NAME), ptr(LENGTH)) !== 0) return -1;
    return NAME[FAMILY] === AF_INET || NAME[FAMILY] === AF_INET6 ? PORT.getUint16(2, false) : -1;
  };
  let ended = 0;
  for (let fd = 3; fd < below; fd++) {
    if (portOf("getsockname", fd) !== port) continue;
    // What listens has no peer.
    const peer = portOf("getpeername", fd);
    if (peer < 0 || spared.has(peer)) continue;
    calls.shutdown(fd, SHUT_RDWR);
    ended++;
  }
  return ended;
}

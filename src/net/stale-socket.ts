/** Names of unix sockets outlive the process that made them, when it is killed. */
import { lstatSync, unlinkSync } from "node:fs";

/**
 * Take the name away if it is a socket's and nobody answers there.
 * @returns why it is not to be had; undefined: it is free
 */
export async function removeStaleSocket(path: string): Promise<string | undefined> {
  try {
    const there = lstatSync(path, { throwIfNoEntry: false });
    if (there === undefined) return undefined;
    // Somebody's file, named by mistake.
    if (!there.isSocket()) return "something that is no socket is there";
    const answered = await Bun.connect({ unix: path, socket: { data() {}, connectError() {} } }).then(
      (socket) => {
        socket.end();
        return true;
      },
      () => false,
    );
    if (answered) return "another program listens there";
    unlinkSync(path);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

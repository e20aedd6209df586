/** Names of unix sockets outlive the process that made them, when it is killed. */
import { existsSync, unlinkSync } from "node:fs";

/**
 * Take the name away if nobody answers there.
 * @returns false when somebody does
 */
export async function removeStaleSocket(path: string): Promise<boolean> {
  if (!existsSync(path)) return true;
  const answered = await Bun.connect({ unix: path, socket: { data() {}, connectError() {} } }).then(
    (socket) => {
      socket.end();
      return true;
    },
    () => false,
  );
  if (answered) return false;
  unlinkSync(path);
  return true;
}

/** Does nobody listen on a port? */
import { connect } from "node:net";

/** Connects only: a request might be taken just before the end, and its reply never come. */
export function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.on("error", () => resolve(true));
  });
}

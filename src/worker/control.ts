/** Where a worker hears from a supervisor that did not start it: hand over the listening sockets, then leave. */
import { existsSync, unlinkSync } from "node:fs";
import { passDescriptors } from "../net/descriptors.ts";

/**
 * Listen on a unix socket of mode 0600. A line `send` is answered with `descriptors`, `drain` lets the worker go. Each is answered with a line.
 */
export function answerControl(path: string, descriptors: readonly number[], drain: () => void): void {
  if (existsSync(path)) unlinkSync(path);
  const before = process.umask(0o177);
  Bun.listen({
    unix: path,
    socket: {
      data(socket, chunk) {
        const verb = chunk.toString("utf8").trim();
        if (verb === "send") {
          try {
            // `fd` works and is not in the types.
            passDescriptors((socket as unknown as { readonly fd: number }).fd, descriptors);
            socket.end("sent\n");
          } catch (error) {
            // A worker that drains has closed them already; what it still serves is not to end by this.
            socket.end(`failed: ${(error as Error).message}\n`);
          }
        } else if (verb === "drain") {
          socket.end("draining\n");
          drain();
        } else socket.end("unknown\n");
      },
    },
  }).unref();
  process.umask(before);
}

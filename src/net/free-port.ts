/** Ports of 127.0.0.1 where nobody listens. */
import { createServer } from "node:net";

/** @param port 0: any @returns the port; undefined: it is taken, or cannot be tried */
export function tryPort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(undefined));
    probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      const { port: bound } = probe.address() as { port: number };
      probe.close(() => resolve(bound));
    });
  });
}

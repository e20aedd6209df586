/** Free ports below the range from which the system takes ports of its own accord, so that no outgoing connection sits on one. */
import { createServer } from "node:net";

const FIRST = 12_000;
const COUNT = 20_000;
/** Processes that run side by side start at different places. */
let next = (process.pid * 211) % COUNT;

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** A port where nothing listens now and that nobody else of this process was given. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < COUNT; tries++) {
    const port = FIRST + next;
    next = (next + 1) % COUNT;
    if (await canListen(port)) return port;
  }
  throw new Error("no free port");
}

/** Free ports below the range from which the system takes ports of its own accord, so that no outgoing connection sits on one. */
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tryLock } from "../../src/net/file-lock.ts";

const FIRST = 12_000;
/** Processes that run side by side take their ports from lanes of their own: between a look at a port and its use nobody else may come. */
const LANES = 20;
const WIDTH = 1_000;

const first = FIRST + takeLane() * WIDTH;
let next = Math.floor(performance.now() * 1000) % WIDTH;

/**
 * The lane is ours until this process ends, however it ends. One process runs many test files, each with modules of its own: what an earlier one
 * took is known by our number in it.
 */
function takeLane(): number {
  const directory = join(tmpdir(), "fairlead-tests");
  mkdirSync(directory, { recursive: true });
  const paths = Array.from({ length: LANES }, (_, lane) => join(directory, `ports-${lane}.lock`));
  const own = paths.findIndex((path) => existsSync(path) && readFileSync(path, "utf8") === String(process.pid));
  if (own >= 0) return own;
  for (const [lane, path] of paths.entries()) {
    if (!tryLock(openSync(path, "a"), "exclusive")) continue;
    writeFileSync(path, String(process.pid));
    return lane;
  }
  throw new Error(`more than ${LANES} test processes run at a time`);
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** A port where nothing listens now and that nobody else was given. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < WIDTH; tries++) {
    const port = first + next;
    next = (next + 1) % WIDTH;
    if (await canListen(port)) return port;
  }
  throw new Error("no free port");
}

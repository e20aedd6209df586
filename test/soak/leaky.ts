/**
 * A leak as one is made by mistake, put into the real program by a preload: from the second question of the probe's directory on, for each connection that a worker
 * accepts `LEAKY_BYTES` stay reachable, and for each `LEAKY_EVERY`-th a descriptor stays open.
 */
import { openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { QUESTION } from "./probe.ts";

const BYTES = Number(process.env["LEAKY_BYTES"] ?? 100);
const EVERY = Number(process.env["LEAKY_EVERY"] ?? 1_000);
const question = join(process.env["SOAK_PROBE"] ?? "", QUESTION);
const kept: string[] = [];
let begun = false;
let connections = 0;

function accepted(): void {
  begun ||= Number(readFileSync(question, "utf8")) >= 2;
  if (!begun) return;
  kept.push(String.fromCharCode(...Array.from({ length: BYTES }, (_, at) => 97 + ((connections + at) % 26))));
  if (++connections % EVERY === 0) openSync("/dev/null", "r");
}

type Listen = (options: { readonly fd?: number; readonly socket: { open?: (socket: unknown) => unknown } }) => unknown;
const listen = Bun.listen as unknown as Listen;
(Bun as unknown as { listen: Listen }).listen = (options) => {
  const { open } = options.socket;
  // Workers listen on descriptors that they were given.
  if (options.fd === undefined || open === undefined) return listen(options);
  return listen({
    ...options,
    socket: {
      ...options.socket,
      open(socket) {
        accepted();
        return open.call(options.socket, socket);
      },
    },
  });
};

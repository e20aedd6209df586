/** A port where a connect hangs, as to a dead machine: a listener that never accepts, its queue filled. */
import { spawn } from "node:child_process";
import { connect, type Socket } from "node:net";
import { freePort } from "./ports.ts";
import { sleep, until } from "./until.ts";

/** Listens with a queue of one and then blocks its only thread for good. */
const PROGRAM = `
  const server = require("node:net").createServer();
  server.listen({ port: Number(process.argv[1]), host: "127.0.0.1", backlog: 1 }, () => {
    require("node:fs").writeSync(1, "listening");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
`;
/** A connect that takes longer got no answer. */
const ANSWER_TIME = 300;

export async function fullQueue(): Promise<{ readonly address: string; close(): void }> {
  const port = await freePort();
  const child = spawn("node", ["-e", PROGRAM, String(port)], { stdio: ["ignore", "pipe", "inherit"] });
  let ready = false;
  child.stdout.on("data", () => (ready = true));
  await until("a listener that never accepts", () => ready);
  const fillers: Socket[] = [];
  for (let hangs = false; !hangs; ) {
    const filler = connect(port, "127.0.0.1");
    filler.on("error", () => {});
    fillers.push(filler);
    let connected = false;
    filler.on("connect", () => (connected = true));
    for (let waited = 0; waited < ANSWER_TIME && !connected; waited += 10) await sleep(10);
    hangs = !connected;
  }
  return {
    address: `127.0.0.1:${port}`,
    close() {
      for (const filler of fillers) filler.destroy();
      child.kill("SIGKILL");
    },
  };
}

/** kill -9 of workers, one after the other, each when the one before has been replaced. */
import { sleep } from "../../support/until.ts";
import type { Fault } from "../fault.ts";
import { wasUnderWay } from "../judge.ts";
import type { Allowance } from "../judge.ts";
import { connectionsOf, freeze, now } from "../sockets.ts";

/** More than five deaths in ten seconds are a crash loop, after which the next worker is kept waiting. In ms. */
const BETWEEN = 2_200;
/** HTTP/2 has up to so many exchanges on a connection, in the load that there is. */
const STREAMS = 64;

export const killWorker: Fault = {
  name: "kill-worker",
  what: "kill -9 of a worker",
  bar: "only exchanges on connections that were that worker's fail",
  async run(scene, { quick, isOver }) {
    const allowances: Allowance[] = [];
    do {
      const workers = await scene.workers();
      const victim = workers[allowances.length % workers.length]!;
      // Standing still it neither accepts nor ends a connection: what it holds now is what it dies with.
      const from = now();
      await freeze(victim);
      const { plain, secure, stream } = scene.ports;
      const held = connectionsOf(victim, [plain, secure, stream]);
      const clients = new Set(held.map(({ remotePort }) => remotePort));
      const most = held.reduce((sum, { localPort }) => sum + (localPort === secure ? STREAMS : 1), 0);
      process.kill(victim, "SIGKILL");
      const to = now();
      allowances.push({ why: "on a connection of the killed worker", most, covers: (failure) => clients.has(failure.port) && wasUnderWay(failure, from, to) });
      await scene.workers(victim);
      await sleep(quick ? 200 : BETWEEN);
    } while (!isOver());
    return { times: allowances.length, allowances };
  },
};

/** kill -9 of back ends, one at a time; each comes back at its port, and is in rotation again before the next one dies. */
import { sleep } from "../../support/until.ts";
import type { Fault } from "../fault.ts";
import { type Allowance, wasUnderWay } from "../judge.ts";
import { connectionsOf, now } from "../sockets.ts";
import { lostOn } from "../lost-on.ts";

/** How long it stays away, in ms. */
const AWAY = 700;

export const killBackend: Fault = {
  name: "kill-backend",
  what: "kill -9 of a back end, which is back after 0.7 s",
  bar: "0 GETs fail; only POSTs and tcp connections that were on it do",
  async run(scene, { isOver }) {
    const allowances: Allowance[] = [];
    let times = 0;
    do {
      const victim = scene.backends[times++ % scene.backends.length]!;
      const connections = connectionsOf(victim.pid, [victim.plan.port]).length;
      const from = now();
      await victim.kill();
      const to = now();
      allowances.push(...lostOn(scene, victim, connections, (failure) => wasUnderWay(failure, from, to)));
      await sleep(AWAY);
      await victim.restart();
      await scene.healthy();
      await sleep(300);
    } while (!isOver());
    return { times, allowances };
  },
};

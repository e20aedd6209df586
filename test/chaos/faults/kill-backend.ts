/** kill -9 of back ends. */
import { oneAfterTheOther } from "../deaths.ts";
import type { Fault } from "../fault.ts";
import { wasUnderWay } from "../judge.ts";
import { lostOn } from "../lost-on.ts";
import { connectionsOf, now } from "../sockets.ts";

/** How long it stays away, in ms. */
const AWAY = 700;

export const killBackend: Fault = {
  name: "kill-backend",
  what: "kill -9 of a back end, which is back after 0.7 s",
  bar: "0 GETs fail; only POSTs and tcp connections that were on it do",
  run: (scene, { isOver }) =>
    oneAfterTheOther(scene, isOver, AWAY, async (victim) => {
      const connections = connectionsOf(victim.pid, [victim.plan.port]).length;
      const from = now();
      await victim.kill();
      const to = now();
      return lostOn(scene, victim, connections, (failure) => wasUnderWay(failure, from, to));
    }),
};

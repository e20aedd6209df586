/** A back end hangs and then dies: until then it takes requests and answers none. */
import { sleep } from "../../support/until.ts";
import { oneAfterTheOther } from "../deaths.ts";
import type { Fault } from "../fault.ts";
import { wasUnderWay } from "../judge.ts";
import { lostOn } from "../lost-on.ts";
import { freeze, now } from "../sockets.ts";

/** In ms. */
const HANGS = 1_000;
const AWAY = 500;

export const hangBackend: Fault = {
  name: "hang-backend",
  what: "a back end hangs for 1 s and then dies; timeouts.attempt = 300 ms, retry_budget = 100 %",
  bar: "0 GETs fail; only POSTs and tcp connections that were on it do",
  scene: { upstream: { timeouts: { attempt: "300ms" }, retry_budget: "100%" } },
  run: (scene, { isOver }) =>
    oneAfterTheOther(scene, isOver, AWAY, async (victim) => {
      const from = now();
      await freeze(victim.pid);
      await sleep(HANGS);
      await victim.kill();
      const to = now();
      // Fairlead has ended connections whose attempt took too long: whose POST it was says the table alone.
      return lostOn(scene, victim, Infinity, (failure) => wasUnderWay(failure, from, to));
    }),
};

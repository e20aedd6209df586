/** kill -9 of the supervisor; a second later somebody, as a service manager would, starts Fairlead anew, which takes over from the workers that went on. */
import { sleep, until } from "../../support/until.ts";
import { isAlive } from "../../support/processes.ts";
import type { Fault } from "../fault.ts";

/** How long nobody is there, in ms. */
const ALONE = 1_000;
/** The orphans have let their clients go by then. In ms. */
const DRAINED = 35_000;

export const killSupervisor: Fault = {
  name: "kill-supervisor",
  what: "kill -9 of the supervisor; Fairlead is started anew 1 s later",
  bar: "0 fail: workers serve on, and hand their sockets to the new ones",
  async run(scene, { isOver }) {
    let times = 0;
    do {
      const orphans = await scene.workers();
      const { supervisor } = scene;
      process.kill(supervisor, "SIGKILL");
      await until("its end", () => !isAlive(supervisor));
      await sleep(ALONE);
      await scene.moreRequests(100);
      const alive = orphans.filter(isAlive);
      if (alive.length < orphans.length) return { times, allowances: [], complaints: ["a worker died with its supervisor"] };
      await scene.startFairlead();
      await until("the orphans' end", () => !orphans.some(isAlive), DRAINED);
      times++;
    } while (!isOver());
    return { times, allowances: [] };
  },
};

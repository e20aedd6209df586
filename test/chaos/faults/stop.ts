/** SIGSTOP, and SIGCONT a while later: what stands still has not died, and is waited for or gone around. */
import { sleep } from "../../support/until.ts";
import type { Course, Fault, Inflicted } from "../fault.ts";
import { freeze } from "../sockets.ts";

/** How long it stands still, in ms: less than what the watchdog takes for a worker that hangs. */
const STILL = 1_500;
const BETWEEN = 500;

/** @param next whom to stop */
async function stopAgain({ quick, isOver }: Course, next: (times: number) => Promise<number> | number): Promise<Inflicted> {
  let times = 0;
  do {
    const pid = await next(times++);
    await freeze(pid);
    await sleep(quick ? STILL / 3 : STILL);
    process.kill(pid, "SIGCONT");
    await sleep(BETWEEN);
  } while (!isOver());
  return { times, allowances: [] };
}

export const stopWorker: Fault = {
  name: "stop-worker",
  what: "SIGSTOP of a worker for 1.5 s",
  bar: "0 fail: its clients wait, others go to the other workers",
  run: (scene, course) =>
    stopAgain(course, async (times) => {
      const workers = await scene.workers();
      return workers[times % workers.length]!;
    }),
};

export const stopBackend: Fault = {
  name: "stop-backend",
  what: "SIGSTOP of a back end for 1.5 s",
  bar: "0 fail: what it has been asked waits",
  run: (scene, course) => stopAgain(course, (times) => scene.backends[times % scene.backends.length]!.pid),
};

export const stopSupervisor: Fault = {
  name: "stop-supervisor",
  what: "SIGSTOP of the supervisor for 1.5 s",
  bar: "0 fail: it touches no traffic",
  run: (scene, course) => stopAgain(course, () => scene.supervisor),
};

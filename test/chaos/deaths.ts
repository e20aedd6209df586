/** Back ends die, one at a time; each comes back at its port, and is in rotation again before the next one dies. */
import { sleep } from "../support/until.ts";
import type { Inflicted } from "./fault.ts";
import type { Allowance } from "./judge.ts";
import type { Backend } from "./load/backend.ts";
import type { Scene } from "./scene.ts";

/**
 * @param away how long each stays away, in ms
 * @param die ends it, and says what that may have cost
 */
export async function oneAfterTheOther(scene: Scene, isOver: () => boolean, away: number, die: (victim: Backend) => Promise<readonly Allowance[]>): Promise<Inflicted> {
  const allowances: Allowance[] = [];
  let times = 0;
  do {
    const victim = scene.backends[times++ % scene.backends.length]!;
    allowances.push(...(await die(victim)));
    await sleep(away);
    await victim.restart();
    await scene.healthy();
    await sleep(300);
  } while (!isOver());
  return { times, allowances };
}

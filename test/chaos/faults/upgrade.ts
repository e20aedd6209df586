/** The binary is upgraded in place (SIGUSR2), again and again: the new one takes the sockets, the old one lets its clients end what they have begun. */
import { until } from "../../support/until.ts";
import { isAlive } from "../../support/processes.ts";
import type { Fault } from "../fault.ts";

const REQUESTS = 1_000_000;
const PATIENCE = 30_000;

export const upgrade: Fault = {
  name: "upgrade",
  what: "SIGUSR2: the binary on disk takes over, again and again",
  bar: "0 of at least 1,000,000 fail",
  requests: REQUESTS,
  async run(scene, { isOver }) {
    let times = 0;
    do {
      const { supervisor, started } = scene;
      process.kill(supervisor, "SIGUSR2");
      await until("the new one to serve", () => scene.started > started, PATIENCE);
      await until("the old one's end", () => !isAlive(supervisor), PATIENCE);
      times++;
    } while (!isOver());
    return { times, allowances: [] };
  },
};

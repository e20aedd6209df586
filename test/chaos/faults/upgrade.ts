/** The binary is upgraded in place (SIGUSR2), again and again: the new one takes the sockets, the old one lets its clients end what they have begun. */
import { until } from "../../support/until.ts";
import { isAlive } from "../../support/processes.ts";
import type { Fault } from "../fault.ts";

const REQUESTS = 1_000_000;
const PATIENCE = 60_000;

export const upgrade: Fault = {
  name: "upgrade",
  what: "another version is put on the disk, and SIGUSR2 tells the one that runs",
  bar: "0 of at least 1,000,000 fail; each version takes over",
  scene: { replaceable: true },
  requests: REQUESTS,
  async run(scene, { isOver }) {
    const complaints: string[] = [];
    let times = 0;
    do {
      const { supervisor, started } = scene;
      const version = `0.0.${++times}`;
      scene.release!.becomes(version);
      process.kill(supervisor, "SIGUSR2");
      await until("the new one to serve", () => scene.started > started, PATIENCE);
      await until("the old one's end", () => !isAlive(supervisor), PATIENCE);
      const runs = /^fairlead_build_info\{version="([^"]*)"\}/m.exec(await scene.metrics())?.[1];
      if (runs !== version) complaints.push(`version ${runs} runs, where ${version} is on the disk`);
    } while (!isOver());
    return { times, allowances: [], complaints };
  },
};

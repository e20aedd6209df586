/** A reload every 100 ms, each with another configuration: targets come and go, change their weights, and routes lead elsewhere. */
import { sleep } from "../../support/until.ts";
import type { TomlTable } from "../../support/toml.ts";
import type { Fault } from "../fault.ts";
import type { Scene } from "../scene.ts";

const EVERY = 100;
const REQUESTS = 1_000_000;
const BACKENDS = 4;

/** All targets but one, with weights that change; every other time a route takes a part of the paths to another upstream, which is there only then. */
function variant(scene: Scene, times: number): void {
  const { backends } = scene;
  const out = times % backends.length;
  const targets = scene.targets(backends.filter((_, index) => index !== out)).map((target, index) => ({ ...target, weight: 1 + ((times + index) % 3) }));
  const routed = times % 2 === 1;
  scene.configure((whole) => ({
    ...whole,
    upstreams: [...(whole["upstreams"] as readonly TomlTable[]).map((upstream) => ({ ...upstream, targets })), ...(routed ? [{ name: "other", policy: "random", targets: scene.targets([backends[out]!]) }] : [])],
    ...(routed ? { routes: [{ path_prefix: "/n", headers: { host: "chaos.test" }, methods: times % 4 === 1 ? ["POST"] : ["GET"], upstream: "other" }] } : {}),
  }));
}

export const reload: Fault = {
  name: "reload",
  what: "a reload every 100 ms, each to other targets, weights, upstreams and routes",
  bar: "0 of at least 1,000,000 fail",
  scene: { backends: BACKENDS },
  requests: REQUESTS,
  async run(scene, { isOver }) {
    const { supervisor, fairlead } = scene;
    const applied = (): number => fairlead.log.filter(({ msg }) => msg === "Reload applied").length;
    let times = 0;
    do {
      variant(scene, ++times);
      process.kill(supervisor, "SIGHUP");
      await sleep(EVERY);
    } while (!isOver());
    const rejected = fairlead.log.filter(({ level, msg }) => level === "error" && /eload/.test(msg ?? ""));
    return { times, allowances: [], notes: [`${applied()} reloads applied`], complaints: [...(applied() < times / 10 ? [`only ${applied()} of ${times} reloads were applied`] : []), ...rejected.slice(0, 3).map((line) => JSON.stringify(line))] };
  },
};

/** The network between Fairlead and one of its back ends is bad: a fault proxy stands there. */
import { sleep } from "../../support/until.ts";
import type { Fault } from "../fault.ts";
import { type Allowance, wasUnderWay } from "../judge.ts";
import { FaultProxy, type Weather } from "../load/fault-proxy.ts";
import { lostOn, truncatedOn } from "../lost-on.ts";
import type { Scene } from "../scene.ts";
import { now } from "../sockets.ts";

const proxies = new WeakMap<Scene, FaultProxy>();

/** Before the first of three. */
async function between(scene: Scene): Promise<void> {
  const [backend] = scene.backends;
  const proxy = await FaultProxy.start(backend!.plan.port);
  scene.atEnd(() => proxy.drop());
  scene.addresses.set(backend!, `127.0.0.1:${proxy.port}`);
  proxies.set(scene, proxy);
}

export const cutBackend: Fault = {
  name: "cut-backend",
  what: "all connections to a back end are cut, by RST and by FIN in turns; retry_budget = 100 %",
  bar: "only POSTs and tcp connections on those fail, and replies that had begun",
  scene: { between, upstream: { retry_budget: "100%" } },
  async run(scene, { isOver }) {
    const [backend] = scene.backends;
    const proxy = proxies.get(scene)!;
    const allowances: Allowance[] = [];
    const cuts: number[] = [];
    // On a machine that is slow just now.
    allowances.push({ why: "cut twice, which is as often as they are sent", most: Infinity, covers: ({ sent, ended }) => cuts.filter((at) => at >= sent && at <= ended).length >= 2 });
    let times = 0;
    do {
      const from = now();
      cuts.push(from);
      const cut = await proxy.cut(times++ % 2 === 0 ? "reset" : "fin");
      const to = now();
      const was: Allowance["covers"] = (failure) => wasUnderWay(failure, from, to);
      allowances.push(...lostOn(scene, backend!, cut.length, was), truncatedOn(cut.length, was));
      await sleep(500);
    } while (!isOver());
    return { times, allowances };
  },
};

/** Each for a while, in ms. */
const LASTS = 1_000;
const BAD: readonly Weather[] = [{ delay: 50 }, { rate: 400_000 }, { delay: 20, rate: 1_000_000 }];

export const slowBackend: Fault = {
  name: "slow-backend",
  what: "the way to a back end delays by 50 ms, lets 400 kB/s through, or both",
  bar: "0 fail",
  scene: { between },
  async run(scene, { isOver }) {
    const proxy = proxies.get(scene)!;
    let times = 0;
    do {
      await proxy.set(BAD[times++ % BAD.length]!);
      await sleep(LASTS);
      await proxy.set({});
      await sleep(LASTS / 4);
    } while (!isOver());
    return { times, allowances: [] };
  },
};

/** Longer than an attempt may take, shorter than it takes health checks to find out. In ms. */
const SWALLOWS = 1_500;

export const holeBackend: Fault = {
  name: "hole-backend",
  what: "the way to a back end swallows everything for 1.5 s; timeouts.attempt = 300 ms, retry_budget = 100 %",
  bar: "0 GETs fail; POSTs that were swallowed do",
  scene: { between, upstream: { timeouts: { attempt: "300ms" }, retry_budget: "100%" } },
  async run(scene, { isOver }) {
    const [backend] = scene.backends;
    const proxy = proxies.get(scene)!;
    const allowances: Allowance[] = [];
    do {
      const from = now();
      await proxy.set({ hole: true });
      await sleep(SWALLOWS);
      await proxy.set({});
      const to = now();
      allowances.push({ why: "POSTs that went into the hole, which must not be sent twice", most: Infinity, covers: (failure) => failure.method === "POST" && failure.status === 504 && [0, backend!.plan.id].includes(scene.receiverOf(failure.number)) && wasUnderWay(failure, from, to) });
      await sleep(SWALLOWS / 2);
    } while (!isOver());
    return { times: allowances.length, allowances };
  },
};

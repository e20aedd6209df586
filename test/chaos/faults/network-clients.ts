/** The network between clients and Fairlead is bad for some of them; others are there directly, and must not notice. */
import { sleep } from "../../support/until.ts";
import type { Fault } from "../fault.ts";
import { type Allowance, wasUnderWay } from "../judge.ts";
import { FaultProxy, type Weather } from "../load/fault-proxy.ts";
import type { Lane } from "../load/plan.ts";
import { type Ports, type Scene, type SceneOptions, usualLoad } from "../scene.ts";
import { now } from "../sockets.ts";

interface Ways {
  readonly plain: FaultProxy;
  readonly secure: FaultProxy;
}

const ways = new WeakMap<Scene, Ways>();
const byPorts = new WeakMap<Ports, Ways>();

async function between(scene: Scene): Promise<void> {
  const its = { plain: await FaultProxy.start(scene.ports.plain), secure: await FaultProxy.start(scene.ports.secure) };
  scene.atEnd(() => {
    its.plain.drop();
    its.secure.drop();
  });
  ways.set(scene, its);
  byPorts.set(scene.ports, its);
}

const STREAMS = 8;

/** A generator of its own has the bad way. */
function load(ports: Ports): readonly (readonly Lane[])[] {
  const { plain, secure } = byPorts.get(ports)!;
  return [
    ...usualLoad(ports),
    [
      { name: "far", port: plain.port, protocol: "h1", connections: 12, posts: 0.1 },
      { name: "far tls", port: secure.port, protocol: "h1", tls: true, connections: 4, posts: 0.1, requestsPerConnection: 100 },
      { name: "far h2", port: secure.port, protocol: "h2", tls: true, connections: 2, streams: STREAMS, posts: 0.1 },
    ],
  ];
}

const scene: SceneOptions = { between, load };

export const cutClients: Fault = {
  name: "cut-clients",
  what: "connections of some clients are cut, by RST and by FIN in turns",
  bar: "only exchanges on those fail",
  scene,
  async run(its, { isOver }) {
    const { plain, secure } = ways.get(its)!;
    const allowances: Allowance[] = [];
    let times = 0;
    do {
      const how = times++ % 2 === 0 ? "reset" : "fin";
      const from = now();
      const cut = [...(await plain.cut(how)), ...(await secure.cut(how))];
      const to = now();
      allowances.push({ why: "on a connection that was cut", most: cut.length * STREAMS, covers: (failure) => cut.includes(failure.port) && failure.lane.startsWith("far") && wasUnderWay(failure, from, to) });
      await sleep(500);
    } while (!isOver());
    return { times, allowances };
  },
};

/** Each for a while, in ms. */
const LASTS = 1_000;
const BAD: readonly Weather[] = [{ delay: 50 }, { rate: 200_000 }, { hole: true }];

export const slowClients: Fault = {
  name: "slow-clients",
  what: "the way of some clients delays by 50 ms, lets 200 kB/s through, or nothing for 1 s",
  bar: "0 fail",
  scene,
  async run(its, { isOver }) {
    const { plain, secure } = ways.get(its)!;
    let times = 0;
    do {
      const weather = BAD[times++ % BAD.length]!;
      await plain.set(weather);
      await secure.set(weather);
      await sleep(LASTS);
      await plain.set({});
      await secure.set({});
      await sleep(LASTS / 4);
    } while (!isOver());
    return { times, allowances: [] };
  },
};

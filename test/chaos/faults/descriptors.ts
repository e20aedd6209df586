/** Fairlead may open few files, and many clients come that want nothing: those that are at work must not suffer. */
import { sleep } from "../../support/until.ts";
import type { Fault } from "../fault.ts";
import type { Load } from "../scene.ts";

/** Of each process; 128 of them are for other things than sockets. */
const OPEN_FILES = 192;
const IDLE = 300;
/** How long they stay, in ms. */
const STAY = 2_000;
/** Until there is room again, in ms. */
const WAIT = 500;

const load: Load = ({ plain, secure }) => [
  [
    { name: "closed", port: plain, protocol: "h1", connections: 8, posts: 0.1 },
    // Who comes while there is no room waits until there is.
    { name: "churn", port: plain, protocol: "h1", connections: 2, posts: 0.1, requestsPerConnection: 100 },
    { name: "h2", port: secure, protocol: "h2", tls: true, connections: 2, streams: 4, posts: 0.1 },
  ],
  [{ name: "open", port: plain, protocol: "h1", connections: 4, rate: 200 }],
];

export const descriptors: Fault = {
  name: "descriptors",
  what: `${IDLE} idle clients come to processes that may open ${OPEN_FILES} files each`,
  bar: "0 fail: who is at work goes on, who comes waits until there is room",
  scene: { openFiles: OPEN_FILES, load },
  async run(scene, { isOver }) {
    let times = 0;
    let short = false;
    do {
      times++;
      const idle = await scene.join([{ name: "idle", port: scene.ports.plain, protocol: "h1", connections: IDLE, rate: 0 }]);
      await sleep(STAY);
      short = scene.fairlead.log.some(({ msg }) => /Open files run low/.test(msg ?? ""));
      await scene.leave(idle);
      await sleep(WAIT);
    } while (!isOver());
    return { times, allowances: [], complaints: short ? [] : ["files never ran low: this has shown nothing"] };
  },
};

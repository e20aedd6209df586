/** The load generator itself: `generator.ts` starts it and tells it what to do. */
import { H1Carrier } from "./h1-carrier.ts";
import { H2Carrier } from "./h2-carrier.ts";
import { LaneAtWork, type Shared } from "./lane-at-work.ts";
import type { Counts, FromGenerator, LoadPlan, ToGenerator } from "./plan.ts";

/** Of an open loop's arrivals, and between two tellings of counts, in ms. */
const TICK = 1;
const LOOK_FOR_LATE = 100;

let lanes: LaneAtWork[] = [];
const shared: Shared = { next: 0, failures: [] };
let began = 0;

function say(message: FromGenerator): void {
  process.send!(message);
}

function counts(): Counts {
  const sum = (of: (lane: LaneAtWork) => number): number => lanes.reduce((total, lane) => total + of(lane), 0);
  return { requests: sum(({ requests }) => requests), failed: sum(({ failed }) => failed), resent: sum(({ resent }) => resent), connections: sum(({ connections }) => connections) };
}

function start(plan: LoadPlan): void {
  shared.next = plan.first;
  began = performance.now();
  lanes = plan.lanes.map((lane) => new LaneAtWork(lane, plan.timeout, shared, (at) => (lane.protocol === "h2" ? new H2Carrier(at) : new H1Carrier(at))));
  if (plan.lanes.some(({ rate }) => rate !== undefined)) {
    setInterval(() => {
      const now = performance.now();
      for (const lane of lanes) lane.tick(now);
    }, TICK);
  }
  setInterval(() => {
    const now = performance.now();
    for (const lane of lanes) lane.lookForLate(now);
    say({ type: "counts", counts: counts() });
  }, LOOK_FOR_LATE);
}

async function stop(): Promise<void> {
  const seconds = (performance.now() - began) / 1000;
  for (const lane of lanes) lane.stop();
  while (!lanes.every(({ idle }) => idle)) await Bun.sleep(2);
  for (const lane of lanes) lane.end();
  say({ type: "report", report: { ...counts(), lanes: lanes.map((lane) => lane.report()), failures: shared.failures, seconds } });
}

process.on("message", (message: ToGenerator) => {
  if (message.type === "start") start(message.plan);
  else void stop();
});
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {});
say({ type: "up" });

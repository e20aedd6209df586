/** One fault, from the start of everything to the verdict. */
import type { Fault } from "./fault.ts";
import { isGood, judge, type Judgement } from "./judge.ts";
import type { LaneReport } from "./load/plan.ts";
import { said } from "./said.ts";
import { Scene } from "./scene.ts";

export interface Length {
  /** At least so long. */
  readonly seconds: number;
  readonly quick: boolean;
  /** At least so many requests, where the fault asks for many; 0: as many as there are. */
  readonly requests: number;
}

export interface Played {
  readonly fault: Fault;
  readonly times: number;
  readonly seconds: number;
  readonly requests: number;
  readonly failed: number;
  readonly resent: number;
  readonly lanes: readonly LaneReport[];
  readonly judgement: Judgement;
  readonly notes: readonly string[];
  readonly good: boolean;
}

/** However slow the machine is. In ms. */
const LONGEST = 15 * 60_000;
/** Of so many that break the bar it is told what Fairlead has to say of them. */
const EXPLAINED = 5;

export async function play(fault: Fault, length: Length): Promise<Played> {
  try {
    return await inflict(fault, length);
  } catch (error) {
    const complaints = [error instanceof Error ? error.message : String(error)];
    return { fault, times: 0, seconds: 0, requests: 0, failed: 0, resent: 0, lanes: [], judgement: { allowed: [], violations: [], wrong: 0, complaints }, notes: [], good: false };
  }
}

async function inflict(fault: Fault, { seconds, quick, requests }: Length): Promise<Played> {
  const wanted = fault.requests === undefined ? 0 : Math.min(fault.requests, requests);
  const scene = await Scene.start(fault.scene);
  try {
    const began = performance.now();
    const isOver = (): boolean => {
      const spent = performance.now() - began;
      return spent >= LONGEST || (spent >= seconds * 1000 && scene.counts.requests >= wanted);
    };
    const inflicted = await fault.run(scene, { quick, isOver });
    const { report, leftOver } = await scene.finish();
    const few = report.requests < wanted ? [`${report.requests} requests only, of ${wanted}`] : [];
    const judgement = judge(report, inflicted.allowances, [...leftOver, ...(inflicted.complaints ?? []), ...few]);
    const [first] = judgement.violations;
    const logged = first === undefined ? [] : scene.logAround(first.ended);
    const words = await said(scene.ports.admin, judgement.violations.slice(0, EXPLAINED));
    const { requests: made, failed, resent, lanes } = report;
    return { fault, times: inflicted.times, seconds: report.seconds, requests: made, failed, resent, lanes, judgement, notes: [...(inflicted.notes ?? []), ...words, ...logged], good: isGood(judgement) };
  } finally {
    await scene.end();
  }
}

/** One soak: warm-up, rest, the load that is measured, rest; and what is to be said of it. */
import { Churn } from "./churn.ts";
import { type Finding, findings } from "./findings.ts";
import { Recorder } from "./recorder.ts";
import { type Rest, rest } from "./rest.ts";
import { Stand, type StandOptions, type Told } from "./stand.ts";

export interface SoakOptions extends StandOptions {
  /** How long the load lasts in all, in seconds. */
  readonly seconds: number;
  /** Between two changes from outside, in ms. */
  readonly pause?: number;
  /** Told each second. */
  readonly progress?: (now: Progress) => void;
}

export interface Progress {
  readonly seconds: number;
  readonly of: number;
  readonly told: Told;
  readonly recorder: Recorder;
}

export interface Outcome {
  readonly findings: readonly Finding[];
  /** Exchanges of the whole run by kind. */
  readonly told: Told;
  readonly deeds: ReadonlyMap<string, number>;
  readonly recorder: Recorder;
  /** Before any load, after the warm-up, and at the end. */
  readonly rests: readonly [Rest, Rest, Rest];
  /** That were measured, in seconds. */
  readonly measured: number;
  /** The service log's last lines, for when something is wrong. */
  readonly log: readonly string[];
}

/** Longest warm-up, in seconds, and its part of a short run. */
const WARM_UP = 90;
const WARM_UP_PART = 0.2;
/** Then things are done to it so much faster: code that runs once a minute is compiled late. */
const WARM_UP_PAUSE = 0.1;
/** The same of the load after the rest, until what the rest let go of is taken again. */
const SETTLE = 30;
const SETTLE_PART = 0.1;

/** @param signal ends it early, and leaves nothing behind */
export async function soak(options: SoakOptions, signal?: AbortSignal): Promise<Outcome> {
  const { seconds, pause = 5_000, progress = () => {} } = options;
  const stand = await Stand.start(options);
  const recorder = new Recorder(stand);
  const churn = new Churn(stand);
  let [loaded, failed] = [0, false];
  const load = async (duration: number, between: number, onSettled = () => {}): Promise<void> => {
    stand.go();
    churn.start(between);
    const settled = performance.now() + Math.min(SETTLE, duration * SETTLE_PART) * 1000;
    let waiting = true;
    for (const end = performance.now() + duration * 1000; performance.now() < end; ) {
      if (waiting && performance.now() >= settled) {
        waiting = false;
        onSettled();
      }
      if (signal?.aborted === true) throw new Error("interrupted");
      if (stand.fairlead.ended !== undefined) throw new Error(`fairlead ended with ${stand.fairlead.ended}\n${stand.fairlead.lines.slice(-20).join("\n")}`);
      await Bun.sleep(Math.min(1_000, Math.max(1, end - performance.now())));
      progress({ seconds: (loaded += 1), of: seconds, told: stand.told, recorder });
    }
    recorder.pause();
    await churn.stop();
    await stand.rest();
  };
  try {
    const warmUp = Math.min(WARM_UP, seconds * WARM_UP_PART);
    const before = await rest(stand, recorder, 1);
    await load(warmUp, pause * WARM_UP_PAUSE);
    const warm = await rest(stand, recorder, 2);
    await load(seconds - warmUp, pause, () => recorder.begin());
    const after = await rest(stand, recorder, 3, warm);
    const outcome = { told: stand.told, deeds: churn.done, recorder, rests: [before, warm, after] as const, measured: seconds - warmUp, log: stand.fairlead.lines.slice(-20) };
    return { ...outcome, findings: findings({ ...outcome, deedsFailed: churn.failures }) };
  } catch (error) {
    failed = true;
    throw error;
  } finally {
    await recorder.stop().catch(() => {});
    if (failed) await churn.stop().catch(() => {});
    await stand.stop();
  }
}

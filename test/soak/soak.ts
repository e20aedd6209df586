/** One soak: warm-up, rest, the load that is measured, rest; and what is to be said of it. */
import { Churn } from "./churn.ts";
import { type Finding, findings } from "./findings.ts";
import { Recorder } from "./recorder.ts";
import { type Rest, rest } from "./rest.ts";
import { Stand, type StandOptions, type Told } from "./stand.ts";

export interface SoakOptions extends StandOptions {
  /** How long the load lasts in all, in seconds. */
  readonly seconds: number;
  /** Between two changes from outside, in ms; less in the warm-up. */
  readonly pause?: number;
  /** Called each second. */
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
const WARM_UP = 180;
const WARM_UP_PART = 0.25;
/** Then things are done to it so much faster: code that runs once a minute is compiled late. */
const WARM_UP_PAUSE = 0.1;
/** The same of the load after the rest, until what the rest let go of is taken again. */
const SETTLE = 30;
const SETTLE_PART = 0.1;
/** Between two changes from outside, in ms. */
const PAUSE = 5_000;
/** Lines of the service log that are told. */
const TOLD = 20;

interface Phase {
  readonly seconds: number;
  /** Between two changes from outside, in ms. */
  readonly pause: number;
  /** Called each second. */
  readonly each: (elapsed: number) => void;
}

/** @param signal ends it early, with an error; nothing stays behind then either */
export async function soak(options: SoakOptions, signal?: AbortSignal): Promise<Outcome> {
  const stand = await Stand.start(options);
  const recorder = new Recorder(stand);
  const churn = new Churn(stand);
  const interrupted = new Promise<never>((_, reject) => {
    const stop = (): void => reject(new Error("interrupted"));
    if (signal?.aborted === true) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
  const run = phases(options, stand, recorder, churn);
  // Once interrupted nobody asks what became of it.
  run.catch(() => {});
  try {
    return await Promise.race([run, interrupted]);
  } finally {
    churn.halt();
    await recorder.stop();
    await stand.stop();
  }
}

async function phases({ seconds, pause = PAUSE, progress = () => {} }: SoakOptions, stand: Stand, recorder: Recorder, churn: Churn): Promise<Outcome> {
  const warmUp = Math.min(WARM_UP, seconds * WARM_UP_PART);
  const measured = seconds - warmUp;
  const settled = Math.min(SETTLE, measured * SETTLE_PART);
  const tell = (elapsed: number): void => progress({ seconds: elapsed, of: seconds, told: stand.told, recorder });

  const cold = await rest(stand, recorder, 1);
  await load(stand, churn, { seconds: warmUp, pause: pause * WARM_UP_PAUSE, each: tell });
  await calm(stand, churn);
  const warm = await rest(stand, recorder, 2);
  await load(stand, churn, {
    seconds: measured,
    pause,
    each: (elapsed) => {
      if (elapsed >= settled) recorder.begin();
      tell(warmUp + elapsed);
    },
  });
  recorder.pause();
  await calm(stand, churn);
  const after = await rest(stand, recorder, 3, warm);

  const outcome = { told: stand.told, deeds: churn.done, recorder, rests: [cold, warm, after] as const, measured, log: stand.fairlead.lines.slice(-TOLD) };
  return { ...outcome, findings: findings({ ...outcome, deedsFailed: churn.failures }) };
}

async function load(stand: Stand, churn: Churn, { seconds, pause, each }: Phase): Promise<void> {
  const began = performance.now();
  stand.go();
  churn.start(pause);
  for (;;) {
    const elapsed = (performance.now() - began) / 1000;
    if (elapsed >= seconds) return;
    if (stand.fairlead.ended !== undefined) throw new Error(`fairlead ended with ${stand.fairlead.ended}\n${stand.fairlead.lines.slice(-TOLD).join("\n")}`);
    each(elapsed);
    await Bun.sleep(Math.min(1, seconds - elapsed) * 1000);
  }
}

/** Nothing more begins, and all that has begun ends. */
async function calm(stand: Stand, churn: Churn): Promise<void> {
  await churn.stop();
  await stand.rest();
}

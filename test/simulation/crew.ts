/** Many worlds at once: threads, each of which plays a few seeds at a time and tells what became of them. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Failure } from "./play.ts";

/** Seeds that a thread is given at a time. */
const SHARE = 25;

export interface Sum {
  requests: number;
  /** That got a back end's whole reply. */
  answered: number;
  events: number;
}

export interface Broken {
  readonly seed: number;
  readonly failure: Failure;
}

export interface Share {
  readonly from: number;
  readonly count: number;
}

export interface Played extends Sum {
  readonly broken: readonly Broken[];
}

/**
 * Plays `count` seeds from `from` on all cores.
 * @param found called for each that breaks an invariant; true: no more are played
 */
export function playMany(from: number, count: number, found: (broken: Broken) => boolean): Promise<Sum> {
  const sum: Sum = { requests: 0, answered: 0, events: 0 };
  const end = from + count;
  let next = from;
  const play = (): Promise<unknown> =>
    new Promise<unknown>((done, failed) => {
      const thread = new Worker(new URL("crew-member.ts", import.meta.url));
      const give = (): void => {
        if (next < end) {
          const share: Share = { from: next, count: Math.min(SHARE, end - next) };
          next += share.count;
          thread.postMessage(share);
        } else void thread.terminate();
      };
      thread.on("message", (played: Played) => {
        sum.requests += played.requests;
        sum.answered += played.answered;
        sum.events += played.events;
        for (const broken of played.broken) if (found(broken)) next = end;
        give();
      });
      thread.on("error", failed).on("exit", done);
      give();
    });
  return Promise.all(Array.from({ length: Math.min(availableParallelism(), Math.ceil(count / SHARE)) }, play)).then(() => sum);
}

/** One thread of a crew: plays the seeds that it is given. */
import { parentPort } from "node:worker_threads";
import type { Broken, Played, Share } from "./crew.ts";
import { runSeed } from "./play.ts";

parentPort!.on("message", ({ from, count }: Share) => {
  const broken: Broken[] = [];
  let [requests, answered, events] = [0, 0, 0];
  for (let seed = from; seed < from + count; seed++) {
    const result = runSeed(seed);
    requests += result.requests;
    answered += result.answered;
    events += result.events;
    if (result.failure !== undefined) broken.push({ seed, failure: result.failure });
  }
  const played: Played = { requests, answered, events, broken };
  parentPort!.postMessage(played);
});

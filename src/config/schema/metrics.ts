/** `[metrics]`. */
import { z } from "zod";
import { MAX_BOUNDS } from "../../scoreboard/columns.ts";
import { parseExactDuration } from "../values.ts";
import { key } from "./key.ts";
import { parsed, whole } from "./types.ts";

const bound = parsed((text) => parseExactDuration(text) || undefined, 'a duration above zero, as "500us", "2.5ms" or "1s"', String.raw`^(\d+(\.\d+)?(us|ms|s|m|h))+$`);

export const metrics = z.strictObject({
  buckets: key(
    z
      .array(bound)
      .min(1, { error: "a histogram has at least one bound" })
      .max(MAX_BOUNDS, { error: `a histogram has at most ${MAX_BOUNDS} bounds` })
      .refine((bounds) => bounds.every((each, index) => index === 0 || each > bounds[index - 1]!), { error: "bounds go up: each is longer than the one before" }),
    "Upper bounds of the buckets of all histograms of durations; when they change, those begin anew. Default: 20 of them, from 0.5 ms to 60 s.",
  ),
  per_target_limit: key(whole(0, 65_536), "So many targets have metrics of their own at /metrics, in file order; of the others there is what their upstream says.", 1_000),
});

/** Lanes for the tests of a file. */
import { afterAll, beforeAll } from "bun:test";
import { Lanes } from "./lanes.ts";

const LANES = 24;

/** Opened before the first test and closed after the last. @param http2 is spoken too */
export function useLanes(http2: boolean): () => Lanes {
  let lanes: Lanes | undefined;
  beforeAll(async () => {
    lanes = await Lanes.open(LANES, http2);
  }, 30_000);
  afterAll(() => lanes?.close());
  return () => lanes!;
}

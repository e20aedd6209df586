/** HTTP/1.1 conformance: each case in one segment, in two, and byte by byte, against one running Fairlead. */
import { afterAll, beforeAll, describe, test } from "bun:test";
import { requestCases } from "./requests/index.ts";
import { responseCases } from "./responses/index.ts";
import { Lanes } from "./lanes.ts";
import { playRequest, playResponse } from "./runner.ts";

const LANES = 24;
let lanes: Lanes;

beforeAll(async () => {
  lanes = await Lanes.open(LANES, false);
}, 30_000);

afterAll(() => lanes?.close());

describe("requests", () => {
  for (const one of requestCases) test.concurrent(`${one.name} (${one.source})`, () => playRequest(lanes, one), 30_000);
});

describe("responses", () => {
  for (const one of responseCases) test.concurrent(`${one.name} (${one.source})`, () => playResponse(lanes, one), 30_000);
});

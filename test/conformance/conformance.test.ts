/** HTTP/1.1 conformance: each case in one segment, in two, and byte by byte, against one running Fairlead. */
import { describe, test } from "bun:test";
import { requestCases } from "./requests/index.ts";
import { responseCases } from "./responses/index.ts";
import { playRequest, playResponse } from "./runner.ts";
import { useLanes } from "./use-lanes.ts";

const lanes = useLanes(false);

describe("requests", () => {
  for (const one of requestCases) test.concurrent(`${one.name} (${one.source})`, () => playRequest(lanes(), one), 30_000);
});

describe("responses", () => {
  for (const one of responseCases) test.concurrent(`${one.name} (${one.source})`, () => playResponse(lanes(), one), 30_000);
});

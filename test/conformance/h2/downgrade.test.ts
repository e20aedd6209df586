/** From HTTP/2 to HTTP/1.1 and back: each request arrives once and well-formed or not at all, each reply whole or with an error. */
import { describe, test } from "bun:test";
import { responseCases } from "../responses/index.ts";
import { useLanes } from "../use-lanes.ts";
import { downgrade } from "./downgrade.ts";
import { playReply } from "./replies.ts";
import { fitsBytewise, play } from "./runner.ts";

const lanes = useLanes(true);

describe("requests", () => {
  for (const one of downgrade) test.concurrent(`${one.id} ${one.name} (${one.source})`, () => play(lanes(), one, "at once"), 30_000);
});

describe("requests, byte by byte", () => {
  for (const one of downgrade.filter(fitsBytewise)) test.concurrent(`${one.id} ${one.name} (${one.source})`, () => play(lanes(), one, "byte by byte"), 30_000);
});

describe("replies", () => {
  for (const one of responseCases) test.concurrent(`${one.name} (${one.source})`, () => playReply(lanes(), one), 30_000);
});

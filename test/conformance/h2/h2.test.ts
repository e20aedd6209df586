/** HTTP/2 conformance: each case in as few segments as there are pauses in it, the small ones byte by byte too, against one running Fairlead. */
import { describe, expect, test } from "bun:test";
import { H2Client, reply } from "../../support/h2.ts";
import { sayWhich } from "../../support/raw-backend.ts";
import { useLanes } from "../use-lanes.ts";
import { get } from "./cases.ts";
import { connection } from "./connection.ts";
import { frames } from "./frames.ts";
import { generic } from "./generic.ts";
import { hpack } from "./hpack.ts";
import { messages } from "./messages.ts";
import { fitsBytewise, play } from "./runner.ts";

const lanes = useLanes(true);

const cases = [...generic, ...connection, ...frames, ...messages, ...hpack];

test("no two cases have one id", () => {
  expect(cases.map(({ id }) => id).filter((id, i, all) => all.indexOf(id) !== i)).toEqual([]);
});

describe("at once", () => {
  for (const one of cases) test.concurrent(`${one.id} ${one.name} (${one.source})`, () => play(lanes(), one, "at once"), 30_000);
});

describe("byte by byte", () => {
  for (const one of cases.filter(fitsBytewise)) test.concurrent(`${one.id} ${one.name} (${one.source})`, () => play(lanes(), one, "byte by byte"), 30_000);
});

test("after all of it, one connection of 300 requests is served as if nothing had happened", async () => {
  await lanes().use(async ({ port, backend }) => {
    backend.clear(sayWhich);
    const client = await H2Client.connect(port);
    for (let stream = 1; stream < 600; stream += 2) {
      client.send(get(stream, `/${stream}`));
      expect((await client.expect(reply(stream))).text).toBe(`GET /${stream}`);
    }
    expect(client.conversation.violation).toBeUndefined();
    client.destroy();
  });
}, 30_000);

/** Plays the HTTP/1 response cases with a client that speaks HTTP/2: what the back end says is the same, how an end is told is not (rule 62). */
import { headers } from "../../support/h2-frames.ts";
import type { Stream } from "../../support/h2-conversation.ts";
import { H2Client, reply } from "../../support/h2.ts";
import { sayWhich } from "../../support/raw-backend.ts";
import { until } from "../../support/until.ts";
import type { ResponseCase } from "../cases.ts";
import type { Lanes } from "../lanes.ts";
import { answering, demand, matches } from "../runner.ts";
import { asks, get } from "./cases.ts";
import { abandon, probe } from "./runner.ts";

const PATIENCE = 3_000;

function judge(stream: Stream, reset: boolean, { verdict }: ResponseCase, got: string): void {
  const refused = stream.status === 502 && stream.ended && !stream.text.includes("hello");
  switch (verdict.kind) {
    case "reply": {
      demand(stream.status === verdict.status && stream.ended, `a whole ${verdict.status} expected, got ${got}`);
      if (verdict.body !== undefined) demand(stream.text === verdict.body, `body ${JSON.stringify(verdict.body)} expected, got ${JSON.stringify(stream.text)}`);
      for (const [name, value] of Object.entries(verdict.has ?? {})) demand(matches(stream.header(name), value), `field ${name}: ${String(value)} expected, got ${JSON.stringify(stream.head)}`);
      for (const name of verdict.lacks ?? []) demand(stream.header(name.toLowerCase()) === undefined, `no field ${name} expected, got ${JSON.stringify(stream.head)}`);
      if (verdict.trailers !== undefined) {
        const [wanted, came] = [verdict.trailers.map((line) => line.toLowerCase()), stream.trailers.map(([name, value]) => `${name}: ${value}`)];
        demand(JSON.stringify(came) === JSON.stringify(wanted), `trailers ${JSON.stringify(wanted)} expected, got ${JSON.stringify(came)}`);
      }
      if (verdict.interim !== undefined) {
        const interim = stream.interim.map(([status]) => Number(status?.[1]));
        demand(JSON.stringify(interim) === JSON.stringify(verdict.interim), `interim replies ${verdict.interim.join(", ")} expected, got ${interim.join(", ")}`);
      }
      return;
    }
    case "bad":
      demand(refused, `502 expected, got ${got}`);
      return;
    case "broken":
      demand(refused || (reset && !stream.ended), `502 or a reply that is broken off expected, got ${got}`);
      return;
    case "either":
      demand(refused || (reset && !stream.ended) || (stream.ended && stream.text === verdict.body), `502 or ${JSON.stringify(verdict.body)} expected, got ${got}`);
  }
}

/** Throws with a sentence that says what is wrong. */
export async function playReply(lanes: Lanes, test: ResponseCase): Promise<void> {
  await lanes.use(async (lane) => {
    lane.backend.clear(answering(test, [Buffer.from(test.send, "latin1")]));
    const client = await H2Client.connect(lane.port);
    try {
      client.send(headers(1, asks(test.method, "/case")));
      const { conversation } = client;
      const stream = client.stream(1);
      await until("the end of the reply", () => stream.ended || conversation.resets.has(1) || client.gone, PATIENCE).catch(() => demand(false, `neither a whole reply nor its end: ${client.told()}`));
      judge(stream, conversation.resets.has(1), test, client.told());
      // Whatever happened to one stream, the connection goes on.
      lane.backend.script = sayWhich;
      client.send(get(3, "/next"));
      const { text } = await client.expect(reply(3), PATIENCE);
      demand(text === "GET /next", `the next request was answered with ${JSON.stringify(text)}`);
      demand(conversation.violation === undefined, `the server broke a rule: ${conversation.violation}; came: ${client.told()}`);
      await probe(lane);
    } catch (error) {
      abandon(lane);
      throw error;
    } finally {
      client.destroy();
    }
  });
}

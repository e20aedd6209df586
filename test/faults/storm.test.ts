/** Rules that change all the time, targets at fault and clients that leave: when all is over nothing is held, and no reply is another's. */
import { afterAll, expect, test } from "bun:test";
import { OPEN_EXCHANGES, OPEN_RETRIES, QUEUED } from "../../src/scoreboard/scoreboard.ts";
import { asks } from "../conformance/h2/cases.ts";
import { endings } from "../support/endings.ts";
import { headers, rstStream } from "../support/h2-frames.ts";
import { H2Client } from "../support/h2.ts";
import { Plane } from "../support/plane.ts";
import { RawBackend, reply } from "../support/raw-backend.ts";
import { RawClient } from "../support/raw-client.ts";
import { Dice } from "../support/random.ts";
import { sleep, until } from "../support/until.ts";

const open = endings(afterAll);

const RULES = ['delay = ["1ms", "60ms"]', 'delay = "1h"', "abort = 503", "reset = true", 'throttle = "200KB"', "throttle = 500", "truncate = 1000", 'throttle = "300KB"\ntruncate = 9000', 'target_delay = ["1ms", "50ms"]', 'target_delay = "1h"', 'target_error = "connect-refused"', 'target_error = "connect-timeout"', 'target_error = "target-reset"', 'target_error = "response-timeout"'];
const MOST = 12_000;

/** The same for the same path, and another for any other. */
function bodyOf(path: string): string {
  return path.repeat(MOST).slice(0, Number(path.slice(1)) % MOST);
}

test("nothing is held when it is over", async () => {
  const dice = new Dice(20_261);
  const targets = await Promise.all(Array.from({ length: 2 }, () => RawBackend.start(async (request, connection) => void ((await request.ended) && connection.write(reply(200, bodyOf(request.target)))))));
  for (const target of targets) open.push(() => target.stop());
  const text = `[[listeners]]\nname = "front"\naddress = "127.0.0.1:0"\nupstream = "main"\n[[upstreams]]\nname = "main"\ntimeouts = { connect = "50ms", response = "80ms" }\noutlier_detection = false\nmax_requests = 20\nhedge = { min_delay = "5ms" }\n${targets.map(({ address }) => `[[upstreams.targets]]\naddress = "${address}"\n`).join("")}`;
  const said = (count: number): string => `${text}[faults]\nenabled = true\n${Array.from({ length: count }, (_, at) => `[[faults.rules]]\nname = "r${at}"\npercent = ${10 + dice.below(60)}\n${dice.one(RULES)}\n`).join("")}`;
  const plane = await Plane.start(said(2), { random: dice.random });
  open.push(() => plane.stop());
  let over = false;
  let whole = 0;
  let other = 0;

  const http1 = async (): Promise<void> => {
    while (!over) {
      const client = await RawClient.connect(plane.port());
      for (let left = 1 + dice.below(5); left > 0 && !over && client.peer === "open"; left--) {
        const path = `/${1 + dice.below(50_000)}`;
        client.request(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
        const told = await client.reply(5 + dice.below(200)).catch(() => undefined);
        if (told === undefined) break;
        if (told.status === 200) expect(told.text === bodyOf(path)).toBe(true);
        if (told.status === 200) whole++;
        else other++;
      }
      client.destroy();
    }
  };
  const http2 = async (): Promise<void> => {
    while (!over) {
      const client = await H2Client.connect(plane.port());
      const paths = new Map<number, string>();
      for (let id = 1; id < 20; id += 2) {
        paths.set(id, `/${1 + dice.below(50_000)}`);
        client.send(headers(id, asks("GET", paths.get(id))));
        if (dice.chance(0.2)) client.send(rstStream(id));
      }
      await sleep(dice.below(120));
      for (const [id, path] of paths) {
        const stream = client.stream(id);
        if (stream.status === 200 && stream.ended) expect(stream.text === bodyOf(path)).toBe(true);
        if (stream.status === 200 && stream.ended) whole++;
        else other++;
      }
      client.destroy();
    }
  };
  const work = [http1(), http1(), http1(), http2(), http2()];
  for (let round = 0; round < 14; round++) {
    await sleep(70);
    await plane.apply(round % 4 === 3 ? text : said(1 + dice.below(4)));
  }
  over = true;
  await Promise.all(work);
  await until("nothing is open", () => plane.clients === 0 && plane.heldByFaults === 0 && targets.every((target) => plane.openRequests(target) === 0));
  expect([OPEN_EXCHANGES, QUEUED, OPEN_RETRIES].map((word) => plane.board.upstreams.held(0, word))).toEqual([0, 0, 0]);
  expect([whole > 10, other > 10, targets.flatMap(({ malformed }) => malformed)]).toEqual([true, true, []]);
  await plane.apply(text.replace(/^timeouts.*$/m, ""));
  const client = await RawClient.connect(plane.port());
  open.push(() => client.destroy());
  for (let i = 0; i < 20; i++) expect((await client.request("GET /4711 HTTP/1.1\r\nHost: a\r\n\r\n").reply()).text).toBe(bodyOf("/4711"));
}, 20_000);

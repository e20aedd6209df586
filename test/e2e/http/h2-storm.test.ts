/**
 * A storm over HTTP/2 on both sides: bodies of every size both ways, clients that give up at any moment, targets that refuse, reset, break off, answer
 * early, go away and talk nonsense. No reply is another's, none that is not whole seems so, and nothing is left open. FAIRLEAD_SEED plays it again.
 */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { data, ErrorCode, headers, rstStream, windowUpdate } from "../../support/h2-frames.ts";
import type { Field } from "../../support/h2-hpack.ts";
import type { H2Request } from "../../support/h2-target.ts";
import { H2Client, reply } from "../../support/h2.ts";
import { Dice } from "../../support/random.ts";
import { openStage } from "../../support/stage.ts";
import { arrange, counters } from "../../support/traffic.ts";
import { sleep, until } from "../../support/until.ts";

const stage = openStage();
const SEED = Number(process.env["FAIRLEAD_SEED"] ?? Date.now() % 1_000_000);
const CLIENTS = 5;
const LANES = 10;
const REQUESTS = 25;
const PATIENCE = 20_000;
/** What a target does with a request, mostly well. */
const HOW = ["well", "well", "well", "well", "well", "well", "early", "refuse", "reset", "break", "goaway", "garbage"] as const;

function bytesOf(text: string, size: number): Buffer {
  return Buffer.alloc(size, `${text}.`, "latin1");
}

function digest(bytes: Buffer): string {
  return createHash("md5").update(bytes).digest("hex");
}

/** The path says what to do: /name/how/size/seed. */
async function answer(request: H2Request): Promise<void> {
  const [, , how, size, seed] = request.path.split("/");
  const dice = new Dice(Number(seed));
  const { id, connection } = request;
  const head: Field[] = [[":status", "200"], ["x-path", request.path]];
  // Perhaps when some of the body is there, and perhaps again at the next target.
  if (how === "refuse" && dice.chance(0.7)) {
    await sleep(dice.below(3));
    if (dice.chance(0.7)) return request.refuse(ErrorCode.REFUSED_STREAM);
  }
  if (how === "reset") return request.refuse(ErrorCode.INTERNAL_ERROR);
  // What comes later may still be refused.
  if (how === "goaway") connection.goAway(id);
  if (how !== "early" && !(await request.ended())) return;
  if (how === "garbage") return void connection.send(data(id, "before the head", { endStream: false }));
  if (how !== "early") head.push(["x-body", digest(request.body)]);
  const body = bytesOf(request.path, Number(size));
  if (dice.chance(0.5)) head.push(["content-length", size!]);
  if (dice.chance(0.1)) connection.send(headers(id, [[":status", "103"]], { endStream: false }));
  connection.send(headers(id, head, { endStream: false }));
  if (how === "break") {
    if (body.length > 0) await request.pour(body.subarray(0, dice.below(body.length)), 16_384, false);
    if (request.reset === undefined) request.refuse(dice.one([ErrorCode.INTERNAL_ERROR, ErrorCode.CANCEL]));
    return;
  }
  const trailers = dice.chance(0.3);
  if ((await request.pour(body, 1 + dice.below(16_384), !trailers)) && trailers && request.reset === undefined) connection.send(headers(id, [["x-end", request.path]]));
}

test(`a storm (FAIRLEAD_SEED=${SEED})`, async () => {
  const targets = [await stage.h2Target(answer), await stage.h2Target(answer)];
  const upstream = { protocol: "h2c", outlier_detection: false, retry_backoff: "1ms", max_concurrent_streams: 30 };
  const front = await arrange(stage, { targets: targets.map(({ address }) => ({ address })), upstream, listener: { http2: { resets: 100_000, glitches: 100_000 } }, top: { workers: 1 } });
  const tally = { whole: 0, failed: 0, left: 0 };

  async function one(client: H2Client, dice: Dice, id: number, name: string): Promise<void> {
    const how = dice.one(HOW);
    const size = dice.size();
    const path = `/${name}/${how}/${size}/${dice.below(1_000_000)}`;
    const body = dice.chance(0.5) ? bytesOf(name, dice.size()) : Buffer.alloc(0);
    const leaves = dice.chance(0.1);
    const fields: Field[] = [[":method", body.length > 0 ? "POST" : dice.one(["GET", "POST"])], [":scheme", "http"], [":authority", "h.test"], [":path", path]];
    client.send(headers(id, fields, { endStream: body.length === 0 }));
    const stream = client.stream(id);
    const over = (): boolean => client.gone || client.conversation.resets.has(id) || stream.ended;
    for (let at = 0; at < body.length && !over(); ) {
      await until("room", () => Math.min(stream.sendWindow, client.conversation.sendWindow) > 0 || over(), PATIENCE);
      if (over() || (leaves && dice.chance(0.2))) break;
      const length = Math.min(body.length - at, 1 + dice.below(16_384), stream.sendWindow, client.conversation.sendWindow);
      client.send(data(id, body.subarray(at, at + length), { endStream: at + length === body.length }));
      at += length;
    }
    if (leaves && !over()) {
      if (dice.chance(0.5)) await sleep(dice.below(10));
      client.send(rstStream(id));
      tally.left++;
      return;
    }
    // Windows open as the reply comes.
    let credited = 0;
    await until(
      `the end of ${path}`,
      () => {
        const owed = stream.bytes - credited;
        if (owed > 0) client.send(windowUpdate(id, owed));
        credited += owed;
        return over();
      },
      PATIENCE,
    );
    if (!stream.ended || stream.status !== 200) {
      tally.failed++;
      if (stream.ended) expect([502, 503]).toContain(stream.status);
      return;
    }
    tally.whole++;
    expect([path, stream.header("x-path"), stream.bytes, digest(stream.body)]).toEqual([path, path, size, digest(bytesOf(path, size))]);
    if (how !== "early") expect([path, stream.header("x-body")]).toEqual([path, digest(body)]);
    expect([path, how]).not.toEqual([path, "break"]);
    for (const [, value] of stream.trailers) expect(value).toBe(path);
  }

  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, c) => {
      const client = await H2Client.connect(front.port);
      // What is given up on the way is not counted: the streams bound it.
      client.send(windowUpdate(0, 1_000_000_000));
      let next = 1;
      await Promise.all(
        Array.from({ length: LANES }, async (__, lane) => {
          const dice = new Dice(SEED * 1_000 + c * LANES + lane);
          for (let i = 0; i < REQUESTS; i++) {
            const id = next;
            next += 2;
            await one(client, dice, id, `c${c}-${lane}-${i}`);
          }
        }),
      );
      expect(client.conversation.violation).toBeUndefined();
      client.send(headers(next, [[":method", "GET"], [":scheme", "http"], [":authority", "h.test"], [":path", "/after/well/10/1"]]));
      await client.expect(reply(next), PATIENCE);
      client.destroy();
    }),
  );
  expect(targets.flatMap(({ problems }) => problems)).toEqual([]);
  await until("nothing to be open", async () => Object.values((await counters(front)).open).every((count) => count === 0));
  expect(tally.whole).toBeGreaterThan((CLIENTS * LANES * REQUESTS) / 3);
  expect(tally.left).toBeGreaterThan(0);
  expect(tally.failed).toBeGreaterThan(0);
  expect(front.fairlead.log.filter(({ level }) => level === "error")).toEqual([]);
}, 90_000);

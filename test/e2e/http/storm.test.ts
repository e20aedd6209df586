/**
 * A storm of everything at once: pipelined requests of every shape in random pieces, replies of every shape in random pieces,
 * connections that end now and then. Each reply must belong to its request, byte for byte. FAIRLEAD_SEED plays a storm again.
 */
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import type { Message } from "../../support/messages.ts";
import { Dice } from "../../support/random.ts";
import type { BackendConnection, RawBackend } from "../../support/raw-backend.ts";
import type { RawClient } from "../../support/raw-client.ts";
import { type Balanced, openStage } from "../../support/stage.ts";

const stage = openStage();
const SEED = Number(process.env["FAIRLEAD_SEED"] ?? Date.now() % 1_000_000);
const CLIENTS = 16;
const REQUESTS = 60;

function bytesOf(text: string, size: number): Buffer {
  return Buffer.alloc(size, `${text}.`, "latin1");
}

function digest(bytes: Buffer): string {
  return createHash("md5").update(bytes).digest("hex");
}

const NO_BODY = digest(Buffer.alloc(0));

function asChunks(dice: Dice, body: Buffer, trailer = ""): Buffer {
  const parts: Buffer[] = [];
  for (const piece of dice.pieces(body, 9)) parts.push(Buffer.from(`${piece.length.toString(16)}${dice.chance(0.2) ? ";x=y" : ""}\r\n`), piece, Buffer.from("\r\n"));
  return Buffer.concat([...parts, Buffer.from(`0\r\n${trailer}\r\n`)]);
}

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly replySize: number;
  readonly bodyDigest: string;
  readonly bytes: Buffer;
}

/** A request whose path tells the back end what to answer. */
function makeRequest(dice: Dice, id: string, method = dice.one(["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE"])): Sent {
  const status = dice.one([200, 200, 200, 200, 404, 500, 204, 304]);
  const replySize = dice.size();
  const path = `/${id}/${status}/${replySize}/${dice.below(1_000_000)}`;
  const body = method === "POST" || method === "PUT" ? bytesOf(id, dice.size()) : Buffer.alloc(0);
  const head = `${method} ${path} HTTP/1.1\r\nHost: a.test\r\n${dice.chance(0.3) ? `X-Pad: ${"p".repeat(dice.below(900))}\r\n` : ""}`;
  const bytes =
    body.length === 0
      ? Buffer.from(`${head}\r\n`)
      : dice.chance(0.5)
        ? Buffer.concat([Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n`), body])
        : Buffer.concat([Buffer.from(`${head}Transfer-Encoding: chunked\r\n\r\n`), asChunks(dice, body, dice.chance(0.3) ? "X-T: 1\r\n" : "")]);
  return { method, path, status, replySize, bodyDigest: digest(body), bytes };
}

/** @param rude connections end without notice after a reply */
function answering(rude: boolean) {
  return async (request: Message, connection: BackendConnection): Promise<void> => {
    const [, , status = "", size = "", seed = ""] = request.target.split("/");
    const dice = new Dice(Number(seed));
    if (!(await request.ended)) return;
    const body = bytesOf(request.target, Number(size));
    const hints = dice.chance(0.1) ? "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" : "";
    const start = `${hints}HTTP/1.1 ${status} X\r\nX-Path: ${request.target}\r\nX-Body: ${digest(request.body)}\r\n`;
    const bodiless = request.method === "HEAD" || status === "204" || status === "304";
    const framing = bodiless ? "none" : dice.one(["length", "length", "chunked", "chunked", "close"]);
    const announced = framing !== "close" && dice.chance(0.1);
    const close = announced ? "Connection: close\r\n" : "";
    const bytes =
      framing === "length"
        ? Buffer.concat([Buffer.from(`${start}${close}Content-Length: ${body.length}\r\n\r\n`), body])
        : framing === "chunked"
          ? Buffer.concat([Buffer.from(`${start}${close}Transfer-Encoding: chunked\r\n\r\n`), asChunks(dice, body, dice.chance(0.3) ? "X-T: 1\r\n" : "")])
          : framing === "close"
            ? Buffer.concat([Buffer.from(`${start}\r\n`), body])
            : Buffer.from(`${start}${close}${request.method === "HEAD" && status === "200" ? `Content-Length: ${size}\r\n` : ""}\r\n`);
    await connection.segments(dice.pieces(bytes));
    if (framing === "close" || announced || (rude && dice.chance(0.3))) connection.end();
  };
}

function expectOwn(answer: Message, sent: Sent): void {
  const own = { status: answer.status, path: answer.header("x-path"), body: answer.header("x-body") };
  expect(own).toEqual({ status: sent.status, path: sent.path, body: sent.bodyDigest });
  const bodiless = sent.method === "HEAD" || sent.status === 204 || sent.status === 304;
  expect(digest(answer.body)).toBe(digest(bodiless ? Buffer.alloc(0) : bytesOf(sent.path, sent.replySize)));
}

async function pipelined(client: RawClient, dice: Dice, sent: readonly Sent[]): Promise<void> {
  client.reader.methods.push(...sent.map(({ method }) => method));
  const writing = client.segments(dice.pieces(Buffer.concat(sent.map(({ bytes }) => bytes)), 40));
  for (const one of sent) expectOwn(await client.finalReply(15_000), one);
  await writing;
}

async function storm(front: Balanced, act: (client: RawClient, dice: Dice, name: string) => Promise<void>): Promise<void> {
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, i) => {
      const client = await stage.client(front);
      await act(client, new Dice(SEED + i), `c${i}`);
      client.destroy();
    }),
  );
}

async function arranged(rude: boolean): Promise<{ front: Balanced; backends: RawBackend[] }> {
  const backends = await stage.backends(2, answering(rude));
  return { front: await stage.fairlead({ targets: backends }), backends };
}

function expectWellFormed(backends: readonly RawBackend[]): void {
  expect(backends.flatMap(({ malformed }) => malformed)).toEqual([]);
}

describe(`a storm (FAIRLEAD_SEED=${SEED})`, () => {
  test("of pipelined requests over polite back ends: each reply is its request's, whole", async () => {
    const { front, backends } = await arranged(false);
    await storm(front, (client, dice, name) => pipelined(client, dice, Array.from({ length: REQUESTS }, (_, i) => makeRequest(dice, `${name}-${i}`))));
    expect(backends.reduce((sum, { complete }) => sum + complete.length, 0)).toBe(CLIENTS * REQUESTS);
    expectWellFormed(backends);
  }, 60_000);

  test("of one request after another over back ends that close without notice: no GET fails, no POST arrives twice", async () => {
    const { front, backends } = await arranged(true);
    await storm(front, async (first, dice, name) => {
      let client = first;
      for (let i = 0; i < REQUESTS; i++) {
        const sent = makeRequest(dice, `${name}-${i}`);
        client.reader.methods.push(sent.method);
        await client.segments(dice.pieces(sent.bytes, 4));
        const answer = await client.finalReply(15_000);
        const refused = answer.status === 502 && answer.header("x-path") === undefined;
        // A POST, and what has a body that is on its way, may have been begun when the connection ended: it is not made again.
        if (!refused || (sent.bodyDigest === NO_BODY && sent.method !== "POST")) expectOwn(answer, sent);
        if (answer.header("connection")?.toLowerCase() !== "close") continue;
        client.destroy();
        client = await stage.client(front);
      }
    });
    const posts = backends.flatMap(({ requests }) => requests.filter(({ method }) => method === "POST").map(({ target }) => target));
    expect(new Set(posts).size).toBe(posts.length);
    expectWellFormed(backends);
  }, 60_000);

  test("of clients that leave at any moment: the others' replies are their own, and no cut request completes", async () => {
    const { front, backends } = await arranged(false);
    await storm(front, async (client, dice, name) => {
      for (let i = 0; i < 10; i++) {
        const leaver = await stage.client(front);
        const gone = makeRequest(dice, `${name}-gone-${i}`, "POST");
        const kept = gone.bytes.subarray(0, dice.below(gone.bytes.length - 1));
        await leaver.segments(dice.pieces(kept, 3));
        if (dice.chance(0.5)) leaver.reset();
        else leaver.destroy();
        await pipelined(client, dice, [makeRequest(dice, `${name}-stay-${i}`)]);
      }
    });
    expect(backends.flatMap(({ complete }) => complete.filter(({ target }) => target.includes("-gone-"))).map(({ target }) => target)).toEqual([]);
    expectWellFormed(backends);
  }, 60_000);
});

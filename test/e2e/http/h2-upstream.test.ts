/** HTTP/2 to targets, frame by frame: streams and connections, what is sent once more and what is not, and what a target may do wrong. */
import { describe, expect, test } from "bun:test";
import { continuation, data, ErrorCode, frame, FrameType, goaway, headers, ping, pushPromise, rstStream, Setting, settings, settingsAck, unfinished, windowUpdate } from "../../support/h2-frames.ts";
import { type Field, literal } from "../../support/h2-hpack.ts";
import { type H2Request, type H2Script, type H2Target, type H2TargetOptions, sayWhich } from "../../support/h2-target.ts";
import { anyError, bytes, goawayWith, H2Client, reply, room } from "../../support/h2.ts";
import { inProcess, type InProcess } from "../../support/in-process.ts";
import { NodeH2 } from "../../support/node-h2.ts";
import { freePort } from "../../support/ports.ts";
import { openStage } from "../../support/stage.ts";
import type { TomlTable } from "../../support/toml.ts";
import { until } from "../../support/until.ts";

const stage = openStage();

interface Arranged {
  readonly target: H2Target;
  readonly port: number;
  readonly fairlead: InProcess;
}

/** One target with this script, and Fairlead in front of it. */
async function front(script: H2Script = sayWhich, upstream: TomlTable = {}, options: H2TargetOptions & { readonly listener?: TomlTable } = {}): Promise<Arranged> {
  const target = await stage.h2Target(script, options);
  return { target, ...(await before([target], upstream, options.listener)) };
}

async function before(targets: readonly { readonly address: string }[], upstream: TomlTable = {}, listener: TomlTable = {}): Promise<Omit<Arranged, "target">> {
  const fairlead = await inProcess(stage, { main: { targets, upstream: { protocol: "h2c", outlier_detection: false, retry_backoff: "off", ...upstream }, listener } });
  return { fairlead, port: fairlead.port("main") };
}

function get(path = "/", ...fields: readonly string[]): string {
  return `GET ${path} HTTP/1.1\r\nHost: h.test\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\n`;
}

function post(path: string, body: string): string {
  return `POST ${path} HTTP/1.1\r\nHost: h.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

function asks(method: string, path: string, fields: readonly Field[] = []): Field[] {
  return [[":method", method], [":scheme", "http"], [":authority", "h.test"], [":path", path], ...fields];
}

async function h2(port: number): Promise<H2Client> {
  const client = await H2Client.connect(port);
  stage.atEnd(() => client.destroy());
  return client;
}

/** The status of one request on a connection of its own; "cut" when it has no whole reply. */
async function status(port: number, request: string): Promise<number | "cut"> {
  const client = await stage.client(port);
  client.request(request);
  const head = await client.nextHead();
  const whole = await head.ended;
  client.destroy();
  return whole ? head.status : "cut";
}

/** Holds what it is asked until it is let go. */
class Holding {
  readonly held: H2Request[] = [];
  readonly script: H2Script = (request) => void this.held.push(request);

  release(): void {
    for (const request of this.held.splice(0)) request.answer(request.path);
  }
}

describe("what a target is asked", () => {
  test("is the request as HTTP/2 has it: pseudo-fields first, names in lower case, nothing of the connection", async () => {
    const { target, port } = await front();
    expect(await status(port, "GET /a?b=c HTTP/1.1\r\nHost: h.test\r\nX-Mixed: 1\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nCookie: a=1; b=2\r\n\r\n")).toBe(200);
    const { fields } = target.requests[0]!;
    expect(fields.slice(0, 4).map(([name]) => name)).toEqual([":method", ":scheme", ":authority", ":path"]);
    expect(Object.fromEntries(fields)).toMatchObject({ ":method": "GET", ":scheme": "http", ":authority": "h.test", ":path": "/a?b=c", "x-mixed": "1", te: "trailers", cookie: "a=1; b=2", via: "1.1 fairlead" });
    expect(fields.map(([name]) => name).filter((name) => /connection|x-hop|keep-alive|host$|transfer/.test(name) && name !== "x-forwarded-host")).toEqual([]);
  });

  test("is OPTIONS *, CONNECT never", async () => {
    const { target, port } = await front();
    expect(await status(port, "OPTIONS * HTTP/1.1\r\nHost: h.test\r\n\r\n")).toBe(200);
    expect(target.requests[0]!.path).toBe("*");
    expect(await status(port, "CONNECT h.test:80 HTTP/1.1\r\nHost: h.test:80\r\n\r\n")).toBe(405);
    expect(target.requests.length).toBe(1);
  });

  test("has its chunked body as DATA, with its trailers behind it", async () => {
    const { target, port } = await front();
    expect(await status(port, "POST /t HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n")).toBe(200);
    const request = target.requests[0]!;
    expect([request.body.toString(), request.trailers, request.header("content-length")]).toEqual(["hello", [["x-sum", "42"]], undefined]);
  });

  test("may have a head of more than a frame", async () => {
    const { target, port } = await front(sayWhich, {}, { listener: { limits: { header_bytes: "64KiB" } } });
    const long = "~".repeat(15_000);
    expect(await status(port, get("/", `X-One: ${long}`, `X-Two: ${long}`, `X-Three: ${long}`))).toBe(200);
    expect(target.requests[0]!.header("x-three")).toBe(long);
  });

  test("may name its long host in several fields", async () => {
    const { target, port } = await front(sayWhich, {}, { listener: { forwarding: { forwarded: true }, limits: { header_bytes: "64KiB" } } });
    for (const [i, length] of [5_000, 14_000, 30_000].entries()) {
      const host = "~".repeat(length);
      expect([length, await status(port, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)]).toEqual([length, 200]);
      const request = target.requests[i]!;
      expect([request.header(":authority") === host, request.header("x-forwarded-host") === host, request.header("forwarded")!.endsWith(`;host="${host}"`)]).toEqual([true, true, true]);
    }
    expect(target.connections.length).toBe(1);
  });
});

describe("a reply", () => {
  test("brings interim replies, trailers and fields to clients of both versions", async () => {
    const { port } = await front(({ id, connection }) => {
      connection.send(headers(id, [[":status", "103"], ["link", "</a>"]], { endStream: false }), headers(id, [[":status", "200"], ["x-a", "1"], ["trailer", "x-t"]], { endStream: false }), data(id, "body", { endStream: false }), headers(id, [["x-t", "2"]]));
    });
    const one = await stage.client(port);
    one.request(get("/", "TE: trailers"));
    expect((await one.reply()).fields).toContainEqual(["link", "</a>"]);
    const whole = await one.reply();
    expect([whole.status, whole.text, whole.trailers]).toEqual([200, "body", [["x-t", "2"]]]);
    const two = await h2(port);
    two.send(headers(1, asks("GET", "/")));
    const stream = await two.expect(reply(1));
    expect([stream.interim.length, stream.text, stream.header("x-a"), stream.trailers]).toEqual([1, "body", "1", [["x-t", "2"]]]);
    expect(two.conversation.violation).toBeUndefined();
  });

  test("may be without a body: HEAD, 204, 304, with what it says of lengths", async () => {
    const { port } = await front((request) => {
      const { path, id, connection } = request;
      if (path === "/head") connection.send(headers(id, [[":status", "200"], ["content-length", "12345"]]));
      // The head ends nothing yet.
      else if (path === "/late") connection.send(headers(id, [[":status", "200"], ["content-length", "7"]], { endStream: false }), data(id, ""));
      else if (path === "/304") connection.send(headers(id, [[":status", "304"], ["content-length", "99"], ["etag", '"x"']]));
      else if (path === "/empty") connection.send(headers(id, [[":status", "200"]]));
      else connection.send(headers(id, [[":status", "204"]]));
    });
    const one = await stage.client(port);
    const two = await h2(port);
    let id = 1;
    for (const [method, path, code, length] of [["HEAD", "/head", 200, "12345"], ["HEAD", "/late", 200, "7"], ["GET", "/304", 304, "99"], ["GET", "/204", 204, undefined], ["GET", "/empty", 200, "0"]] as const) {
      const { status: came, fields } = await one.ask(`${method} ${path} HTTP/1.1\r\nHost: h.test\r\n\r\n`);
      expect([path, came, fields.find(([name]) => name.toLowerCase() === "content-length")?.[1]]).toEqual([path, code, length]);
      two.send(headers(id, asks(method, path)));
      expect((await two.expect(reply(id, code))).bytes).toBe(0);
      id += 2;
    }
    expect(two.conversation.violation).toBeUndefined();
    expect((await one.ask(get("/204"))).status).toBe(204);
  });

  test("that comes before the request is whole reaches the client, and the rest of the request nobody", async () => {
    const { target, port, fairlead } = await front((request) => request.answer("too large", 413));
    const one = await stage.client(port);
    one.request("POST /up HTTP/1.1\r\nHost: h.test\r\nContent-Length: 3000000\r\n\r\n");
    one.write(Buffer.alloc(1_000_000));
    expect((await one.reply()).status).toBe(413);
    one.write(Buffer.alloc(2_000_000));
    // Its connection is good for another one.
    target.script = sayWhich;
    expect((await one.ask(get("/next"))).text).toBe("GET /next");

    target.script = (request) => request.answer("too large", 413);
    const two = await h2(port);
    two.send(headers(1, asks("POST", "/up", [["content-length", "3000000"]]), { endStream: false }), data(1, Buffer.alloc(10_000), { endStream: false }));
    expect((await two.expect(reply(1, 413))).text).toBe("too large");
    const request = await until("the request", () => target.requests.findLast(({ path }) => path === "/up"));
    expect(await request.untilReset()).toBe(ErrorCode.CANCEL);
    target.script = sayWhich;
    two.send(headers(3, asks("GET", "/next")));
    expect((await two.expect(reply(3))).text).toBe("GET /next");
    expect(target.connections.length).toBe(1);
    expect(fairlead.log.filter(({ level }) => level !== "debug")).toEqual([]);
  });

  test("may wait for Expect: 100-continue, or refuse", async () => {
    const { target, port } = await front(async (request) => {
      if (request.path === "/no") return request.answer("no", 417);
      request.connection.send(headers(request.id, [[":status", "100"]], { endStream: false }));
      if (await request.ended()) request.answer(request.body.toString());
    });
    const client = await stage.client(port);
    client.request("POST /yes HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    expect((await client.nextHead()).status).toBe(100);
    client.write("12345");
    expect((await client.reply()).text).toBe("12345");
    expect(target.requests[0]!.header("expect")).toBe("100-continue");
    client.request("POST /no HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    expect((await client.nextHead()).status).toBe(417);
  });
});

describe("connections", () => {
  test("are shared: many at a time go over one, thousands one after another too", async () => {
    const { target, port } = await front();
    const client = await h2(port);
    for (let from = 1; from < 6_000; from += 200) {
      const ids = Array.from({ length: 100 }, (_, i) => from + 2 * i);
      client.send(...ids.map((id) => headers(id, asks("GET", `/${id}`))));
      for (const id of ids) expect((await client.expect(reply(id))).text).toBe(`GET /${id}`);
    }
    expect([target.connections.length, target.requests.length, target.requests.at(-1)!.id]).toEqual([1, 3_000, 5_999]);
    expect(client.conversation.violation).toBeUndefined();
  }, 30_000);

  test("carry no more than max_concurrent_streams; another is opened when they are full, and used again", async () => {
    const holding = new Holding();
    const { target, port } = await front(holding.script, { max_concurrent_streams: 3 });
    const clients = await Promise.all(Array.from({ length: 7 }, () => stage.client(port)));
    const answers = clients.map((client, i) => client.ask(get(`/${i}`)));
    await until("all seven", () => holding.held.length === 7);
    expect(target.connections.map(({ requests }) => requests.size).toSorted()).toEqual([1, 3, 3]);
    holding.release();
    for (const answer of answers) expect((await answer).status).toBe(200);
    target.script = sayWhich;
    for (const client of clients) expect((await client.ask(get("/again"))).status).toBe(200);
    expect(target.connections.length).toBe(3);
  });

  test("carry no more than the target's own limit, also when many wait for the first one", async () => {
    const holding = new Holding();
    const { target, port, fairlead } = await front(holding.script, {}, { settings: [[Setting.MAX_CONCURRENT_STREAMS, 2]] });
    const client = await h2(port);
    client.send(...Array.from({ length: 9 }, (_, i) => headers(1 + 2 * i, asks("POST", `/${i}`))));
    await until("all nine", () => holding.held.length === 9);
    expect(target.connections.map(({ requests }) => requests.size).toSorted()).toEqual([1, 2, 2, 2, 2]);
    holding.release();
    for (let i = 0; i < 9; i++) await client.expect(reply(1 + 2 * i));
    expect(fairlead.log.filter(({ cause }) => cause !== undefined)).toEqual([]);
  });

  test("follow a limit that the target lowers, or raises", async () => {
    const holding = new Holding();
    const { target, port } = await front(holding.script);
    const ask = async (): Promise<unknown> => (await stage.client(port)).request(get("/x"));
    await ask();
    const first = await target.connection();
    await until("it to be held", () => holding.held.length === 1);
    const acknowledged = first.acknowledged;
    first.send(settings([Setting.MAX_CONCURRENT_STREAMS, 1]));
    await until("the acknowledgement", () => first.acknowledged > acknowledged);
    await ask();
    await until("a second connection", () => holding.held.length === 2);
    expect(target.connections.map(({ requests }) => requests.size)).toEqual([1, 1]);
    first.send(settings([Setting.MAX_CONCURRENT_STREAMS, 2]));
    await until("the acknowledgement", () => first.acknowledged > acknowledged + 1);
    await ask();
    await until("the third", () => holding.held.length === 3);
    expect(target.connections.map(({ requests }) => requests.size)).toEqual([2, 1]);
  });

  test("to a target that allows no streams come to nothing, and to no loop", async () => {
    const { target, port } = await front(sayWhich, {}, { settings: [[Setting.MAX_CONCURRENT_STREAMS, 0]] });
    expect(await status(port, get())).toBe(502);
    expect(target.requests.length).toBe(0);
    expect(target.connections.length).toBeLessThanOrEqual(2);
    await until("its connections to be closed", () => target.open === 0);
  });

  test("are closed after timeouts.idle, in good order", async () => {
    const { target, port } = await front(sayWhich, { timeouts: { idle: "150ms" } });
    expect(await status(port, get())).toBe(200);
    const connection = target.connections[0]!;
    await until("its end", () => connection.gone);
    expect([connection.raw.peer, connection.goaways.map(({ code }) => code)]).toEqual(["ended", [ErrorCode.NO_ERROR]]);
    expect(await status(port, get())).toBe(200);
    expect(target.connections.length).toBe(2);
  });

  test("that a target refuses, or leaves hanging, fail all that wait for one of them", async () => {
    const refused = await before([{ address: `127.0.0.1:${await freePort()}` }], { retries: 0 });
    const hanging = await before([{ address: await stage.fullQueue() }], { retries: 0, timeouts: { connect: "200ms" } });
    const mute = await front(sayWhich, { retries: 0, timeouts: { connect: "200ms" } }, { silent: true });
    for (const [port, code] of [[refused.port, 502], [hanging.port, 504], [mute.port, 504]] as const) {
      const client = await h2(port);
      client.send(...Array.from({ length: 50 }, (_, i) => headers(1 + 2 * i, asks("GET", `/${i}`))));
      for (let i = 0; i < 50; i++) await client.expect(reply(1 + 2 * i, code));
    }
    expect(mute.target.connections.length).toBe(1);
    await until("the mute one to be left", () => mute.target.open === 0);
  });

  test("that wait go to another target when the first cannot be connected to", async () => {
    const good = await stage.h2Target();
    const { port } = await before([{ address: `127.0.0.1:${await freePort()}` }, good]);
    const client = await h2(port);
    client.send(...Array.from({ length: 20 }, (_, i) => headers(1 + 2 * i, asks("POST", `/${i}`))));
    for (let i = 0; i < 20; i++) await client.expect(reply(1 + 2 * i));
    expect(good.requests.length).toBe(20);
  });

  test("to a target that speaks HTTP/1 are no good: 502, and the log says why", async () => {
    const old = await stage.server(({ socket }) => socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")));
    const { port, fairlead } = await before([old], { retries: 0 });
    expect(await status(port, get())).toBe(502);
    expect(fairlead.log.find(({ cause }) => cause !== undefined)?.["detail"]).toContain("not SETTINGS");
  });
});

describe("what is sent once more", () => {
  test("is what a target refused, POST with its body too: elsewhere, at once", async () => {
    const bad = await stage.h2Target(async (request) => {
      await request.ended();
      request.refuse();
    });
    const good = await stage.h2Target(async (request) => {
      if (await request.ended()) request.answer(request.body.toString());
    });
    const { port } = await before([bad, good]);
    const one = await stage.client(port);
    const two = await h2(port);
    for (let i = 0; i < 6; i++) {
      expect((await one.ask(post("/p", `one ${i}`))).text).toBe(`one ${i}`);
      const id = 1 + 2 * i;
      two.send(headers(id, asks("POST", "/p"), { endStream: false }), data(id, `two `, { endStream: false }));
      two.send(data(id, String(i)));
      expect((await two.expect(reply(id))).text).toBe(`two ${i}`);
    }
    expect([bad.requests.length, good.requests.length]).toEqual([6, 12]);
    expect(bad.connections.length).toBe(1);
  });

  test("is whole, also what of the body comes while the next connection is not open yet", async () => {
    for (const buffer of ["64KiB", "4KiB"]) {
      const bad = await stage.h2Target((request) => until("some of it", () => request.bytes > 0).then(() => request.refuse()));
      const late = await stage.h2Target(
        async (request) => {
          if (await request.ended()) request.answer(`${request.body}`);
        },
        { silent: true },
      );
      const { port } = await before([bad, late], { policy: "first", retry_buffer: buffer });
      const [one, two] = [await stage.client(port), await h2(port)];
      one.request("POST /one HTTP/1.1\r\nHost: h.test\r\nContent-Length: 10012\r\n\r\nfirst ");
      two.send(headers(1, asks("POST", "/two"), { endStream: false }), data(1, "first ", { endStream: false }));
      const connection = await late.connection();
      await until("both to be refused", () => bad.requests.length === 2 && bad.requests.every(({ bytes: count }) => count > 0));
      await two.roundTrip();
      one.write(`second${"~".repeat(5_000)}`);
      two.send(data(1, `second${"~".repeat(5_000)}`, { endStream: false }));
      await two.roundTrip();
      connection.send(settings(), settingsAck());
      await until("what there is", () => late.requests.length === 2 && late.requests.every(({ bytes: count }) => count === 5_012));
      one.write("~".repeat(5_000));
      two.send(data(1, "~".repeat(5_000)));
      const whole = `first second${"~".repeat(10_000)}`;
      expect((await one.reply()).text).toBe(whole);
      expect((await two.expect(reply(1))).text).toBe(whole);
    }
  });

  test("is given back to the client's window once", async () => {
    const bad = await stage.h2Target((request) => until("all that there is", () => request.bytes >= 40_000).then(() => request.refuse()));
    const good = await stage.h2Target(async (request) => {
      if (await request.ended()) request.answer(`${request.bytes}`);
    });
    const { port } = await before([bad, good], { policy: "first" });
    const client = await h2(port);
    client.send(headers(1, asks("POST", "/"), { endStream: false }), ...Array.from({ length: 4 }, () => data(1, Buffer.alloc(10_000), { endStream: false })));
    await until("it to arrive elsewhere", () => good.requests[0]?.bytes === 40_000);
    await client.roundTrip();
    expect(client.stream(1).sendWindow).toBeLessThanOrEqual(65_536);
    client.send(data(1, "!"));
    expect((await client.expect(reply(1))).text).toBe("40001");
  });

  test("is not what went out in larger parts than are kept", async () => {
    const { port, target } = await front(
      async (request) => {
        await until("most of it", () => request.bytes > 60_000);
        request.refuse();
      },
      { retry_buffer: "4KiB" },
    );
    const client = await stage.client(port);
    client.request("POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 60100\r\n\r\nfirst");
    await until("the first of it", () => target.requests[0]?.bytes === 5);
    client.write("x".repeat(60_095));
    expect((await client.reply()).status).toBe(502);
    expect(target.requests.length).toBe(1);
  });

  test("are the streams above a GOAWAY's last, while those below go on to their end", async () => {
    const holding = new Holding();
    const { target, port } = await front(holding.script);
    const client = await h2(port);
    client.send(...[1, 3, 5, 7].map((id) => headers(id, asks("POST", `/${id}`))));
    await until("all four", () => holding.held.length === 4);
    const [first] = target.connections;
    target.script = sayWhich;
    first!.goAway(3);
    for (const id of [5, 7]) expect((await client.expect(reply(id))).text).toBe(`POST /${id}`);
    expect(first!.gone).toBe(false);
    holding.release();
    for (const id of [1, 3]) await client.expect(reply(id));
    await until("the connection to be closed", () => first!.gone);
    expect(target.connections.length).toBe(2);
    expect(client.conversation.violation).toBeUndefined();
  });

  test("are they after a GOAWAY with an error too, before the connection closes", async () => {
    const holding = new Holding();
    const { target, port } = await front(holding.script);
    const client = await h2(port);
    client.send(...[1, 3].map((id) => headers(id, asks("POST", `/${id}`))));
    await until("both", () => holding.held.length === 2);
    target.script = sayWhich;
    target.connections[0]!.send(goaway(1, ErrorCode.ENHANCE_YOUR_CALM)).raw.end();
    expect((await client.expect(reply(3))).text).toBe("POST /3");
    await client.expect(reply(1, 502));
  });

  test("is a GET whose stream or connection broke, a POST is not", async () => {
    let how: (request: H2Request) => void = (request) => request.refuse(ErrorCode.INTERNAL_ERROR);
    const bad = await stage.h2Target(async (request) => {
      await request.ended();
      how(request);
    });
    const good = await stage.h2Target();
    const { port } = await before([bad, good], { retry_budget_min: 100 });
    for (const breaking of [(request: H2Request) => request.refuse(ErrorCode.INTERNAL_ERROR), (request: H2Request) => request.connection.raw.reset(), (request: H2Request) => request.connection.raw.end()]) {
      how = breaking;
      const gets = [await status(port, get()), await status(port, get()), await status(port, get()), await status(port, get())];
      expect(gets).toEqual([200, 200, 200, 200]);
      const posts = [await status(port, post("/", "x")), await status(port, post("/", "x"))];
      expect(posts.toSorted()).toEqual([200, 502]);
    }
  });
});

describe("a target that breaks off in the middle of a reply", () => {
  const begin = (request: H2Request, fields: readonly Field[] = []): void => void request.connection.send(headers(request.id, [[":status", "200"], ...fields], { endStream: false }), data(request.id, "half", { endStream: false }));
  for (const [name, breaking] of [
    ["by RST_STREAM", (request: H2Request) => request.refuse(ErrorCode.INTERNAL_ERROR)],
    ["by RST_STREAM with NO_ERROR", (request: H2Request) => request.refuse(ErrorCode.NO_ERROR)],
    ["by FIN", (request: H2Request) => request.connection.raw.end()],
    ["by RST", (request: H2Request) => request.connection.raw.reset()],
    ["by GOAWAY and FIN", (request: H2Request) => request.connection.send(goaway(request.id, ErrorCode.INTERNAL_ERROR)).raw.end()],
  ] as const) {
    test(`${name} leaves no client with a reply that seems whole`, async () => {
      let broken = 0;
      const { port } = await front(async (request) => {
        begin(request, request.path === "/length" ? [["content-length", "8"]] : []);
        await until("the word", () => broken > 0);
        breaking(request);
      });
      const clients = [await stage.client(port), await stage.client(port)];
      const heads = [await clients[0]!.request(get("/")).nextHead(), await clients[1]!.request(get("/length")).nextHead()];
      const two = await h2(port);
      two.send(headers(1, asks("GET", "/")));
      await two.expect({ what: "half of it", look: (client) => client.stream(1).bytes === 4 || undefined });
      broken++;
      for (const head of heads) expect(await head.ended).toBe(false);
      await two.expect(anyError(1));
      expect(two.stream(1).ended).toBe(false);
      expect(two.gone).toBe(false);
    });
  }
});

test("a reply is whole when its length is there, also if RST_STREAM with NO_ERROR stands for its END_STREAM", async () => {
  const { port } = await front(({ id, connection, path }) => connection.send(headers(id, [[":status", "200"], ["content-length", "5"]], { endStream: false }), data(id, path === "/whole" ? "12345" : "1234", { endStream: false }), rstStream(id, ErrorCode.NO_ERROR)));
  expect([await status(port, get("/whole")), await status(port, get("/part"))]).toEqual([200, "cut"]);
  const client = await h2(port);
  client.send(headers(1, asks("GET", "/whole")), headers(3, asks("GET", "/part")));
  expect((await client.expect(reply(1))).text).toBe("12345");
  await client.expect(anyError(3));
});

describe("a target that speaks nonsense", () => {
  const OK: Field[] = [[":status", "200"]];
  const cases: readonly (readonly [name: string, say: (request: H2Request) => readonly Buffer[]])[] = [
    ["DATA before HEADERS", ({ id }) => [data(id, "x")]],
    ["END_STREAM without a head", ({ id }) => [data(id, "")]],
    ["a head without :status", ({ id }) => [headers(id, [["x", "1"]])]],
    [":status twice", ({ id }) => [headers(id, [...OK, ...OK])]],
    [":status that is no number", ({ id }) => [headers(id, [[":status", "2xx"]])]],
    [":status 101", ({ id }) => [headers(id, [[":status", "101"]], { endStream: false })]],
    ["an interim head that ends the stream", ({ id }) => [headers(id, [[":status", "103"]])]],
    ["a request's pseudo-field", ({ id }) => [headers(id, [...OK, [":path", "/"]])]],
    ["a name in upper case", ({ id }) => [headers(id, [...OK, ["X-Upper", "1"]])]],
    ["Connection", ({ id }) => [headers(id, [...OK, ["connection", "close"]])]],
    ["a value with a line end", ({ id }) => [headers(id, [...OK, ["x", "a\r\nb: c"]])]],
    ["Content-Length, and no body", ({ id }) => [headers(id, [...OK, ["content-length", "5"]])]],
    ["Content-Length twice", ({ id }) => [headers(id, [...OK, ["content-length", "1"], ["content-length", "2"]], { endStream: false }), data(id, "x")]],
    ["HPACK that nobody can read", ({ id }) => [headers(id, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff]))]],
    ["an index that is not there", ({ id }) => [headers(id, Buffer.from([0x88, 0xbf]))]],
    ["a frame that is too long", ({ id }) => [frame(FrameType.DATA, 0, id, Buffer.alloc(16_385))]],
    ["HEADERS of a stream that nobody opened", () => [headers(99, OK)]],
    ["PUSH_PROMISE", ({ id }) => [pushPromise(id, 2, asks("GET", "/pushed"))]],
    ["a header block that is interrupted", ({ id }) => [headers(id, Buffer.from([0x88]), unfinished), data(id, "x")]],
    ["more fields than limits.header_count", ({ id }) => [headers(id, [...OK, ...Array.from({ length: 250 }, (_, i): Field => [`x-${i}`, "1"])])]],
    ["a larger head than limits.header_bytes", ({ id }) => [headers(id, Buffer.concat([Buffer.from([0x88]), literal("x-a", "y".repeat(16_000))]), unfinished), ...[1, 2, 3, 4].map((i) => continuation(id, literal(`x-${i}`, "y".repeat(16_000)), i === 4))]],
    ["a window beyond its bounds", ({ id }) => [windowUpdate(id, 2 ** 31 - 1)]],
    ["WINDOW_UPDATE of nothing", ({ id }) => [windowUpdate(id, 0)]],
    ["SETTINGS of a length that cannot be", () => [frame(FrameType.SETTINGS, 0, 0, "12345")]],
    ["PING of a length that cannot be", () => [frame(FrameType.PING, 0, 0, "12345")]],
  ];
  test("sends interim replies to no end", async () => {
    const early = (id: number): Buffer => headers(id, [[":status", "103"]], { endStream: false });
    const { port } = await front(({ id, path, connection }) => connection.send(...Array.from({ length: path === "/many" ? 100 : 101 }, () => early(id)), headers(id, OK)), { retries: 0 });
    for (const [path, last] of [["/many", 200], ["/endless", 502]] as const) {
      let said = "";
      const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { open: (opened) => void opened.write(get(path)), data: (_, bytes) => void (said += bytes.toString("latin1")) } });
      await until(`${last} at ${path}`, () => said.includes(`HTTP/1.1 ${last} `));
      expect([path, said.match(/HTTP\/1\.1 103 /g)?.length]).toEqual([path, 100]);
      socket.terminate();
    }
  });

  test("is 502 in all its ways, and the next request is served", async () => {
    let say: (request: H2Request) => readonly Buffer[] = () => [];
    const { target, port } = await front((request) => (request.path === "/well" ? sayWhich(request) : void request.connection.send(...say(request))), { retries: 0, timeouts: { response: "1s" } });
    for (const [name, what] of cases) {
      say = what;
      expect([name, await status(port, get("/ill"))]).toEqual([name, 502]);
      expect([name, await status(port, get("/well"))]).toEqual([name, 200]);
    }
    expect(target.problems).toEqual([]);
  });

  test("behind a head that was good is cut off", async () => {
    const wrong: readonly (readonly [string, (id: number) => readonly Buffer[]])[] = [
      ["more than Content-Length says", (id) => [data(id, "123456")]],
      ["less than Content-Length says", (id) => [data(id, "1234")]],
      ["another head", (id) => [data(id, "1234", { endStream: false }), headers(id, OK, { endStream: false })]],
      ["trailers that do not end the stream", (id) => [headers(id, [["x", "1"]], { endStream: false })]],
      ["trailers with a pseudo-field", (id) => [data(id, "1234", { endStream: false }), headers(id, OK)]],
      ["a frame that is too long", (id) => [frame(FrameType.DATA, 0, id, Buffer.alloc(20_000))]],
    ];
    let say: (id: number) => readonly Buffer[] = () => [];
    const { port } = await front(({ id, path, connection }) => {
      if (path === "/well") connection.send(headers(id, OK));
      else connection.send(headers(id, [...OK, ["content-length", "5"]], { endStream: false }), ...say(id));
    });
    for (const [name, what] of wrong) {
      say = what;
      expect([name, await status(port, get("/ill"))]).toEqual([name, "cut"]);
      const client = await h2(port);
      client.send(headers(1, asks("GET", "/ill")));
      await client.expect(anyError(1));
      expect([name, client.conversation.violation, client.stream(1).ended]).toEqual([name, undefined, false]);
      expect(await status(port, get("/well"))).toBe(200);
    }
  });
});

describe("time", () => {
  test("a target that does not answer is 504, its stream is reset, and its connection goes on", async () => {
    const { target, port } = await front((request) => (request.path === "/well" ? sayWhich(request) : undefined), { retries: 0, timeouts: { response: "200ms" } });
    const began = performance.now();
    expect(await status(port, get("/never"))).toBe(504);
    expect(performance.now() - began).toBeLessThan(1_500);
    expect(await target.requests[0]!.untilReset()).toBe(ErrorCode.CANCEL);
    expect(await status(port, get("/well"))).toBe(200);
    expect(target.connections.length).toBe(1);
  });

  test("a reply that stalls is cut off after timeouts.body", async () => {
    const { target, port } = await front(({ id, connection }) => connection.send(headers(id, [[":status", "200"]], { endStream: false }), data(id, "x", { endStream: false })), { timeouts: { body: "200ms" } });
    expect(await status(port, get())).toBe("cut");
    expect(await target.requests[0]!.untilReset()).toBe(ErrorCode.CANCEL);
  });

  test("a target that does not read a request's body is 504 after timeouts.body", async () => {
    const { port, target } = await front(() => {}, { retries: 0, timeouts: { body: "200ms", response: "10s" } }, { stingy: true });
    const client = await stage.client(port);
    client.request("POST / HTTP/1.1\r\nHost: h.test\r\nContent-Length: 1000000\r\n\r\n");
    client.write(Buffer.alloc(900_000));
    expect((await client.reply()).status).toBe(504);
    expect(target.requests[0]!.bytes).toBe(65_535);
    const two = await h2(port);
    two.send(headers(1, asks("POST", "/"), { endStream: false }), data(1, Buffer.alloc(16_000), { endStream: false }));
    expect((await target.request(2)).reset).toBeUndefined();
  });

  for (const [name, fields] of [
    ["a client that stops reading", []],
    ["a gRPC client that stops reading", [["content-type", "application/grpc"], ["te", "trailers"]]],
  ] as const) {
    test(`${name} is timed out, and its stream reset at the target; others go on`, async () => {
      const block = Buffer.alloc(16_000);
      const { port, target } = await front(
        async (request) => {
          const { id, connection, path } = request;
          if (path === "/well") return sayWhich(request);
          connection.send(headers(id, [[":status", "200"]], { endStream: false }));
          while (request.reset === undefined && !connection.gone) {
            if (request.sendWindow >= block.length && connection.sendWindow >= block.length) {
              request.sendWindow -= block.length;
              connection.sendWindow -= block.length;
              connection.send(data(id, block, { endStream: false }));
            }
            await Bun.sleep(0);
          }
        },
        {},
        { listener: { timeouts: { client_body: "400ms" } } },
      );
      // It opens the connection's window, and no stream's.
      const client = await h2(port);
      client.send(windowUpdate(0, 10_000_000), headers(1, asks("GET", "/endless", fields)));
      expect(await (await target.request(1)).untilReset(10_000)).toBe(ErrorCode.CANCEL);
      await client.expect(anyError(1));
      client.send(headers(3, asks("GET", "/well")));
      await client.expect(reply(3));
      expect(target.connections.length).toBe(1);
    });
  }
});

describe("what the client gives up", () => {
  test("is reset at the target, and nothing else of the connection", async () => {
    const holding = new Holding();
    const { target, port } = await front(holding.script);
    const one = await stage.client(port);
    one.request(get("/one"));
    const two = await h2(port);
    two.send(headers(1, asks("GET", "/two")), headers(3, asks("GET", "/stays")));
    await until("all three", () => holding.held.length === 3);
    one.destroy();
    two.send(rstStream(1));
    for (const path of ["/one", "/two"]) expect(await target.requests.find((request) => request.path === path)!.untilReset()).toBe(ErrorCode.CANCEL);
    holding.release();
    expect((await two.expect(reply(3))).text).toBe("/stays");
    expect(target.connections.length).toBe(1);
  });

  test("may be thousands of requests: a target that counts resets does not take it out on the others", async () => {
    const target = await NodeH2.start();
    stage.atEnd(() => target.kill());
    const { port, fairlead } = await before([target], {}, { http2: { resets: 100_000 } });
    const client = await h2(port);
    client.send(headers(1, asks("POST", "/echo"), { endStream: false }), data(1, "one ", { endStream: false }));
    await client.expect(bytes(1, 4));
    for (let id = 3; id < 5_000; id += 2) {
      client.send(headers(id, asks("POST", `/hash/${id}`), { endStream: false }), data(id, "x", { endStream: false }));
      if (id % 20 === 1) {
        await until("the target to have them", () => target.events.some(({ path }) => path === `/hash/${id}`));
        for (let each = id - 18; each <= id; each += 2) client.send(rstStream(each));
      }
    }
    client.send(data(1, "two"));
    expect((await client.expect(reply(1))).text).toBe("one two");
    expect(fairlead.log.filter(({ level }) => level !== "debug")).toEqual([]);
  }, 30_000);

  test("may be hundreds of requests whose replies cross: the connection goes on", async () => {
    const holding = new Holding();
    const { target, port } = await front(holding.script, { max_concurrent_streams: 10_000 });
    const client = await h2(port);
    for (let id = 1; id < 1_400; id += 2) {
      client.send(headers(id, asks("GET", `/${id}`)), rstStream(id));
      if (id % 100 === 1) await client.roundTrip();
    }
    await until("the last of them", () => target.requests.at(-1)?.reset !== undefined);
    holding.release();
    target.script = sayWhich;
    client.send(headers(1_401, asks("GET", "/after")));
    expect((await client.expect(reply(1_401))).text).toBe("GET /after");
    expect(target.connections.length).toBe(1);
    expect(target.connections[0]!.goaways).toEqual([]);
  });
});

describe("balancing", () => {
  test("max_requests and the queue hold for streams too", async () => {
    const holding = new Holding();
    const { port } = await front(holding.script, { max_requests: 2, queue_size: 3 });
    const client = await h2(port);
    client.send(...[1, 3, 5, 7, 9, 11].map((id) => headers(id, asks("GET", `/${id}`))));
    await client.expect(reply(11, 503));
    await until("two of them", () => holding.held.length === 2);
    for (const ids of [[1, 3], [5, 7], [9]]) {
      await until("the next", () => holding.held.length === ids.length);
      holding.release();
      for (const id of ids) await client.expect(reply(id));
    }
  });

  test("a slow request is hedged over another target's connection, its body too", async () => {
    let slow = false;
    const script: H2Script = async (request) => {
      if (!(await request.ended())) return;
      if (slow && request.path !== "/usual" && !hedged.has(request.path)) hedged.add(request.path);
      else request.answer(`${request.bytes}`);
    };
    const hedged = new Set<string>();
    const targets = [await stage.h2Target(script), await stage.h2Target(script)];
    const { port } = await before(targets, { hedge: { percentile: 90, min_delay: "400ms" }, retry_budget_min: 100, retry_buffer: "256KiB" });
    const one = await stage.client(port);
    for (let i = 0; i < 60; i++) expect((await one.ask(get("/usual"))).status).toBe(200);
    slow = true;
    expect((await one.ask(get("/slow"))).text).toBe("0");
    const two = await h2(port);
    two.send(headers(1, asks("PUT", "/put"), { endStream: false }));
    // More than one window of the target, in many parts.
    for (let i = 0; i < 10; i++) {
      await two.expect(room(1, 12_000));
      two.send(data(1, Buffer.alloc(12_000), { endStream: i === 9 }));
    }
    expect((await two.expect(reply(1))).text).toBe("120000");
    const loser = targets.flatMap(({ requests }) => requests).filter(({ path }) => path === "/put");
    expect(loser.map(({ bytes, whole }) => [bytes, whole])).toEqual([[120_000, true], [120_000, true]]);
  });

  test("an idempotent request whose status may be tried again is, over h2c too", async () => {
    const bad = await stage.h2Target((request) => request.answer("busy", 503));
    const good = await stage.h2Target();
    const { port } = await before([bad, good], { retry_on: [503] });
    for (let i = 0; i < 4; i++) expect(await status(port, get())).toBe(200);
    expect([bad.requests.length, good.requests.length]).toEqual([2, 4]);
  });
});

describe("PING", () => {
  const listener = { http2: { glitches: 100, glitches_per_second: 1 } };

  test("costs a client nothing while something flows: gRPC measures its windows by it", async () => {
    const { port } = await front(sayWhich, {}, { listener });
    const client = await h2(port);
    for (let id = 1; id < 600; id += 2) {
      client.send(headers(id, asks("GET", "/")));
      await client.expect(reply(id));
      await client.roundTrip();
    }
    expect(client.conversation.goaways).toEqual([]);
  });

  test("without anything else ends the connection when there is too much of it", async () => {
    const { port } = await front(sayWhich, {}, { listener });
    const client = await h2(port);
    for (let i = 0; i < 150; i++) client.send(ping(`ping${String(i).padStart(4, "0")}`));
    await client.expect(goawayWith(ErrorCode.ENHANCE_YOUR_CALM));
  });

  test("of a target is answered, thousands a second too", async () => {
    const { target, port } = await front();
    expect(await status(port, get())).toBe(200);
    const connection = target.connections[0]!;
    for (let i = 0; i < 5_000; i++) connection.send(ping(`ping${String(i).padStart(4, "0")}`));
    await until("all answers", () => connection.pongs.length === 5_000);
    expect(connection.pongs[4_999]).toBe("ping4999");
  });
});

test("a target's answers to SETTINGS are waited for before the first request", async () => {
  const { target, port } = await front(sayWhich, {}, { silent: true });
  const client = await stage.client(port);
  client.request(get("/late"));
  const connection = await target.connection();
  await until("the preface and SETTINGS", () => connection.settled);
  await Bun.sleep(50);
  expect(target.requests.length).toBe(0);
  connection.send(settings([Setting.INITIAL_WINDOW_SIZE, 1_000]), settingsAck());
  expect((await client.reply()).text).toBe("GET /late");
});

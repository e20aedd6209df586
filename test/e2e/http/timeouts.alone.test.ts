/** Every timeout, at its time and not long after: what the client sees, what the back end sees. */
import { beforeAll, describe, expect, test } from "bun:test";
import { type RawBackend, reply, sayWhich } from "../../support/raw-backend.ts";
import type { RawClient } from "../../support/raw-client.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import { sleep } from "../../support/until.ts";

const stage = openStage();
/** Long enough that ± 10 % is more than a tick (20 ms) and what a busy machine adds. */
const LIMIT = 600;
const EARLIEST = LIMIT * 0.9;
const LATEST = LIMIT * 1.1 + 25;
const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

let backend: RawBackend;

beforeAll(async () => {
  backend = await stage.backend();
});

function listening(timeouts: Readonly<Record<string, string>>): Promise<Balanced> {
  backend.clear(sayWhich);
  return stage.fairlead({ targets: [backend], listener: { timeouts } });
}

function facing(timeouts: Readonly<Record<string, string>>): Promise<Balanced> {
  backend.clear(sayWhich);
  return stage.fairlead({ targets: [backend], upstream: { timeouts, retries: 0 } });
}

async function expectOnTime(act: () => Promise<unknown>): Promise<void> {
  const began = performance.now();
  await act();
  const took = performance.now() - began;
  expect(took).toBeGreaterThanOrEqual(EARLIEST);
  expect(took).toBeLessThanOrEqual(LATEST);
}

/** 408 and the end, or just the end. */
async function expectTimedOut(client: RawClient): Promise<void> {
  await client.untilPeerEnds();
  expect(client.receivedText === "" || client.receivedText.startsWith("HTTP/1.1 408 ")).toBe(true);
}

describe("response (time to first byte)", () => {
  test("504 when nothing comes, and the target's connection is closed", async () => {
    const front = await facing({ response: `${LIMIT}ms` });
    backend.clear(() => {});
    const client = await stage.client(front);
    await expectOnTime(async () => expect((await client.ask(GET)).status).toBe(504));
    await (await backend.request()).connection.untilPeerEnds();
  });

  test("504 when only a piece of the head comes", async () => {
    const front = await facing({ response: `${LIMIT}ms` });
    backend.clear((_, connection) => connection.write("HTTP/1.1 200 OK\r\nContent-"));
    const client = await stage.client(front);
    await expectOnTime(async () => expect((await client.ask(GET)).status).toBe(504));
  });

  test("counts from the request's last byte", async () => {
    const front = await facing({ response: `${LIMIT}ms` });
    const client = await stage.client(front);
    client.request("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n");
    for (let i = 0; i < 10; i++) {
      await sleep(LIMIT / 5);
      client.write("x");
    }
    expect((await client.finalReply()).status).toBe(200);
  });

  test("does not bother a reply that is in time", async () => {
    const front = await facing({ response: `${LIMIT}ms` });
    backend.clear(async (_, connection) => {
      await sleep(LIMIT / 2);
      connection.write(reply(200, "late"));
    });
    expect((await (await stage.client(front)).ask(GET)).text).toBe("late");
  });
});

describe("connect", () => {
  test("504 when the target does not answer the connect", async () => {
    // A full accept queue drops connects, as a dead machine does.
    const full = await stage.fullQueue();
    const front = await stage.fairlead({ targets: [full], upstream: { timeouts: { connect: `${LIMIT}ms` }, retries: 0 } });
    const client = await stage.client(front);
    await expectOnTime(async () => expect((await client.ask(GET)).status).toBe(504));
  });
});

describe("body of a reply", () => {
  test("a reply that stalls is cut, and never looks complete", async () => {
    const front = await facing({ body: `${LIMIT}ms` });
    backend.clear((_, connection) => connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"));
    const client = await stage.client(front);
    const message = await client.request(GET).nextHead();
    await expectOnTime(async () => expect(await message.ended).toBe(false));
    await (await backend.request()).connection.untilPeerEnds();
  });

  test("a reply that goes on slowly is not cut", async () => {
    const front = await facing({ body: `${LIMIT}ms` });
    backend.clear(async (_, connection) => {
      connection.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
      for (const letter of "hello") {
        await sleep(LIMIT / 2);
        connection.write(letter);
      }
    });
    expect((await (await stage.client(front)).ask(GET)).text).toBe("hello");
  });
});

describe("idle connections to a target", () => {
  test("are closed after their time", async () => {
    const front = await facing({ idle: `${LIMIT}ms` });
    const client = await stage.client(front);
    await client.ask(GET);
    const { connection } = await backend.request();
    await expectOnTime(() => connection.untilPeerEnds());
  });
});

describe("client_header", () => {
  test("a head that comes drop by drop (slowloris) is ended in time, however often a byte comes", async () => {
    const front = await listening({ client_header: `${LIMIT}ms` });
    const client = await stage.client(front);
    let dripping = true;
    const drip = (async () => {
      for (const byte of GET.slice(0, -2)) {
        if (!dripping) return;
        client.write(byte);
        await sleep(50);
      }
    })();
    await expectOnTime(() => expectTimedOut(client));
    dripping = false;
    await drip;
    expect(backend.requests.length).toBe(0);
  });

  test("a head that stops is ended in time, also the second one of a connection", async () => {
    const front = await listening({ client_header: `${LIMIT}ms` });
    const client = await stage.client(front);
    await client.ask(GET);
    const before = client.receivedLength;
    client.write("GET /second HT");
    await expectOnTime(() => client.untilPeerEnds());
    const rest = client.receivedText.slice(before);
    expect(rest === "" || rest.startsWith("HTTP/1.1 408 ")).toBe(true);
  });

  test("200 slow attackers do not slow a bystander", async () => {
    const front = await listening({ client_header: `${LIMIT}ms` });
    const attackers = await Promise.all(Array.from({ length: 200 }, () => stage.client(front)));
    for (const attacker of attackers) attacker.write("GET / HTTP/1.1\r\nX-Slow: ");
    const bystander = await stage.client(front);
    for (let i = 0; i < 20; i++) {
      const began = performance.now();
      expect((await bystander.ask(GET)).status).toBe(200);
      expect(performance.now() - began).toBeLessThan(150);
    }
    await Promise.all(attackers.map((attacker) => attacker.untilPeerEnds()));
  });
});

describe("client_body", () => {
  test("a body that stops is ended in time; the back end sees an abort", async () => {
    const front = await listening({ client_body: `${LIMIT}ms` });
    const client = await stage.client(front);
    client.request("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nsome");
    const { message } = await backend.request();
    await expectOnTime(() => expectTimedOut(client));
    expect(await message.ended).toBe(false);
  });

  test("a body that goes on slowly is not ended", async () => {
    const front = await listening({ client_body: `${LIMIT}ms` });
    const client = await stage.client(front);
    client.request("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n");
    for (const letter of "hello") {
      await sleep(LIMIT / 2);
      client.write(letter);
    }
    expect((await client.finalReply()).status).toBe(200);
    expect(backend.requests[0]?.text).toBe("hello");
  });
});

describe("client_idle", () => {
  test("a connection without a second request is closed, without a word", async () => {
    const front = await listening({ client_idle: `${LIMIT}ms` });
    const client = await stage.client(front);
    await client.ask(GET);
    const before = client.receivedLength;
    await expectOnTime(() => client.untilPeerEnds());
    expect(client.receivedLength).toBe(before);
  });

  test("does not bother a request that waits for its reply", async () => {
    const front = await listening({ client_idle: `${LIMIT}ms` });
    backend.clear(async (_, connection) => {
      await sleep(LIMIT * 1.5);
      connection.write(reply(200, "late"));
    });
    expect((await (await stage.client(front)).ask(GET)).text).toBe("late");
  });
});

describe("request (the whole of it)", () => {
  test("504 when the reply is not there in time", async () => {
    const front = await listening({ request: `${LIMIT}ms` });
    backend.clear(() => {});
    const client = await stage.client(front);
    await expectOnTime(async () => expect((await client.ask(GET)).status).toBe(504));
  });

  test("a reply that still runs is cut, however lively", async () => {
    const front = await listening({ request: `${LIMIT}ms` });
    backend.clear(async (_, connection) => {
      connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      while (!connection.closed) {
        connection.write("1\r\nx\r\n");
        await sleep(50);
      }
    });
    const client = await stage.client(front);
    const message = await client.request(GET).nextHead();
    await expectOnTime(async () => expect(await message.ended).toBe(false));
  });
});

describe("tunnel_idle", () => {
  test("a tunnel without a byte is closed on both sides; a byte either way keeps it", async () => {
    const front = await listening({ tunnel_idle: `${LIMIT}ms` });
    backend.clear((_, connection) => {
      connection.holdOpen = true;
      connection.reader.becomeTunnel();
      connection.write("HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: frob\r\n\r\n");
    });
    const client = await stage.client(front);
    client.request("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: frob\r\n\r\n");
    await client.reply();
    const { connection } = await backend.request();
    for (let i = 0; i < 4; i++) {
      await sleep(LIMIT / 2);
      (i % 2 === 0 ? client : connection).write("x");
    }
    await expectOnTime(() => client.untilPeerEnds());
    await connection.untilPeerEnds();
  });
});

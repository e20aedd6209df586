/** Every timeout, at its time and not long after: what the client sees, what the back end sees. All but one wait at the same time. */
import { beforeAll, describe, expect, test } from "bun:test";
import { Fairlead } from "../../support/fairlead.ts";
import { freePort } from "../../support/ports.ts";
import { type RawBackend, reply, sayWhich, type Script } from "../../support/raw-backend.ts";
import type { RawClient } from "../../support/raw-client.ts";
import { openStage } from "../../support/stage.ts";
import { type TomlTable, toToml } from "../../support/toml.ts";
import { sleep } from "../../support/until.ts";

const stage = openStage();
/** Long enough that ± 10 % is more than a tick (20 ms) and what a busy machine adds. */
const LIMIT = 600;
const EARLIEST = LIMIT * 0.9;
const LATEST = LIMIT * 1.1 + 25;
const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

/** A listener and an upstream of one test's own. */
interface Scene {
  readonly listener: TomlTable;
  readonly upstream: TomlTable;
  /** Of its back end; "nobody" takes no connection. */
  readonly script: Script | "nobody";
  port: number;
  backend: RawBackend;
}

const scenes: Scene[] = [];

function scene(listener: TomlTable, upstream: TomlTable, script: Scene["script"]): Scene {
  const made = { listener, upstream, script } as Scene;
  scenes.push(made);
  return made;
}

function listening(timeout: string, script: Scene["script"] = sayWhich): Scene {
  return scene({ timeouts: { [timeout]: `${LIMIT}ms` } }, {}, script);
}

function facing(timeout: string, script: Scene["script"] = sayWhich): Scene {
  return scene({}, { timeouts: { [timeout]: `${LIMIT}ms` } }, script);
}

beforeAll(async () => {
  const listeners: TomlTable[] = [];
  const upstreams: TomlTable[] = [];
  for (const [at, each] of scenes.entries()) {
    each.port = await freePort();
    each.backend = await stage.backend(each.script === "nobody" ? undefined : each.script);
    const address = each.script === "nobody" ? await stage.fullQueue() : each.backend.address;
    const name = `scene-${at}`;
    listeners.push({ name, address: `127.0.0.1:${each.port}`, upstream: name, ...each.listener });
    upstreams.push({ name, retries: 0, targets: [{ address }], ...each.upstream });
  }
  const fairlead = await Fairlead.start(toToml({ workers: 1, listeners, upstreams }));
  stage.atEnd(() => fairlead.kill());
});

/** While all others do the same. */
function beside(name: string, on: Scene, act: (client: RawClient, backend: RawBackend) => Promise<void>): void {
  test.concurrent(name, async () => act(await stage.client(on.port), on.backend));
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
  beside("504 when nothing comes, and the target's connection is closed", facing("response", () => {}), async (client, backend) => {
    await expectOnTime(async () => expect((await client.ask(GET)).status).toBe(504));
    await (await backend.request()).connection.untilPeerEnds();
  });

  beside("504 when only a piece of the head comes", facing("response", (_, connection) => connection.write("HTTP/1.1 200 OK\r\nContent-")), async (client) => {
    await expectOnTime(async () => expect((await client.ask(GET)).status).toBe(504));
  });

  beside("counts from the request's last byte", facing("response"), async (client) => {
    client.request("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n");
    for (let i = 0; i < 10; i++) {
      await sleep(LIMIT / 5);
      client.write("x");
    }
    expect((await client.finalReply()).status).toBe(200);
  });

  const late = facing("response", async (_, connection) => {
    await sleep(LIMIT / 2);
    connection.write(reply(200, "late"));
  });

  beside("does not bother a reply that is in time", late, async (client) => {
    expect((await client.ask(GET)).text).toBe("late");
  });
});

describe("connect", () => {
  // A full accept queue drops connects, as a dead machine does.
  beside("504 when the target does not answer the connect", facing("connect", "nobody"), async (client) => {
    await expectOnTime(async () => expect((await client.ask(GET)).status).toBe(504));
  });
});

describe("body of a reply", () => {
  beside("a reply that stalls is cut, and never looks complete", facing("body", (_, connection) => connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")), async (client, backend) => {
    const message = await client.request(GET).nextHead();
    await expectOnTime(async () => expect(await message.ended).toBe(false));
    await (await backend.request()).connection.untilPeerEnds();
  });

  const slowly = facing("body", async (_, connection) => {
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    for (const letter of "hello") {
      await sleep(LIMIT / 2);
      connection.write(letter);
    }
  });

  beside("a reply that goes on slowly is not cut", slowly, async (client) => {
    expect((await client.ask(GET)).text).toBe("hello");
  });
});

describe("idle connections to a target", () => {
  beside("are closed after their time", facing("idle"), async (client, backend) => {
    await client.ask(GET);
    const { connection } = await backend.request();
    await expectOnTime(() => connection.untilPeerEnds());
  });
});

describe("client_header", () => {
  beside("a head that comes drop by drop (slowloris) is ended in time, however often a byte comes", listening("client_header"), async (client, backend) => {
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

  beside("a head that stops is ended in time, also the second one of a connection", listening("client_header"), async (client) => {
    await client.ask(GET);
    const before = client.receivedLength;
    client.write("GET /second HT");
    await expectOnTime(() => client.untilPeerEnds());
    const rest = client.receivedText.slice(before);
    expect(rest === "" || rest.startsWith("HTTP/1.1 408 ")).toBe(true);
  });
});

describe("client_body", () => {
  beside("a body that stops is ended in time; the back end sees an abort", listening("client_body"), async (client, backend) => {
    client.request("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nsome");
    const { message } = await backend.request();
    await expectOnTime(() => expectTimedOut(client));
    expect(await message.ended).toBe(false);
  });

  beside("a body that goes on slowly is not ended", listening("client_body"), async (client, backend) => {
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
  beside("a connection without a second request is closed, without a word", listening("client_idle"), async (client) => {
    await client.ask(GET);
    const before = client.receivedLength;
    await expectOnTime(() => client.untilPeerEnds());
    expect(client.receivedLength).toBe(before);
  });

  const late = listening("client_idle", async (_, connection) => {
    await sleep(LIMIT * 1.5);
    connection.write(reply(200, "late"));
  });

  beside("does not bother a request that waits for its reply", late, async (client) => {
    expect((await client.ask(GET)).text).toBe("late");
  });
});

describe("request (the whole of it)", () => {
  beside("504 when the reply is not there in time", listening("request", () => {}), async (client) => {
    await expectOnTime(async () => expect((await client.ask(GET)).status).toBe(504));
  });

  const lively = listening("request", async (_, connection) => {
    connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (!connection.closed) {
      connection.write("1\r\nx\r\n");
      await sleep(50);
    }
  });

  beside("a reply that still runs is cut, however lively", lively, async (client) => {
    const message = await client.request(GET).nextHead();
    await expectOnTime(async () => expect(await message.ended).toBe(false));
  });
});

describe("tunnel_idle", () => {
  const tunnel = listening("tunnel_idle", (_, connection) => {
    connection.holdOpen = true;
    connection.reader.becomeTunnel();
    connection.write("HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: frob\r\n\r\n");
  });

  beside("a tunnel without a byte is closed on both sides; a byte either way keeps it", tunnel, async (client, backend) => {
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

// Alone: it takes the machine for itself.
describe("client_header", () => {
  const slow = listening("client_header");

  test("200 slow attackers do not slow a bystander", async () => {
    const { port } = slow;
    const attackers = await Promise.all(Array.from({ length: 200 }, () => stage.client(port)));
    for (const attacker of attackers) attacker.write("GET / HTTP/1.1\r\nX-Slow: ");
    const bystander = await stage.client(port);
    for (let i = 0; i < 20; i++) {
      const began = performance.now();
      expect((await bystander.ask(GET)).status).toBe(200);
      expect(performance.now() - began).toBeLessThan(150);
    }
    await Promise.all(attackers.map((attacker) => attacker.untilPeerEnds()));
  });
});

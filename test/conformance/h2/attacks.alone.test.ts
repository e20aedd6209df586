/** Attacks over HTTP/2: each is stopped or endured, a bystander is served meanwhile, and afterwards the worker is as idle and as small as before. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ErrorCode, headers, nameOfError, PREFACE, Setting, settings, unfinished, windowUpdate } from "../../support/h2-frames.ts";
import { closed, H2Client, reply } from "../../support/h2.ts";
import { workersOf } from "../../support/processes.ts";
import { type BackendConnection, type RawBackend, sayWhich } from "../../support/raw-backend.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import { nextTurn } from "../../support/raw-connection.ts";
import { sleep, until } from "../../support/until.ts";
import { memoryGrowth, processorShare, residentMemory, untilIdle } from "../../support/worker-load.ts";
import { type Attack, attacks, big } from "./attacks.ts";
import { asks, get, hold } from "./cases.ts";

const stage = openStage();
const MB = 1024 * 1024;
const GROWTH = 32 * MB;
/** The longest that a bystander may wait for a reply, in ms: this process makes the attack too. */
const SLOWEST = 1_000;
/** In ms; a client that stalls is given up after it. */
const STALL = 1_500;

let backend: RawBackend;
let front: Balanced;
let worker: number;

beforeAll(async () => {
  backend = await stage.backend(sayWhich);
  front = await stage.fairlead({ targets: [backend], listener: { timeouts: { client_header: `${STALL}ms`, client_body: `${STALL}ms`, client_idle: `${2 * STALL}ms` } } });
  worker = workersOf(front.fairlead)[0]!;
  // What a worker needs once (buffers, compiled code) is no growth.
  const client = await H2Client.connect(front.port);
  for (let stream = 1; stream < 2_000; stream += 2) {
    client.send(get(stream));
    if (stream % 100 === 99) await client.expect(reply(stream));
  }
  await client.expect(reply(1_999));
  client.destroy();
}, 30_000);

/** Asks again and again on a connection of its own. */
class Bystander {
  slowest = 0;
  served = 0;
  private going = true;
  private readonly asking: Promise<void>;

  constructor(port: number) {
    this.asking = this.ask(port);
    // Whoever stops it hears of it.
    this.asking.catch(() => {});
  }

  async stop(): Promise<void> {
    this.going = false;
    await this.asking;
  }

  private async ask(port: number): Promise<void> {
    const client = await H2Client.connect(port);
    for (let stream = 1; this.going || stream === 1; stream += 2) {
      const began = performance.now();
      client.send(get(stream, "/bystander"));
      await client.expect(reply(stream));
      this.slowest = Math.max(this.slowest, performance.now() - began);
      this.served++;
      await sleep(2);
    }
    client.destroy();
  }
}

/** Runs `act` under a bystander's eyes; what is left of it afterwards is nothing. */
async function unharmed(act: () => Promise<unknown>): Promise<void> {
  const bystander = new Bystander(front.port);
  const growth = await memoryGrowth(() => residentMemory(worker), async () => {
    try {
      await act();
    } finally {
      await bystander.stop();
    }
  });
  expect(bystander.slowest).toBeLessThan(SLOWEST);
  await untilIdle(worker);
  expect(growth).toBeLessThan(GROWTH);
  expect(workersOf(front.fairlead)).toEqual([worker]);
  const client = await H2Client.connect(front.port);
  client.send(get(1, "/bystander"));
  await client.expect(reply(1));
  client.destroy();
}

/** Connections of the back end on which a request of the attack came. */
let taken: BackendConnection[] = [];

/** The attack's own requests get what it wants, everybody else is answered. */
function arrange({ script = hold }: Pick<Attack, "script">): void {
  taken = [];
  backend.clear((request, connection) => {
    if (request.target === "/bystander") return sayWhich(request, connection);
    taken.push(connection);
    return script(request, connection);
  });
}

/** What was cancelled, or asked for by somebody who is gone, is cancelled at the back end too. */
function untilLeftAlone(): Promise<unknown> {
  return until("the back end's connections to be closed", () => taken.every((connection) => connection.peer !== "open"));
}

function isOver({ conversation, gone }: H2Client): boolean {
  return gone || conversation.goaways.some(({ code }) => code !== ErrorCode.NO_ERROR);
}

/** How many frames went out until the server had enough. */
async function make(attack: Attack, client: H2Client): Promise<number> {
  let sent = 0;
  if (attack.unread === true) client.connection.pause();
  client.send(...(attack.opening ?? []));
  for (let n = 0; sent < attack.most && !isOver(client); n++) {
    const volley = attack.volley(n);
    client.send(...volley);
    sent += volley.length;
    // What is not taken is not sent: a server that does not read defends itself too.
    for (let turns = 0; client.connection.socket.writableLength > 0 && turns < 200 && !client.gone; turns++) await sleep(1);
    await nextTurn();
  }
  return sent;
}

async function judge(attack: Attack, client: H2Client, sent: number): Promise<void> {
  if (attack.verdict === "stopped") {
    const over = await until("the end of it", () => isOver(client), 3_000).catch(() => false);
    if (!over) throw new Error(`not stopped within ${sent} frames; came: ${client.told()}`);
    await client.expect(closed);
  }
  const codes = new Set<number>([ErrorCode.ENHANCE_YOUR_CALM, ErrorCode.NO_ERROR, ...(attack.codes ?? [])]);
  expect(client.conversation.goaways.flatMap(({ code }) => (codes.has(code) ? [] : nameOfError(code)))).toEqual([]);
  expect(client.conversation.violation).toBeUndefined();
}

afterAll(async () => {
  expect(await processorShare(worker, 1_000)).toBeLessThan(0.2);
});

describe("an attack", () => {
  for (const attack of attacks) {
    test(`${attack.name} (${attack.source}) is ${attack.verdict}`, async () => {
      arrange(attack);
      await unharmed(async () => {
        const client = await H2Client.connect(front.port, { polite: false });
        try {
          const sent = await make(attack, client);
          client.connection.resume();
          await judge(attack, client, sent);
          const through = backend.requests.filter(({ target }) => target !== "/bystander");
          if (attack.through !== undefined) expect(through.length).toBeLessThanOrEqual(attack.through);
        } finally {
          client.destroy();
        }
        if (attack.script === undefined) await untilLeftAlone();
      });
    }, 30_000);
  }
});

describe("a client that does not go on", () => {
  /** Nothing more is sent; the connection must end in time. */
  async function givenUp(handshake: "none" | "full", frames: readonly Buffer[], latest = 2 * STALL): Promise<void> {
    const client = await H2Client.connect(front.port, { handshake, polite: true });
    client.send(...frames);
    await client.expect(closed, Math.round(latest * 1.1) + 500);
    client.destroy();
  }

  test("in the middle of the preface, of SETTINGS, of a frame, of a header block, or before its first request, is given up in time", async () => {
    arrange({});
    await unharmed(() =>
      Promise.all([
        givenUp("none", [PREFACE.subarray(0, 10)]),
        givenUp("none", [PREFACE]),
        givenUp("none", [PREFACE, settings([Setting.ENABLE_PUSH, 0]).subarray(0, 12)]),
        givenUp("full", [get(1).subarray(0, 20)]),
        givenUp("full", [headers(1, asks("GET"), unfinished)]),
        givenUp("full", []),
      ]),
    );
  }, 30_000);

  test("in the middle of a body has its stream ended, also while it does other things", async () => {
    arrange({});
    const client = await H2Client.connect(front.port);
    client.send(headers(1, asks("POST", "/stalled"), { endStream: false }));
    const began = performance.now();
    for (let stream = 3; performance.now() - began < 2 * STALL; stream += 2) {
      client.send(get(stream, "/bystander"));
      await client.expect(reply(stream));
      if (client.stream(1).ended || client.conversation.resets.has(1)) break;
      await sleep(50);
    }
    const { status, ended } = client.stream(1);
    expect((ended && status >= 400) || client.conversation.resets.has(1)).toBe(true);
    client.destroy();
  }, 30_000);

  /** 100 replies of 1 MB, on each of `connections`. */
  async function stalled(connections: number, opening: readonly Buffer[], reads: boolean): Promise<void> {
    arrange({ script: big });
    await unharmed(async () => {
      const clients = await Promise.all(Array.from({ length: connections }, () => H2Client.connect(front.port, { polite: reads })));
      for (const client of clients) {
        client.send(...opening);
        if (!reads) client.connection.pause();
        client.send(...Array.from({ length: 100 }, (_, i) => get(2 * i + 1, "/big")));
      }
      await until("the requests at the back end", () => backend.requests.filter(({ target }) => target === "/big").length === 100 * connections);
      await sleep(STALL * 1.5);
      for (const client of clients) client.connection.resume();
      for (const { conversation, ...client } of clients) {
        await until("the end of each stream", () => client.connection.peer !== "open" || [...conversation.streams.keys()].every((id) => conversation.resets.has(id)), STALL * 2);
        expect(conversation.violation).toBeUndefined();
        client.connection.destroy();
      }
      await untilLeftAlone();
    });
  }

  test("because it gives no window (rule 65) costs no more than its windows, and not for long", () => stalled(2, [settings([Setting.INITIAL_WINDOW_SIZE, 0])], true), 30_000);

  test("because it does not read (rule 64) costs no more than a few buffers, and not for long", () => stalled(2, [settings([Setting.INITIAL_WINDOW_SIZE, 1_000_000]), windowUpdate(0, 2 ** 31 - 1 - 65_535)], false), 30_000);
});

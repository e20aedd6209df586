/** Server-sent events: who gets what, and what a client may cost that does not read. */
import { afterEach, describe, expect, test } from "bun:test";
import { Api } from "../../src/admin/api.ts";
import { MAX_STREAMS, streamEndpoints, Streams } from "../../src/admin/stream.ts";
import { silentLog } from "../../src/observability/log.ts";
import { until, within } from "../support/until.ts";

/** With a client that does not read, in ms. */
const PATIENCE = 1_000;

/** A stream's sources as the test moves them, behind a real server. */
class Stage {
  overviews = 0;
  overview: unknown = { small: true };
  sampled: (() => void) | undefined = undefined;
  happened: ((event: { readonly id: number }) => void) | undefined = undefined;
  readonly past = [1, 2, 3, 4].map((id) => ({ id, kind: "past" }));
  readonly streams = new Streams({
    overview: () => {
      this.overviews++;
      return this.overview;
    },
    sampled: (tell) => {
      this.sampled = tell;
      return () => (this.sampled = undefined);
    },
    happened: (tell) => {
      this.happened = tell;
      return () => (this.happened = undefined);
    },
    missed: (after, limit) => this.past.filter(({ id }) => id > after).slice(-limit),
  }, PATIENCE);
  private readonly api = new Api(streamEndpoints(this.streams), () => undefined, silentLog());
  readonly server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request, server) => this.api.answer(request, (silence) => server.timeout(request, silence)) });
  private readonly clients: AbortController[] = [];

  async read(query = "", headers: Record<string, string> = {}): Promise<Reader> {
    const going = new AbortController();
    this.clients.push(going);
    const response = await fetch(`http://127.0.0.1:${this.server.port}/v1/stream${query}`, { headers, signal: going.signal });
    return new Reader(response, going);
  }

  /** A client that asks and never reads. */
  async deaf(): Promise<{ terminate(): void }> {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port: this.server.port!, socket: { data() {}, open: (opened) => void opened.write("GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") } });
    socket.pause();
    return socket;
  }

  async close(): Promise<void> {
    for (const client of this.clients) client.abort();
    await this.server.stop(true);
  }
}

class Reader {
  text = "";
  readonly response: Response;
  private readonly going: AbortController;
  ended = false;

  constructor(response: Response, going: AbortController) {
    this.response = response;
    this.going = going;
    void this.collect();
  }

  private async collect(): Promise<void> {
    try {
      const decoder = new TextDecoder();
      for await (const chunk of this.response.body!) this.text += decoder.decode(chunk as Uint8Array, { stream: true });
    } catch {
      // It was cut.
    }
    this.ended = true;
  }

  has(what: string): Promise<unknown> {
    return until(`"${what}" in the stream`, () => this.text.includes(what));
  }

  go(): void {
    this.going.abort();
  }
}

let stage = new Stage();
afterEach(async () => {
  await stage.close();
  stage = new Stage();
});

describe("a stream", () => {
  test("begins with the overview, and has another with each sample, made once for all", async () => {
    const [one, other] = [await stage.read(), await stage.read()];
    await one.has('event: overview\ndata: {"small":true}\n\n');
    await other.has("event: overview");
    expect(one.response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(one.response.headers.get("cache-control")).toBe("no-store");
    expect(stage.overviews).toBe(2);
    stage.overview = { second: true };
    stage.sampled!();
    await one.has('{"second":true}');
    await other.has('{"second":true}');
    expect(stage.overviews).toBe(3);
  });

  test("has each event, with its number, and those that were missed", async () => {
    const reader = await stage.read("?overview=false", { "Last-Event-ID": "2" });
    await reader.has('event: event\nid: 4\ndata: {"id":4,"kind":"past"}\n\n');
    expect(reader.text).toContain("id: 3\n");
    expect(reader.text).not.toContain("id: 2\n");
    stage.happened!({ id: 5 });
    await reader.has('event: event\nid: 5\ndata: {"id":5}\n\n');
    expect(reader.text).not.toContain("event: overview");
    const fresh = await stage.read();
    await fresh.has("event: overview");
    expect(fresh.text).not.toContain("event: event");
  });

  test("costs nothing when its client has gone", async () => {
    const reader = await stage.read();
    await reader.has("event: overview");
    reader.go();
    await until("the stream to be closed", () => stage.streams.count === 0);
    expect(stage.sampled).toBeUndefined();
    expect(stage.happened).toBeUndefined();
  });

  test("is one of so many at a time", async () => {
    const readers = await Promise.all(Array.from({ length: MAX_STREAMS }, () => stage.read()));
    expect(readers.every(({ response }) => response.status === 200)).toBe(true);
    const refused = await stage.read();
    expect(refused.response.status).toBe(503);
    await refused.has(`${MAX_STREAMS} streams are open already`);
    readers[0]!.go();
    await until("a free place", () => stage.streams.count === MAX_STREAMS - 1);
    expect((await stage.read()).response.status).toBe(200);
  });
});

describe("a client that does not read", () => {
  test("is told nothing more until it does, and costs what waits only", async () => {
    stage.overview = { text: "x".repeat(1_000_000) };
    const deaf = await stage.deaf();
    await until("the stream", () => stage.streams.count === 1);
    const before = process.memoryUsage().rss;
    // Far more than it could be sent: 400 MB.
    for (let each = 0; each < 400; each++) {
      stage.sampled!();
      await Bun.sleep(0);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000);
    // What the system took, and one that waits.
    expect(stage.overviews).toBeLessThan(30);
    expect(stage.streams.count).toBe(1);
    deaf.terminate();
    await until("the stream to be closed", () => stage.streams.count === 0);
  });

  test("is cut when it takes nothing for long", async () => {
    stage.overview = { text: "x".repeat(1_000_000) };
    const deaf = await stage.deaf();
    const reader = await stage.read();
    await until("the streams", () => stage.streams.count === 2);
    const began = performance.now();
    await until("the deaf one to be gone", async () => {
      const overviews = reader.text.split("event: overview").length;
      stage.sampled!();
      // The one that reads must not fall behind by this.
      await until("an overview", () => reader.text.split("event: overview").length > overviews);
      return stage.streams.count === 1;
    });
    expect(performance.now() - began).toBeGreaterThan(PATIENCE);
    expect(reader.ended).toBe(false);
    deaf.terminate();
  });

  test("is cut when more events wait than may", async () => {
    const deaf = await stage.deaf();
    const reader = await stage.read();
    await until("the streams", () => stage.streams.count === 2);
    let id = 0;
    await within("the cut", until("the deaf one to be gone", async () => {
      for (let each = 0; each < 20; each++) stage.happened!({ id: ++id, summary: "y".repeat(100_000) } as never);
      // The one that reads must not fall behind by this.
      await reader.has(`id: ${id}\n`);
      return stage.streams.count === 1;
    }, 15_000), 16_000);
    expect(reader.ended).toBe(false);
    deaf.terminate();
  });
});

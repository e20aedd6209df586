/** The PROXY protocol on the way in: the client is whom a trusted proxy names, wherever an address counts; one process for all of it. */
import { beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Message } from "../../support/messages.ts";
import { Fairlead, type LogLine } from "../../support/fairlead.ts";
import { alwaysName } from "../../support/names.ts";
import { needs } from "../../support/needs.ts";
import { freePort } from "../../support/ports.ts";
import { PP2, v1, v2, withChecksum } from "../../support/proxy-header.ts";
import type { RawBackend } from "../../support/raw-backend.ts";
import type { RawClient } from "../../support/raw-client.ts";
import type { RawServer } from "../../support/raw-server.ts";
import { openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const TIMEOUT = 400;

let fairlead: Fairlead;
let backend: RawBackend;
let echo: RawServer;
/** Ports of the listeners: from us the header is required, is not read, is required before tcp, before a hash over two targets. */
let required: number;
let unread: number;
let relay: number;
let hashed: number;
let unix: string;

beforeAll(async () => {
  backend = await stage.backend();
  echo = await stage.server();
  const two = await Promise.all([stage.backend(alwaysName("a")), stage.backend(alwaysName("b"))]);
  unix = join(stage.directory(), "front.sock");
  [required, unread, relay, hashed] = [await freePort(), await freePort(), await freePort(), await freePort()];
  fairlead = await Fairlead.start(`
workers = 1
log = { access = true }
[[listeners]]
name = "required"
address = "127.0.0.1:${required}"
upstream = "main"
max_clients_per_ip = 2
proxy_protocol = { from = ["192.0.2.0/24", "127.0.0.0/8"], timeout = "${TIMEOUT}ms", header_bytes = 600 }
forwarding = { forwarded = true, trusted_proxies = ["203.0.113.0/24"] }
[[listeners]]
name = "unread"
address = "127.0.0.1:${unread}"
upstream = "main"
proxy_protocol = { from = ["10.0.0.0/8"] }
[[listeners]]
name = "relay"
address = "127.0.0.1:${relay}"
protocol = "tcp"
upstream = "echo"
proxy_protocol = { from = ["::ffff:127.0.0.0/104"] }
[[listeners]]
name = "hashed"
address = "127.0.0.1:${hashed}"
upstream = "two"
proxy_protocol = { from = ["0.0.0.0/0", "::/0"] }
[[listeners]]
name = "unix"
address = "unix:${unix}"
upstream = "main"
proxy_protocol = { from = ["unix"] }
[[upstreams]]
name = "main"
targets = [{ address = "${backend.address}" }]
[[upstreams]]
name = "echo"
targets = [{ address = "${echo.address}" }]
[[upstreams]]
name = "two"
policy = "ip-hash"
targets = [{ address = "${two[0]!.address}" }, { address = "${two[1]!.address}" }]
`);
  stage.atEnd(() => fairlead.kill());
}, 30_000);

/** What the back end is told of the client of one request. */
async function told(header: string | Buffer, request = GET): Promise<Message> {
  backend.clear();
  const client = await stage.client(required);
  client.write(Buffer.concat([Buffer.from(header as string), Buffer.from(request)]));
  expect((await client.finalReply()).status).toBe(200);
  client.destroy();
  return backend.requests[0]!;
}

function refusal(from: number, cause: string): Promise<LogLine> {
  return fairlead.line(cause, (line) => line["cause"] === cause, from);
}

describe("a trusted proxy's header", () => {
  for (const [what, header, client] of [
    ["of version 1", v1("198.51.100.7", "198.51.100.1", 5000, 443), "198.51.100.7"],
    ["of version 1 with IPv6", v1("2001:db8::7", "2001:db8::1", 5000, 443), "2001:db8::7"],
    ["of version 1 with IPv4 in IPv6", v1("::ffff:198.51.100.8", "::ffff:198.51.100.1", 5000, 443), "198.51.100.8"],
    ["of version 1 that does not know", "PROXY UNKNOWN\r\n", "127.0.0.1"],
    ["of version 2", v2({ source: "198.51.100.7" }), "198.51.100.7"],
    ["of version 2 with IPv6", v2({ source: "2001:db8::7", destination: "2001:db8::1" }), "2001:db8::7"],
    ["of version 2 with TLVs and a checksum", withChecksum({ source: "198.51.100.9", tlvs: [[PP2.AUTHORITY, "b.test"], [PP2.NOOP, Buffer.alloc(500)]] }), "198.51.100.9"],
    ["of version 2 for itself", v2({ versionAndCommand: 0x20, familyAndTransport: 0 }), "127.0.0.1"],
  ] as const)
    test(`${what} names the client`, async () => {
      const request = await told(header);
      expect(request.header("x-forwarded-for")).toBe(client);
      expect(request.header("forwarded")).toMatch(client.includes(":") ? `for="[${client}]"` : `for=${client};`);
    });

  test("may come byte by byte", async () => {
    for (const header of [v1("198.51.100.7", "198.51.100.1", 5000, 443), withChecksum({ source: "198.51.100.7" })]) {
      backend.clear();
      const client = await stage.client(required);
      await client.bytewise(Buffer.concat([Buffer.from(header as string), Buffer.from(GET)]));
      expect((await client.finalReply()).status).toBe(200);
      expect(backend.requests[0]?.header("x-forwarded-for")).toBe("198.51.100.7");
      client.destroy();
    }
  });

  test("is for the whole connection, and is no part of a later request", async () => {
    backend.clear();
    const client = await stage.client(required);
    client.write(v1("198.51.100.7", "198.51.100.1", 5000, 443));
    for (let i = 0; i < 3; i++) await client.ask(GET);
    expect(backend.requests.map((request) => request.header("x-forwarded-for"))).toEqual(Array(3).fill("198.51.100.7"));
    client.write(v1("198.51.100.8", "198.51.100.1", 5000, 443));
    expect((await client.finalReply()).status).toBe(400);
  });

  test("decides whose X-Forwarded-For is believed", async () => {
    const chain = "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 10.1.1.1\r\n\r\n";
    expect((await told(v2({ source: "203.0.113.9" }), chain)).header("x-forwarded-for")).toBe("10.1.1.1, 203.0.113.9");
    expect((await told(v2({ source: "198.51.100.9" }), chain)).header("x-forwarded-for")).toBe("198.51.100.9");
  });

  test("is what the access log shows, with its port", async () => {
    await told(v2({ source: "2001:db8::77", destination: "::1", sourcePort: 4711 }));
    expect(await fairlead.line("an access line", ({ client }) => client === "[2001:db8::77]:4711")).toMatchObject({ msg: "access", status: 200, cause: "done" });
  });

  test("is what limits of one client count", async () => {
    const open = async (source: string): Promise<RawClient> => {
      const client = await stage.client(required);
      client.write(v2({ source }));
      return client;
    };
    const first = await open("198.51.100.20");
    const second = await open("198.51.100.20");
    for (const client of [first, second]) expect((await client.ask(GET)).status).toBe(200);
    const third = await open("::ffff:198.51.100.20");
    expect((await third.finalReply()).status).toBe(429);
    // Another client of the same proxy is another client.
    expect((await (await open("198.51.100.21")).ask(GET)).status).toBe(200);
    first.destroy();
    await until("a place to be free", async () => (await (await open("198.51.100.20")).ask(GET)).status === 200);
  });

  test("is what ip-hash goes by", async () => {
    const nameFor = async (source: string): Promise<string> => {
      const client = await stage.client(hashed);
      client.write(v2({ source }));
      const { text } = await client.ask(GET);
      client.destroy();
      return text.split(" ")[0]!;
    };
    const clients = Array.from({ length: 16 }, (_, i) => `198.51.100.${i}`);
    const first = await Promise.all(clients.map(nameFor));
    expect(new Set(first)).toEqual(new Set(["a", "b"]));
    expect(await Promise.all(clients.map((client) => nameFor(`::ffff:${client}`)))).toEqual(first);
  });

  test("comes before tcp too, and none of it goes on", async () => {
    const client = await stage.client(relay);
    client.write(`${v1("198.51.100.7", "198.51.100.1", 5000, 443)}hello`);
    await client.untilText("hello");
    client.end(" and bye");
    await client.untilPeerEnds();
    expect(client.receivedText).toBe("hello and bye");
    expect(await fairlead.line("an access line", (line) => line["method"] === "TCP" && line["client"] === "198.51.100.7:5000")).toMatchObject({ cause: "done" });
  });

  test("comes over unix sockets", async () => {
    backend.clear();
    const socket = connect(unix);
    socket.end(Buffer.concat([v2({ source: "198.51.100.30" }), Buffer.from("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")]));
    await backend.request();
    expect(backend.requests[0]?.header("x-forwarded-for")).toBe("198.51.100.30");
    socket.destroy();
  });

  test("followed at once by the end is followed by the end", async () => {
    const client = await stage.client(relay);
    client.end(v2());
    expect(await client.untilPeerEnds()).toBe("ended");
  });
});

describe("a trusted proxy without a good header is cut off:", () => {
  for (const [what, bytes] of [
    ["a request", GET],
    ["a malformed line", "PROXY TCP4 198.51.100.7 198.51.100.1 5000\r\n"],
    ["a wrong checksum", Buffer.concat([withChecksum({}).subarray(0, -1), Buffer.from([0])])],
    ["a header beyond header_bytes", v2({ tlvs: [[PP2.NOOP, Buffer.alloc(600)]] })],
    ["half a header and its end", v2().subarray(0, 20)],
  ] as const)
    test(what, async () => {
      backend.clear();
      const from = fairlead.log.length;
      const client = await stage.client(required);
      client.end(bytes);
      await client.untilPeerEnds();
      expect(await refusal(from, "bad-proxy-header")).toMatchObject({ listener: "required", client: expect.stringMatching(/^127\.0\.0\.1:\d+$/) });
      expect([client.receivedText, backend.requests.length]).toEqual(["", 0]);
    });

  test("nothing within the timeout", async () => {
    const from = fairlead.log.length;
    const began = performance.now();
    const client = await stage.client(required);
    client.write("PROXY TCP4 ");
    await client.untilPeerEnds();
    expect(performance.now() - began).toBeGreaterThanOrEqual(TIMEOUT - 50);
    await refusal(from, "proxy-header-timeout");
  });

  test("one that only looks whether somebody listens is not worth a line", async () => {
    const from = fairlead.log.length;
    const client = await stage.client(required);
    client.end();
    expect(await client.untilPeerEnds()).toBe("ended");
    await told(v2({ source: "198.51.100.40", sourcePort: 1 }));
    await fairlead.line("the access line after it", (line) => line["client"] === "198.51.100.40:1", from);
    expect(fairlead.log.slice(from).filter(({ cause }) => String(cause).includes("proxy"))).toEqual([]);
  });
});

describe("who is not trusted", () => {
  test("needs no header", async () => {
    backend.clear();
    expect((await (await stage.client(unread)).ask(GET)).status).toBe(200);
    expect(backend.requests[0]?.header("x-forwarded-for")).toBe("127.0.0.1");
  });

  test("sends with one what is no request", async () => {
    const client = await stage.client(unread);
    client.write(v1("198.51.100.7", "198.51.100.1", 5000, 443) + GET);
    expect((await client.finalReply()).status).toBe(400);
  });
});

needs("haproxy").describe("a real HAProxy", () => {
  test("in front is understood in both versions, with all that it can add", async () => {
    const [one, two, check] = [await freePort(), await freePort(), await freePort()];
    const file = join(stage.directory(), "haproxy.cfg");
    writeFileSync(
      file,
      `
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen one
  bind 127.0.0.1:${one}
  server s 127.0.0.1:${required} send-proxy
listen two
  bind 127.0.0.1:${two}
  unique-id-format %{+X}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
  server s 127.0.0.1:${required} send-proxy-v2 proxy-v2-options crc32c,unique-id
listen check
  bind 127.0.0.1:${check}
  mode tcp
  server s 127.0.0.1:${relay} send-proxy-v2 check inter 50ms check-send-proxy
`,
    );
    const haproxy = spawn("haproxy", ["-db", "-f", file], { stdio: "ignore" });
    stage.atEnd(() => haproxy.kill("SIGKILL"));
    const from = fairlead.log.length;
    for (const port of [one, two]) {
      await until("HAProxy to listen", () => stage.client(port).then((client) => (client.destroy(), true), () => false));
      backend.clear();
      const client = await stage.client(port);
      expect((await client.ask(GET)).status).toBe(200);
      const { localPort } = client.socket;
      await fairlead.line("the client's own address", (line) => line["client"] === `127.0.0.1:${localPort}`, from);
    }
    const client = await stage.client(check);
    client.write("through both");
    await client.untilText("through both");
    expect(fairlead.log.slice(from).filter(({ cause }) => String(cause).includes("proxy"))).toEqual([]);
  });
});

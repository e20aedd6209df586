/** TLS that ends at the targets: routed by the name that the client asks for, and not a byte of it touched; one process for all of it. */
import { beforeAll, describe, expect, test } from "bun:test";
import { connect as connectTcp } from "node:net";
import { connect, createServer, type TLSSocket } from "node:tls";
import { alpn, clientHello, extension, helloMessage, records, sni } from "../../support/client-hello.ts";
import { Authority } from "../../support/certificates.ts";
import { Fairlead, type LogLine } from "../../support/fairlead.ts";
import { freePort } from "../../support/ports.ts";
import { v1 } from "../../support/proxy-header.ts";
import type { RawServer } from "../../support/raw-server.ts";
import { curl } from "../../support/real-clients.ts";
import { openStage } from "../../support/stage.ts";
import { until, within } from "../../support/until.ts";

const stage = openStage();
const TIMEOUT = 500;
const HELLO_BYTES = 4_000;

let authority: Authority;
let fairlead: Fairlead;
/** Ports: routed to TLS servers; routed to a server that keeps what comes; behind a proxy; told apart by a policy. */
let front: number;
let raw: number;
let behind: number;
let policed: number;
let kept: RawServer;
let other: RawServer;

/** A server with a certificate for `name`, which says who it is and what it was told. */
async function tlsServer(name: string): Promise<string> {
  const { certificate, key } = await authority.issue({ names: [name] });
  const server = createServer({ cert: certificate, key, ALPNProtocols: ["h2", "http/1.1"] }, (socket) => {
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => void socket.end(`${name} got ${chunk.toString().split("\r\n")[0]}\n`));
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  stage.atEnd(() => server.close());
  return `127.0.0.1:${port}`;
}

beforeAll(async () => {
  authority = await Authority.create();
  const [a, wild, rest] = await Promise.all(["a.test", "wild.test", "rest.test"].map(tlsServer));
  kept = await stage.server(() => {});
  other = await stage.server(() => {});
  [front, raw, behind, policed] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const toml = `
workers = 1
log = { access = true }
timeouts = { tls_handshake = "${TIMEOUT}ms" }
limits = { client_hello_bytes = ${HELLO_BYTES} }
[[listeners]]
name = "front"
address = "127.0.0.1:${front}"
protocol = "tls-passthrough"
upstream = "rest"
[[listeners]]
name = "raw"
address = "127.0.0.1:${raw}"
protocol = "tls-passthrough"
max_clients_per_ip = 50
[[listeners]]
name = "behind"
address = "127.0.0.1:${behind}"
protocol = "tls-passthrough"
proxy_protocol = { from = ["127.0.0.1"] }
upstream = "kept"
[[listeners]]
name = "policed"
address = "127.0.0.1:${policed}"
protocol = "tls-passthrough"
upstream = "policed"
[[routes]]
listeners = ["front"]
hosts = ["a.test"]
upstream = "a"
[[routes]]
listeners = ["front"]
hosts = ["*.wild.test"]
upstream = "wild"
[[routes]]
listeners = ["raw"]
hosts = ["kept.test"]
upstream = "kept"
[[upstreams]]
name = "a"
targets = [{ address = "${a}" }]
[[upstreams]]
name = "wild"
targets = [{ address = "${wild}" }]
[[upstreams]]
name = "rest"
targets = [{ address = "${rest}" }]
[[upstreams]]
name = "kept"
targets = [{ address = "${kept.address}" }]
[[upstreams]]
name = "policed"
policy = "./by-name.ts"
targets = [{ address = "${other.address}" }, { address = "${kept.address}" }]
`;
  const policy = `export default () => ({ pick: (request, targets) => targets.find(({ name }) => (name === "${kept.address}") === (request.host === "kept.test" && request.protocol === "tcp")) });`;
  fairlead = await Fairlead.start(toml, { files: { "by-name.ts": policy } });
  stage.atEnd(() => fairlead.kill());
}, 30_000);

async function secured(servername: string | undefined, protocols: readonly string[] = []): Promise<TLSSocket> {
  const socket = connect({ port: front, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: [...protocols], ...(servername === undefined ? {} : { servername }) });
  stage.atEnd(() => socket.destroy());
  await within(`a handshake for ${servername}`, new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject)));
  return socket;
}

function subject(socket: TLSSocket): string {
  return String(socket.getPeerCertificate().subject.CN);
}

function refusal(from: number, cause: string): Promise<LogLine> {
  return fairlead.line(cause, (line) => line["cause"] === cause && line["msg"] === "Connection refused", from);
}

describe("a client is taken", () => {
  for (const [name, server] of [
    ["a.test", "a.test"],
    ["A.Test", "a.test"],
    ["x.wild.test", "wild.test"],
    ["y.x.wild.test", "wild.test"],
    ["wild.test", "rest.test"],
    ["other.test", "rest.test"],
    [undefined, "rest.test"],
  ] as const)
    test(`to ${server} for ${name ?? "no name"}`, async () => {
      const socket = await secured(name);
      expect(subject(socket)).toBe(server);
      socket.write("hello");
      const [answer] = await within("an answer", new Promise<Buffer[]>((resolve) => socket.once("data", (chunk: Buffer) => resolve([chunk]))));
      expect(answer!.toString()).toBe(`${server} got hello\n`);
    });

  test("with the protocol that it and its server agree on", async () => {
    expect((await secured("a.test", ["h2", "http/1.1"])).alpnProtocol).toBe("h2");
    expect((await secured("a.test", ["http/1.1"])).alpnProtocol).toBe("http/1.1");
  });

  test("by a policy that goes by its name", async () => {
    for (const [name, server] of [["kept.test", kept], ["none.test", other]] as const) {
      const before = server.connections.length;
      const client = await stage.client(policed);
      client.write(clientHello(sni(name)));
      await (await server.connection(before)).untilText("\u0016\u0003\u0001");
      client.reset();
      await fairlead.line("its line", ({ host, upstream }) => host === name && upstream === "policed");
    }
  });

  test("that shows an Encrypted ClientHello by the name that it shows: browsers send one to everybody", async () => {
    const before = kept.connections.length;
    const client = await stage.client(raw);
    const hello = clientHello(extension(0xfe0d, Buffer.alloc(250, 1)), sni("kept.test"));
    client.write(hello);
    await until("the hello", async () => (await kept.connection(before)).receivedLength === hello.length);
    client.destroy();
  });

  test("that is curl", async () => {
    const { stdout } = await curl("-k", "--http0.9", "--http1.1", "--resolve", `a.test:${front}:127.0.0.1`, "--max-time", "2", `https://a.test:${front}/`);
    expect(stdout).toBe("a.test got GET / HTTP/1.1\n");
  });
});

describe("every byte goes on as it came", () => {
  const message = helloMessage([sni("kept.test"), alpn("h2"), extension(21, Buffer.alloc(1_500))]);
  for (const [what, bytes] of [
    ["in one record", records(message)],
    ["in records of seven bytes", records(message, 7)],
    ["with more behind it", Buffer.concat([records(message), Buffer.from("garbage \0 \xff", "latin1")])],
  ] as const)
    test(what, async () => {
      const before = kept.connections.length;
      const client = await stage.client(raw);
      client.write(bytes);
      const inner = await kept.connection(before);
      await until("all of it", () => inner.receivedLength === bytes.length);
      expect(inner.received.equals(bytes)).toBe(true);
      inner.write("answer");
      await client.untilText("answer");
      client.end("more");
      await until("the end", () => inner.peer === "ended");
      expect(inner.received.equals(Buffer.concat([bytes, Buffer.from("more")]))).toBe(true);
      inner.end();
      await client.untilPeerEnds();
    });

  test("in segments of one byte", async () => {
    const bytes = records(helloMessage([sni("kept.test")]), 40);
    const before = kept.connections.length;
    const client = await stage.client(raw);
    await client.bytewise(bytes);
    const inner = await kept.connection(before);
    await until("all of it", () => inner.receivedLength === bytes.length);
    expect(inner.received.equals(bytes)).toBe(true);
    client.destroy();
  });

  test("behind a proxy whose header names the client, and stays here", async () => {
    const before = kept.connections.length;
    const bytes = clientHello(sni("behind.test"));
    const client = await stage.client(behind);
    client.write(Buffer.concat([Buffer.from(v1("198.51.100.7", "198.51.100.1", 5000, 443)), bytes]));
    const inner = await kept.connection(before);
    await until("all of it", () => inner.receivedLength === bytes.length);
    expect(inner.received.equals(bytes)).toBe(true);
    inner.end();
    client.end();
    expect(await fairlead.line("an access line", ({ host }) => host === "behind.test")).toMatchObject({ client: "198.51.100.7:5000", method: "TCP", upstream: "kept" });
  });
});

describe("closed, and the log says why:", () => {
  for (const [what, bytes, detail] of [
    ["a request in the clear", "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "not TLS"],
    ["a malformed hello", clientHello(sni("a.test", "b.test")), "more than one name in the ClientHello"],
    ["a hello over client_hello_bytes", clientHello(extension(21, Buffer.alloc(HELLO_BYTES))), `a ClientHello of more than ${HELLO_BYTES} bytes`],
    ["half a hello and its end", clientHello(sni("a.test")).subarray(0, 20), "it ended within the ClientHello"],
  ] as const)
    test(what, async () => {
      const from = fairlead.log.length;
      const client = await stage.client(front);
      client.end(bytes);
      await client.untilPeerEnds();
      expect(await refusal(from, "bad-client-hello")).toMatchObject({ detail, listener: "front" });
      expect(client.receivedText).toBe("");
    });

  test("nothing within the timeout", async () => {
    const from = fairlead.log.length;
    const began = performance.now();
    const client = await stage.client(front);
    client.write(clientHello(sni("a.test")).subarray(0, 20));
    await client.untilPeerEnds();
    expect(performance.now() - began).toBeGreaterThanOrEqual(TIMEOUT - 50);
    await refusal(from, "client-hello-timeout");
  });

  test("a name without a route where there is no default", async () => {
    const from = fairlead.log.length;
    const client = await stage.client(raw);
    client.write(clientHello(sni("nobody.test")));
    await client.untilPeerEnds();
    expect(await fairlead.line("no-route", ({ cause, msg }) => cause === "no-route" && msg === "access", from)).toMatchObject({ host: "nobody.test" });
  });

  test("one client too many of an address, before it has said anything", async () => {
    const from = fairlead.log.length;
    const sockets = Array.from({ length: 51 }, () => connectTcp(raw, "127.0.0.1").on("error", () => {}));
    await refusal(from, "too-many-connections-of-client");
    for (const socket of sockets) socket.destroy();
  });
});

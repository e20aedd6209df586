/** The PROXY protocol on the way out: each connection to a target begins with who the client is. One process for all of it. */
import { beforeAll, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { type ClientHttp2Session, connect as http2 } from "node:http2";
import { connect } from "node:net";
import { join } from "node:path";
import { Authority, pemFiles } from "../../support/certificates.ts";
import { clientHello, sni } from "../../support/client-hello.ts";
import { Fairlead } from "../../support/fairlead.ts";
import { needs } from "../../support/needs.ts";
import { freePort } from "../../support/ports.ts";
import { PP2, v1, v2, withChecksum } from "../../support/proxy-header.ts";
import type { RawBackend } from "../../support/raw-backend.ts";
import type { RawConnection } from "../../support/raw-connection.ts";
import type { RawServer } from "../../support/raw-server.ts";
import { openStage } from "../../support/stage.ts";
import { request, tlsExchange } from "../../support/tls-client.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

let fairlead: Fairlead;
/** Keeps what comes; answers each request that it sees in it; the same for checks. */
let kept: RawServer;
let web: RawServer;
let checked: RawServer;
/** Sees what a second Fairlead listener behind the first was told. */
let backend: RawBackend;
const ports: Record<string, number> = {};
let unix = "";

function answering({ socket }: RawConnection): void {
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    for (let end = 0; text.includes("GET ") && (end = text.indexOf("\r\n\r\n", text.indexOf("GET "))) >= 0; ) {
      text = text.slice(end + 4);
      socket.write(OK);
    }
  });
}

beforeAll(async () => {
  const authority = await Authority.create();
  kept = await stage.server(() => {});
  web = await stage.server(answering);
  checked = await stage.server(answering);
  backend = await stage.backend();
  unix = join(stage.directory(), "front.sock");
  for (const name of ["tcp1", "tcp2", "sealed", "ended", "behind", "web1", "web2", "chain", "chainTls", "hop", "hopTls", "h2", "failing", "none"]) ports[name] = await freePort();
  const tls = 'tls = { certificates = [{ certificate = "first.pem", key = "first.key" }] }';
  const listener = (name: string, upstream: string, more = ""): string => `[[listeners]]\nname = "${name}"\naddress = "127.0.0.1:${ports[name]}"\nupstream = "${upstream}"\n${more}\n`;
  const upstream = (name: string, address: string, more = ""): string => `[[upstreams]]\nname = "${name}"\n${more}\ntargets = [{ address = "${address}" }]\n`;
  const toml = [
    "workers = 1\nlog = { access = true }\n",
    listener("tcp1", "kept1", 'protocol = "tcp"'),
    listener("tcp2", "kept2", 'protocol = "tcp"'),
    listener("sealed", "kept2", 'protocol = "tls-passthrough"'),
    listener("ended", "kept2", `protocol = "tcp"\n${tls}`),
    listener("behind", "kept2", 'protocol = "tcp"\nproxy_protocol = { from = ["127.0.0.1"] }'),
    listener("web1", "web1"),
    listener("web2", "web2"),
    listener("chain", "hop"),
    listener("h2", "web2", tls),
    listener("chainTls", "hopTls", tls),
    listener("hop", "backend", 'proxy_protocol = { from = ["127.0.0.1"] }'),
    listener("hopTls", "backend", `proxy_protocol = { from = ["127.0.0.1"] }\n${tls}`),
    listener("failing", "backend"),
    ...Object.entries({ other: ports["hopTls"], refusing: ports["none"], closing: (await stage.server(({ socket }) => void socket.destroy())).port, plain: kept.port }).flatMap(([name, port]) => [
      `[[routes]]\nlisteners = ["failing"]\nhosts = ["${name}.test"]\nupstream = "${name}"\n`,
      upstream(name, `127.0.0.1:${port}`, 'proxy_protocol = "v2"\nretries = 0\noutlier_detection = false\ntimeouts = { connect = "300ms" }\ntls = { ca = "ca.pem", server_name = "other.test" }'),
    ]),
    `[[listeners]]\nname = "unix"\naddress = "unix:${unix}"\nprotocol = "tcp"\nupstream = "kept1"\n`,
    upstream("kept1", kept.address, 'proxy_protocol = "v1"'),
    upstream("kept2", kept.address, 'proxy_protocol = "v2"'),
    upstream("web1", web.address, 'proxy_protocol = "v1"'),
    upstream("web2", web.address, 'proxy_protocol = "v2"'),
    upstream("hop", `127.0.0.1:${ports["hop"]}`, 'proxy_protocol = "v2"'),
    upstream("hopTls", `127.0.0.1:${ports["hopTls"]}`, 'proxy_protocol = "v2"\ntls = { ca = "ca.pem", server_name = "first.test" }\nhealth_check = { type = "http", interval = "100ms", path = "/check" }'),
    upstream("backend", backend.address),
    upstream("checked1", checked.address, 'proxy_protocol = "v1"\nhealth_check = { type = "http", interval = "100ms", path = "/one" }'),
    upstream("checked2", checked.address, 'proxy_protocol = "v2"\nhealth_check = { type = "http", interval = "100ms", path = "/two" }'),
    upstream("checked3", `127.0.0.1:${ports["none"]}`, `proxy_protocol = "v1"\nhealth_check = { type = "http", interval = "100ms", path = "/three", port = ${checked.port} }`),
    '[[routes]]\nlisteners = ["web1"]\nhosts = ["c1.test"]\nupstream = "checked1"\n[[routes]]\nlisteners = ["web1"]\nhosts = ["c2.test"]\nupstream = "checked2"\n[[routes]]\nlisteners = ["web1"]\nhosts = ["c3.test"]\nupstream = "checked3"\n',
  ].join("");
  fairlead = await Fairlead.start(toml, { files: { ...pemFiles({ first: await authority.issue({ names: ["first.test"] }) }), "ca.pem": authority.pem } });
  stage.atEnd(() => fairlead.kill());
}, 30_000);

/** A client that says something to a listener, and what the target got. */
async function heard(name: string, bytes: Buffer | string): Promise<{ readonly port: number; readonly inner: RawConnection }> {
  const before = kept.connections.length;
  const client = await stage.client(ports[name]!);
  const port = client.socket.localPort!;
  client.write(bytes);
  return { port, inner: await kept.connection(before) };
}

async function equal(inner: RawConnection, expected: Buffer): Promise<void> {
  await until("all of it", () => inner.receivedLength >= expected.length);
  expect(inner.received.toString("latin1")).toBe(expected.toString("latin1"));
}

describe("a connection to a target begins with", () => {
  test("the client and what it connected to, in version 1", async () => {
    const { port, inner } = await heard("tcp1", "hello");
    await equal(inner, Buffer.from(`${v1("127.0.0.1", "127.0.0.1", port, ports["tcp1"]!)}hello`));
  });

  test("the same in version 2, with a checksum", async () => {
    const { port, inner } = await heard("tcp2", "hello");
    await equal(inner, Buffer.concat([withChecksum({ source: "127.0.0.1", destination: "127.0.0.1", sourcePort: port, destinationPort: ports["tcp2"]! }), Buffer.from("hello")]));
  });

  test("the name that the client asks for, before TLS that goes on", async () => {
    const hello = clientHello(sni("sealed.test"));
    const { port, inner } = await heard("sealed", hello);
    await equal(inner, Buffer.concat([withChecksum({ source: "127.0.0.1", destination: "127.0.0.1", sourcePort: port, destinationPort: ports["sealed"]!, tlvs: [[PP2.AUTHORITY, "sealed.test"]] }), hello]));
  });

  test("the name that it asked for in TLS that ended here", async () => {
    const before = kept.connections.length;
    void tlsExchange(ports["ended"]!, { servername: "first.test" }, "hello");
    const inner = await kept.connection(before);
    await inner.untilText("hello");
    expect(inner.receivedText).toContain("\u0002\0\nfirst.test");
    inner.end();
  });

  test("whom a proxy before us named, and its name for the connection", async () => {
    const before = { source: "2001:db8::7", destination: "2001:db8::1", sourcePort: 1, destinationPort: 2, tlvs: [[PP2.ALPN, "h2"], [PP2.AUTHORITY, "a.test"], [PP2.UNIQUE_ID, "id-1"]] } as const;
    const { inner } = await heard("behind", Buffer.concat([v2(before), Buffer.from("hello")]));
    await equal(inner, Buffer.concat([withChecksum(before), Buffer.from("hello")]));
  });

  test("nothing but that it is a connection, of a client of a unix socket", async () => {
    const before = kept.connections.length;
    const socket = connect(unix);
    stage.atEnd(() => socket.destroy());
    socket.write("hello");
    await equal(await kept.connection(before), Buffer.from("PROXY UNKNOWN\r\nhello"));
  });
});

describe("connections of http upstreams", () => {
  for (const [name, header] of [
    ["web1", (port: number) => Buffer.from(v1("127.0.0.1", "127.0.0.1", port, ports["web1"]!))],
    ["web2", (port: number) => withChecksum({ source: "127.0.0.1", destination: "127.0.0.1", sourcePort: port, destinationPort: ports["web2"]! })],
  ] as const)
    test(`(${name}) are one client's, for all of its requests`, async () => {
      const before = web.connections.length;
      const clients = [await stage.client(ports[name]!), await stage.client(ports[name]!)];
      for (let i = 0; i < 3; i++) for (const client of clients) expect((await client.ask(GET)).status).toBe(200);
      const opened = web.connections.slice(before);
      expect(opened.length).toBe(2);
      for (const [i, { received }] of opened.entries()) {
        const expected = header(clients[i]!.socket.localPort!);
        expect(received.subarray(0, expected.length).equals(expected)).toBe(true);
        expect(received.toString("latin1").split("GET / ").length).toBe(4);
      }
      // And end with it.
      for (const client of clients) client.destroy();
      await until("their end", () => opened.every(({ peer }) => peer !== "open"));
    });

  test("of a client of HTTP/2 are its own too: one after another its requests share one", async () => {
    const before = web.connections.length;
    const sessions = [1, 2].map(() => http2(`https://127.0.0.1:${ports["h2"]}`, { rejectUnauthorized: false, servername: "first.test" }));
    const ask = (session: ClientHttp2Session): Promise<number> =>
      new Promise((resolve, reject) => {
        const stream = session.request({ ":path": "/" });
        let status = 0;
        stream.on("response", (headers) => (status = Number(headers[":status"])));
        stream.on("error", reject).on("end", () => resolve(status)).resume().end();
      });
    for (let i = 0; i < 3; i++) for (const session of sessions) expect(await ask(session)).toBe(200);
    const opened = web.connections.slice(before);
    expect(opened.length).toBe(2);
    for (const { received } of opened) expect(received.includes("\u0001\0\u0002h2\u0002\0\nfirst.test")).toBe(true);
    for (const session of sessions) session.destroy();
    await until("their end", () => opened.every(({ peer }) => peer !== "open"));
  });

  test("that a target has ended are replaced", async () => {
    const before = web.connections.length;
    const client = await stage.client(ports["web1"]!);
    expect((await client.ask(GET)).status).toBe(200);
    const first = await web.connection(before);
    first.end();
    await until("its end", () => first.closed);
    expect((await client.ask(GET)).status).toBe(200);
    expect((await web.connection(before + 1)).receivedText).toStartWith(v1("127.0.0.1", "127.0.0.1", client.socket.localPort!, ports["web1"]!));
  });

  test("are understood by a listener of our own, in the clear and before TLS", async () => {
    backend.clear();
    const client = await stage.client(ports["chain"]!);
    for (let i = 0; i < 3; i++) expect((await client.ask(GET)).status).toBe(200);
    await fairlead.line("the second hop", ({ client: who, target }) => who === `127.0.0.1:${client.socket.localPort}` && target === backend.address);
    for (let i = 0; i < 3; i++) expect((await tlsExchange(ports["chainTls"]!, { servername: "first.test" }, request("/sealed"))).received).toEndWith("GET /sealed");
    expect(fairlead.log.filter(({ cause }) => String(cause).startsWith("tls") || String(cause).includes("proxy"))).toEqual([]);
  });
});

describe("TLS behind a header that is sent", () => {
  for (const [name, cause] of [
    ["other", "tls-verify-failed"],
    ["refusing", "connect-refused"],
    ["closing", "tls-connect-failed"],
    ["plain", "connect-timeout"],
  ] as const)
    test(`fails as it does elsewhere: ${cause}`, async () => {
      const from = fairlead.log.length;
      const client = await stage.client(ports["failing"]!);
      const { status } = await client.ask(`GET /${name} HTTP/1.1\r\nHost: ${name}.test\r\n\r\n`);
      expect(status).toBe(name === "plain" ? 504 : 502);
      expect(await fairlead.line("its cause", ({ msg, path }) => msg === "access" && path === `/${name}`, from)).toMatchObject({ cause });
    });
});

describe("health checks", () => {
  test("say that they are our own, unless they go to another port", async () => {
    const one = await until("version 1", () => checked.connections.find(({ receivedText }) => receivedText.includes("GET /one ")));
    expect(one.receivedText).toStartWith("PROXY UNKNOWN\r\nGET /one ");
    const two = await until("version 2", () => checked.connections.find(({ receivedText }) => receivedText.includes("GET /two ")));
    expect(two.received.subarray(0, 16)).toEqual(v2({ versionAndCommand: 0x20, familyAndTransport: 0 }));
    const three = await until("another port", () => checked.connections.find(({ receivedText }) => receivedText.includes("GET /three ")));
    expect(three.receivedText).toStartWith("GET /three ");
    // Through TLS too: the hop behind counts our own connection as its client.
    await until("a check at the back end", () => backend.requests.some(({ target }) => target === "/check"));
  });
});

needs("haproxy").describe("a real HAProxy behind", () => {
  test("understands both versions, and finds the checksum right", async () => {
    const port = await freePort();
    const file = join(stage.directory(), "haproxy.cfg");
    writeFileSync(file, `defaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\nfrontend front\n  bind 127.0.0.1:${port} accept-proxy\n  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst_port] %[fc_pp_authority]"\n`);
    const haproxy = spawn("haproxy", ["-db", "-f", file], { stdio: "ignore" });
    stage.atEnd(() => haproxy.kill("SIGKILL"));
    await until("HAProxy to listen", () => stage.client(port).then((client) => (client.destroy(), true), () => false));
    // A tcp listener, so that what HAProxy answers comes back as it is.
    for (const [version, before, expected] of [
      ["v1", "", (own: number, to: number) => `127.0.0.1 ${own} ${to} `],
      ["v2", v2({ source: "198.51.100.7", tlvs: [[PP2.AUTHORITY, "a.test"]] }), () => "198.51.100.7 5000 443 a.test"],
    ] as const) {
      const front = await stage.fairlead({ targets: [`127.0.0.1:${port}`], listener: { protocol: "tcp", ...(before === "" ? {} : { proxy_protocol: { from: ["127.0.0.1"] } }) }, upstream: { proxy_protocol: version } });
      const client = await stage.client(front);
      client.write(before);
      const answer = await client.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
      expect(answer.text).toBe(expected(client.socket.localPort!, front.port));
    }
  });
});

/** The PROXY protocol before TLS that ends here: the header is read and not a byte beyond it, however the two come. One process for all of it. */
import { beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { connect as http2 } from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { Duplex } from "node:stream";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { Authority, pemFiles } from "../../support/certificates.ts";
import { Fairlead, type LogLine } from "../../support/fairlead.ts";
import { needs } from "../../support/needs.ts";
import { freePort } from "../../support/ports.ts";
import { workersOf } from "../../support/processes.ts";
import { PP2, v1, v2, withChecksum } from "../../support/proxy-header.ts";
import type { RawBackend } from "../../support/raw-backend.ts";
import type { RawServer } from "../../support/raw-server.ts";
import { openStage } from "../../support/stage.ts";
import { request, tlsExchange } from "../../support/tls-client.ts";
import { sleep, until, within } from "../../support/until.ts";

const stage = openStage();
let fairlead: Fairlead;
let backend: RawBackend;
let echo: RawServer;
let [web, relay, unread] = [0, 0, 0];
let text = "";

beforeAll(async () => {
  const authority = await Authority.create();
  backend = await stage.backend();
  echo = await stage.server();
  [web, relay, unread] = [await freePort(), await freePort(), await freePort()];
  const files = pemFiles({ first: await authority.issue({ names: ["first.test"] }), second: await authority.issue({ names: ["second.test"] }) });
  const tls = 'tls = { certificates = [{ certificate = "first.pem", key = "first.key" }, { certificate = "second.pem", key = "second.key" }] }';
  text = `
workers = 1
log = { access = true }
timeouts = { tls_handshake = "1500ms" }
[[listeners]]
name = "web"
address = "127.0.0.1:${web}"
upstream = "main"
max_clients_per_ip = 2
proxy_protocol = { from = ["127.0.0.0/8"], timeout = "1500ms" }
${tls}
[[listeners]]
name = "relay"
address = "127.0.0.1:${relay}"
protocol = "tcp"
upstream = "echo"
proxy_protocol = { from = ["127.0.0.0/8"] }
${tls}
[[listeners]]
name = "unread"
address = "127.0.0.1:${unread}"
upstream = "main"
proxy_protocol = { from = ["10.0.0.0/8"] }
${tls}
[[upstreams]]
name = "main"
targets = [{ address = "${backend.address}" }]
[[upstreams]]
name = "echo"
targets = [{ address = "${echo.address}" }]
`;
  fairlead = await Fairlead.start(text, { files });
  stage.atEnd(() => fairlead.kill());
}, 30_000);

/** How header and ClientHello leave. */
type Sending = "together" | "apart" | "bytewise";

/** TLS behind a header. */
async function secured(port: number, header: string | Buffer, sending: Sending = "together", options: ConnectionOptions = {}): Promise<TLSSocket> {
  const bytes = Buffer.from(header as string);
  const tcp: Socket = connectTcp(port, "127.0.0.1").setNoDelay(true);
  stage.atEnd(() => tcp.destroy());
  let first = true;
  const through = new Duplex({
    read() {},
    async write(chunk: Buffer, _encoding, done) {
      const before = first;
      first = false;
      if (!before) tcp.write(chunk);
      else if (sending === "together") tcp.write(Buffer.concat([bytes, chunk]));
      else {
        for (const part of sending === "apart" ? [bytes] : Array.from(bytes, (byte) => Buffer.from([byte]))) {
          tcp.write(part);
          await sleep(1);
        }
        tcp.write(chunk);
      }
      done();
    },
    final(done) {
      tcp.end();
      done();
    },
    destroy(_error, done) {
      tcp.resetAndDestroy();
      done(null);
    },
  });
  tcp.on("data", (chunk: Buffer) => through.push(chunk)).on("end", () => through.push(null)).on("error", (error) => through.destroy(error));
  const socket = connect({ socket: through, rejectUnauthorized: false, ...options });
  await within("a handshake", new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", resolve).once("error", reject);
    tcp.once("close", () => reject(new Error("closed")));
  }));
  return socket;
}

async function read(socket: TLSSocket, enough: (text: string) => boolean): Promise<string> {
  let all = "";
  socket.on("data", (chunk: Buffer) => (all += chunk.toString("latin1")));
  await until("the answer", () => enough(all));
  return all;
}

async function ask(port: number, header: string | Buffer, sending?: Sending, options?: ConnectionOptions): Promise<string> {
  const socket = await secured(port, header, sending, options);
  socket.write(request("/x"));
  const answer = await read(socket, (all) => all.endsWith("GET /x"));
  socket.destroy();
  return answer;
}

function refusal(from: number, cause: string): Promise<LogLine> {
  return fairlead.line(cause, (line) => line["cause"] === cause, from);
}

describe("a header before TLS names the client", () => {
  for (const sending of ["together", "apart", "bytewise"] as const) {
    for (const [version, header] of [["1", v1("198.51.100.7", "198.51.100.1", 5000, 443)], ["2", withChecksum({ source: "198.51.100.7", tlvs: [[PP2.NOOP, Buffer.alloc(100)]] })]] as const)
      test(`when header (version ${version}) and hello come ${sending}`, async () => {
        backend.clear();
        await ask(web, header, sending);
        expect(["x-forwarded-for", "x-forwarded-proto"].map((name) => backend.requests[0]!.header(name))).toEqual(["198.51.100.7", "https"]);
        await fairlead.line("an access line", ({ client }) => client === "198.51.100.7:5000");
      });
  }

  test("and the name that it asks for still chooses the certificate, ALPN the protocol", async () => {
    for (const servername of ["first.test", "second.test"]) {
      const socket = await secured(web, v2({ source: "198.51.100.8" }), "together", { servername, ALPNProtocols: ["x", "http/1.1"] });
      expect([socket.getPeerCertificate().subject.CN, socket.alpnProtocol]).toEqual([servername, "http/1.1"]);
      socket.destroy();
    }
  });

  test("who may have so many connections", async () => {
    const [first, second] = [await secured(web, v2({ source: "198.51.100.9" })), await secured(web, v2({ source: "198.51.100.9" }))];
    const from = fairlead.log.length;
    const third = await secured(web, v2({ source: "198.51.100.9" })).catch(String);
    expect(third).toContain("closed");
    await refusal(from, "too-many-connections-of-client");
    await ask(web, v2({ source: "198.51.100.10" }));
    for (const socket of [first, second]) socket.destroy();
  });

  test("over HTTP/2 too", async () => {
    backend.clear();
    const socket = await secured(web, v2({ source: "198.51.100.17" }), "together", { servername: "first.test", ALPNProtocols: ["h2"] });
    expect(socket.alpnProtocol).toBe("h2");
    const session = http2("https://first.test", { createConnection: () => socket });
    const stream = session.request({ ":path": "/h2" });
    await within("the reply", new Promise((resolve, reject) => stream.on("end", resolve).on("error", reject).resume().end()));
    expect(["x-forwarded-for", "x-forwarded-proto"].map((name) => backend.requests[0]!.header(name))).toEqual(["198.51.100.17", "https"]);
    session.destroy();
    await fairlead.line("an access line", ({ client }) => client === "198.51.100.17:5000");
  });

  test("of a tcp listener too", async () => {
    const socket = await secured(relay, v1("198.51.100.11", "198.51.100.1", 5000, 443));
    socket.write("hello");
    expect(await read(socket, (all) => all === "hello")).toBe("hello");
    socket.destroy();
    await fairlead.line("an access line", (line) => line["method"] === "TCP" && line["client"] === "198.51.100.11:5000");
  });
});

describe("behind it TLS is as it is elsewhere:", () => {
  test("5 MB each way, changed in nothing", async () => {
    const bytes = Buffer.alloc(5_000_000);
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 7 + (i >> 9)) & 0xff;
    const socket = await secured(relay, v2());
    const hash = createHash("sha256");
    let length = 0;
    socket.on("data", (chunk: Buffer) => {
      length += chunk.length;
      hash.update(chunk);
    });
    socket.write(bytes);
    await until("all of it to be back", () => length === bytes.length, 15_000);
    expect(hash.digest("hex")).toBe(createHash("sha256").update(bytes).digest("hex"));
    socket.destroy();
  }, 30_000);

  test("request after request on one connection", async () => {
    backend.clear();
    const socket = await secured(web, v2({ source: "198.51.100.12" }));
    for (let i = 1; i <= 3; i++) {
      const answer = read(socket, (all) => all.endsWith("GET /x"));
      socket.write("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
      await answer;
      expect(backend.requests.length).toBe(i);
    }
    expect(backend.requests.map((each) => each.header("x-forwarded-for"))).toEqual(Array(3).fill("198.51.100.12"));
    socket.destroy();
  });

  test("the end of one side", async () => {
    const socket = await secured(web, v2({ source: "198.51.100.13" }));
    let ended = false;
    socket.on("end", () => (ended = true));
    socket.write(request());
    await read(socket, (all) => all.endsWith("GET /"));
    await until("the end", () => ended);
    socket.end();
  });
});

describe("closed, and the log says why:", () => {
  test("TLS without a header", async () => {
    const from = fairlead.log.length;
    expect((await tlsExchange(web, {})).server).toBe("");
    expect(await refusal(from, "bad-proxy-header")).toMatchObject({ listener: "web", detail: "no PROXY protocol header" });
  });

  test("half a header, and no more", async () => {
    const from = fairlead.log.length;
    const client = await stage.client(web);
    client.write(v2().subarray(0, 20));
    await client.untilPeerEnds();
    await refusal(from, "proxy-header-timeout");
  });

  test("a header, and no TLS", async () => {
    const from = fairlead.log.length;
    const client = await stage.client(web);
    client.write(v2({ source: "198.51.100.14" }));
    await client.untilPeerEnds();
    expect(await refusal(from, "tls-handshake-timeout")).toMatchObject({ client: "198.51.100.14:5000" });
  });

  test("a header, and a request in the clear", async () => {
    const from = fairlead.log.length;
    const client = await stage.client(web);
    client.write(Buffer.concat([v2({ source: "198.51.100.15" }), Buffer.from(request())]));
    await client.untilPeerEnds();
    expect(await refusal(from, "tls-handshake-failed")).toMatchObject({ client: "198.51.100.15:5000" });
  });
});

test("who is not trusted begins with TLS", async () => {
  backend.clear();
  const { received, server } = await tlsExchange(unread, { servername: "second.test" }, request("/y"));
  expect([server, received.endsWith("GET /y"), backend.requests[0]?.header("x-forwarded-for")]).toEqual(["second.test", true, "127.0.0.1"]);
});

needs("haproxy").describe("a real HAProxy in front", () => {
  test("that passes TLS on", async () => {
    const port = await freePort();
    const file = join(stage.directory(), "haproxy.cfg");
    writeFileSync(file, `defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\nlisten front\n  bind 127.0.0.1:${port}\n  server s 127.0.0.1:${web} send-proxy-v2\n`);
    const haproxy = spawn("haproxy", ["-db", "-f", file], { stdio: "ignore" });
    stage.atEnd(() => haproxy.kill("SIGKILL"));
    await until("HAProxy to listen", () => stage.client(port).then((client) => (client.destroy(), true), () => false));
    const from = fairlead.log.length;
    for (let i = 0; i < 20; i++) expect((await tlsExchange(port, { servername: "second.test" }, request("/z"))).received).toEndWith("GET /z");
    expect(fairlead.log.slice(from).filter(({ cause }) => String(cause).includes("proxy"))).toEqual([]);
  });
});

test("a reload takes the header away from TLS and brings it back", async () => {
  const plain = text.replace('proxy_protocol = { from = ["127.0.0.0/8"], timeout = "1500ms" }\n', "");
  for (const [config, generation] of [[plain, 2], [text, 3]] as const) {
    await writeFile(join(fairlead.directory, "fairlead.toml"), config);
    fairlead.signal("SIGHUP");
    await fairlead.line("the reload", (line) => line["msg"] === "Reload applied" && line["generation"] === generation);
    if (config === plain) expect((await tlsExchange(web, {}, request("/plain"))).received).toEndWith("GET /plain");
    else await ask(web, v2({ source: "198.51.100.16" }));
  }
}, 30_000);

test("when all have gone, no socket is left", async () => {
  const sockets = (): number => readdirSync(`/proc/${workersOf(fairlead)[0]}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${workersOf(fairlead)[0]}/fd/${fd}`).startsWith("socket:");
    } catch {
      return false;
    }
  }).length;
  const open = await Promise.all(Array.from({ length: 20 }, (_, i) => secured(relay, v2({ source: `198.51.100.${i}` }))));
  for (const socket of open) {
    const answer = read(socket, (all) => all === "x");
    socket.write("x");
    await answer;
  }
  const most = sockets();
  for (const [i, socket] of open.entries()) if (i % 2 === 0) socket.destroy(); else socket.end();
  await until("their end", () => sockets() <= most - 40);
});

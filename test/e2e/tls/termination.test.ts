/** TLS that ends at a listener: which certificate, which protocol, which version, and what comes of handshakes that fail. */
import { beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect as connectH2 } from "node:http2";
import { connect } from "node:net";
import { Authority, pemFiles } from "../../support/certificates.ts";
import { Fairlead } from "../../support/fairlead.ts";
import { freePort } from "../../support/ports.ts";
import { type RawBackend, reply } from "../../support/raw-backend.ts";
import { openStage } from "../../support/stage.ts";
import { request, tlsExchange } from "../../support/tls-client.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
let fairlead: Fairlead;
let backend: RawBackend;
let ca: string;
let [web, modern, raw] = [0, 0, 0];

beforeAll(async () => {
  const root = await Authority.create();
  const authority = await root.intermediate("Test CA 2");
  ca = root.pem;
  backend = await stage.backend();
  [web, modern, raw] = [await freePort(), await freePort(), await freePort()];
  const files = pemFiles({ first: await authority.issue({ names: ["first.test", "127.0.0.1"] }), exact: await authority.issue({ names: ["exact.test", "xn--bcher-kva.test"] }), wild: await authority.issue({ names: ["*.wild.test"] }) });
  const certificates = ["first", "exact", "wild"].map((name) => `[[listeners.tls.certificates]]\ncertificate = "${name}.pem"\nkey = "${name}.key"\n`).join("");
  fairlead = await Fairlead.start(
    `workers = 1
[[listeners]]
name = "web"
address = "127.0.0.1:${web}"
upstream = "main"
forwarding = { forwarded = true }
max_clients = 20
timeouts = { tls_handshake = "600ms" }
${certificates}
[[listeners]]
name = "modern"
address = "127.0.0.1:${modern}"
upstream = "main"
tls = { min_version = "1.3", certificates = [{ certificate = "first.pem", key = "first.key" }] }
[[listeners]]
name = "raw"
address = "127.0.0.1:${raw}"
protocol = "tcp"
upstream = "main"
tls = { max_version = "1.2", ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384", alpn = ["two", "one"], certificates = [{ certificate = "first.pem", key = "first.key" }] }
[[upstreams]]
name = "main"
targets = [{ address = "${backend.address}" }]
`,
    { files },
  );
  stage.atEnd(() => fairlead.kill());
}, 30_000);

describe("the certificate", () => {
  test("is chosen by the exact name, then by a wildcard of one label, else it is the first", async () => {
    const asked = { "exact.test": "exact.test", "EXACT.Test": "exact.test", "exact.test.": "exact.test", "xn--bcher-kva.test": "exact.test", "a.wild.test": "*.wild.test", "wild.test": "first.test", "a.b.wild.test": "first.test", "other.test": "first.test", "first.test": "first.test" };
    for (const [servername, server] of Object.entries(asked)) expect({ servername, server: (await tlsExchange(web, { servername })).server }).toEqual({ servername, server });
  });

  test("of a client that names nobody is the first, with what chains it up to its authority", async () => {
    const { server, error } = await tlsExchange(web, { ca, rejectUnauthorized: true });
    expect({ server, error }).toEqual({ server: "first.test", error: "" });
  });
});

describe("a request over TLS", () => {
  test("reaches the target in the clear, which is told that it came by https", async () => {
    backend.clear((message, connection) => connection.write(reply(200, message.target)));
    const { received } = await tlsExchange(web, {}, request("/secret", "exact.test"));
    expect(received).toEndWith("/secret");
    const [message] = backend.requests;
    expect(message!.headers("x-forwarded-proto")).toEqual(["https"]);
    expect(message!.header("forwarded")).toContain("proto=https");
    expect(message!.headers("x-forwarded-for")).toEqual(["127.0.0.1"]);
  });

  test("may follow another on the same connection", async () => {
    backend.clear((message, connection) => connection.write(reply(200, `[${message.target}]`)));
    const { received } = await tlsExchange(web, {}, `GET /1 HTTP/1.1\r\nHost: a\r\n\r\n${request("/2")}`);
    expect(received.match(/\[.*?\]/g)).toEqual(["[/1]", "[/2]"]);
  });
});

/** One request over HTTP/2: status and text. */
async function askH2(path: string): Promise<[number, string]> {
  const session = connectH2(`https://127.0.0.1:${web}`, { ca, servername: "first.test" });
  try {
    const stream = session.request({ ":path": path, ":authority": "first.test" });
    let text = "";
    stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    const [headers] = (await Promise.all([once(stream, "response"), once(stream, "end")]))[0] as [Record<string, unknown>];
    return [Number(headers[":status"]), text];
  } finally {
    session.destroy();
  }
}

describe("protocol and version", () => {
  test("h2 is spoken with whom it was chosen", async () => {
    backend.clear((message, connection) => connection.write(reply(200, message.target)));
    expect(await askH2("/h2")).toEqual([200, "/h2"]);
    expect(backend.requests[0]!.headers("x-forwarded-proto")).toEqual(["https"]);
  });

  test("http listeners choose h2, then http/1.1, and refuse who speaks nothing that they speak", async () => {
    expect((await tlsExchange(web, { ALPNProtocols: ["http/1.1", "h2"] }, "")).alpn).toBe("h2");
    expect((await tlsExchange(web, { ALPNProtocols: ["spdy/1", "http/1.1"] })).alpn).toBe("http/1.1");
    expect((await tlsExchange(web, {})).alpn).toBe("");
    const { server, error } = await tlsExchange(web, { ALPNProtocols: ["imap"] });
    expect(server).toBe("");
    expect(error).not.toBe("");
  });

  test("tcp listeners choose by their own order, and end TLS for the target", async () => {
    backend.clear((message, connection) => connection.end(reply(200, message.target)));
    const { alpn, version, received } = await tlsExchange(raw, { ALPNProtocols: ["one", "two"] }, request("/raw"));
    expect({ alpn, version }).toEqual({ alpn: "two", version: "TLSv1.2" });
    expect(received).toEndWith("/raw");
  });

  test("is 1.2 or 1.3, unless the config narrows it", async () => {
    expect((await tlsExchange(web, {})).version).toBe("TLSv1.3");
    expect((await tlsExchange(web, { maxVersion: "TLSv1.2" })).version).toBe("TLSv1.2");
    expect((await tlsExchange(web, { minVersion: "TLSv1.1", maxVersion: "TLSv1.1" })).version).toBe("");
    expect((await tlsExchange(modern, { maxVersion: "TLSv1.2" })).version).toBe("");
    expect((await tlsExchange(modern, {})).version).toBe("TLSv1.3");
  });

  test("for 1.2 offers only ciphers with forward secrecy that the config names", async () => {
    expect((await tlsExchange(web, { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES256-SHA" })).version).toBe("");
    expect((await tlsExchange(raw, { ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" }, "")).version).toBe("");
  });
});

describe("a handshake that fails", () => {
  test("for cleartext HTTP is told so in cleartext, and logged", async () => {
    const from = fairlead.log.length;
    const client = await stage.client(web);
    const answer = await client.ask(request());
    expect(answer.status).toBe(400);
    expect(await fairlead.line("cleartext", ({ reason }) => reason === "a cleartext HTTP request", from)).toMatchObject({ listener: "web", cause: "tls-handshake-failed" });
  });

  test("for garbage is a close, and the next client is served", async () => {
    const client = await stage.client(web);
    client.write("\u0016\u0003\u0001\u0000\u0004garbage");
    await client.untilPeerEnds();
    expect((await tlsExchange(web, {})).server).toBe("first.test");
  });

  test("for a client that goes away without a word is no news", async () => {
    const from = fairlead.log.length;
    const client = await stage.client(web);
    client.destroy();
    const other = await stage.client(web);
    other.write("no TLS at all");
    await other.untilPeerEnds();
    await fairlead.line("the other one's", ({ reason }) => reason === "wrong version number", from);
    expect(fairlead.log.some(({ reason }) => String(reason).startsWith("closed"))).toBe(false);
  });

  test("for lack of an end is cut off in time", async () => {
    const from = fairlead.log.length;
    const began = performance.now();
    const client = await stage.client(web);
    client.write("\u0016\u0003\u0001\u0002\u0000");
    await client.untilPeerEnds();
    const took = performance.now() - began;
    expect(took).toBeGreaterThan(550);
    expect(took).toBeLessThan(2_000);
    await fairlead.line("timeout", ({ cause }) => cause === "tls-handshake-timeout", from);
  });

  test("counts against max_clients until then, so that a flood of them is bounded", async () => {
    const from = fairlead.log.length;
    const sockets = Array.from({ length: 40 }, () => connect(web, "127.0.0.1"));
    let closed = 0;
    for (const socket of sockets) {
      socket.on("error", () => {});
      socket.on("close", () => closed++);
    }
    // Twenty have a place and keep it for the handshake's time; the others are cut off at once.
    await until("half of them are cut off", () => closed === 20, 500);
    await fairlead.line("too many", ({ cause }) => cause === "too-many-connections", from);
    await until("the rest is cut off in time", () => closed === 40, 3_000);
    expect((await tlsExchange(web, {})).server).toBe("first.test");
  });
});

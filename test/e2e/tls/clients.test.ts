/** Clients with certificates of their own, clients that come without TLS, HSTS, and the certificate for development. */
import { beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect as connectH2 } from "node:http2";
import { Authority, type Pair, pemFiles } from "../../support/certificates.ts";
import { Fairlead } from "../../support/fairlead.ts";
import { freePort } from "../../support/ports.ts";
import { type RawBackend, reply } from "../../support/raw-backend.ts";
import { openStage } from "../../support/stage.ts";
import { request, tlsExchange, type TlsResult } from "../../support/tls-client.ts";

const stage = openStage();
let fairlead: Fairlead;
let backend: RawBackend;
/** What other tests' instances keep for this user is not there. */
let environment: Readonly<Record<string, string>>;
const ports = { strict: 0, lax: 0, plain: 0, own: 0 };
let [known, nameless, stranger, expired]: Pair[] = [];

beforeAll(async () => {
  environment = { XDG_STATE_HOME: stage.directory() };
  const [authority, clients] = [await Authority.create(), await Authority.create("Clients")];
  known = await clients.issue({ names: [], subject: [{ C: ["DE"] }, { O: ["Acme, Inc; <x>"], OU: ["R&D"] }, { CN: ["Zoë"] }] });
  nameless = await clients.issue({ names: ["service.test"], subject: [] });
  expired = await clients.issue({ from: -9, to: -1 });
  stranger = await Authority.create("nobody").then((other) => other.issue());
  backend = await stage.backend((message, connection) => connection.write(message.target === "/own" ? reply(200, "ok", { "Strict-Transport-Security": "max-age=1" }) : reply(200, "ok")));
  for (const name of Object.keys(ports) as (keyof typeof ports)[]) ports[name] = await freePort();
  const tls = `certificates = [{ certificate = "server.pem", key = "server.key" }]`;
  const listener = (name: keyof typeof ports, more: string): string => `[[listeners]]\nname = "${name}"\naddress = "127.0.0.1:${ports[name]}"\nupstream = "main"\n${more}\n`;
  fairlead = await Fairlead.start(
    `workers = 1
${listener("strict", `tls = { ${tls}, client_ca = "clients.pem", client_subject_header = "X-Client-Subject", hsts = "1h" }`)}
${listener("lax", `tls = { ${tls}, client_ca = "clients.pem", client_auth = "optional", client_subject_header = "X-Client-Subject", hsts = { include_subdomains = true, preload = true } }\nunderscore_names = "allow"`)}
${listener("plain", `redirect_https = ${ports.lax}\nhealth_path = "/health"`)}
${listener("own", `tls = "self-signed"`)}
[[routes]]
hosts = ["Shop.test"]
upstream = "main"
[[upstreams]]
name = "main"
targets = [{ address = "${backend.address}" }]
`,
    { files: { ...pemFiles({ server: await authority.issue({ names: ["server.test"] }) }), "clients.pem": clients.pem }, environment },
  );
  stage.atEnd(() => fairlead.kill());
}, 30_000);

/** @param who the certificate that is shown */
async function ask(port: number, who: Pair | undefined, more = "", options: Parameters<typeof tlsExchange>[1] = {}): Promise<TlsResult & { readonly subjects: readonly string[] }> {
  backend.clear(backend.script);
  const result = await tlsExchange(port, { ...(who === undefined ? {} : { cert: who.certificate, key: who.key }), ...options }, request("/", "server.test", more));
  return { ...result, subjects: backend.requests.flatMap((message) => message.headers("x-client-subject")) };
}

const SUBJECT = "CN=Zo\\C3\\AB,O=Acme\\, Inc\\; \\<x\\>+OU=R&D,C=DE";

describe("client_auth = required", () => {
  test("lets in who shows a certificate of our authorities, and tells the target whose it is", async () => {
    const { received, subjects } = await ask(ports.strict, known);
    expect(received).toEndWith("ok");
    expect(subjects).toEqual([SUBJECT]);
    // One that names its holder in an extension only (SPIFFE, RFC 5280 section 4.1.2.6).
    const other = await ask(ports.strict, nameless, "X-Client-Subject: CN=root\r\n");
    expect(other.received).toEndWith("ok");
    expect(other.subjects).toEqual([]);
  });

  test("refuses all others, says why in the log, and the target hears nothing", async () => {
    for (const [who, cause] of [
      [undefined, "client-certificate-missing"],
      [stranger, "client-certificate-refused"],
      [expired, "client-certificate-refused"],
    ] as const) {
      for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
        const from = fairlead.log.length;
        expect((await ask(ports.strict, who, "", { maxVersion })).received).toBe("");
        await fairlead.line(cause, (line) => line["cause"] === cause && line["listener"] === "strict", from);
        expect(backend.requests).toEqual([]);
      }
    }
  });

  test("knows a client whose session is resumed", async () => {
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      const { session } = await ask(ports.strict, known, "", { minVersion: version, maxVersion: version });
      const again = await ask(ports.strict, known, "", { minVersion: version, maxVersion: version, session: session! });
      expect({ version, resumed: again.resumed, subjects: again.subjects }).toEqual({ version, resumed: true, subjects: [SUBJECT] });
    }
  });
});

describe("client_auth = optional", () => {
  test("lets in who shows none, and takes away what such a client claims", async () => {
    const { received, subjects } = await ask(ports.lax, undefined, "X-Client-Subject: CN=root\r\nx-client-subject: CN=admin\r\nX_Client-SUBJECT: CN=eve\r\nX_Other: 1\r\n");
    expect(received).toEndWith("ok");
    expect(subjects).toEqual([]);
    // Targets that speak CGI take an underscore for a dash.
    expect(backend.requests[0]!.headers("x_client-subject")).toEqual([]);
    expect(backend.requests[0]!.headers("x_other")).toEqual(["1"]);
  });

  test("replaces what a client with a certificate claims", async () => {
    expect((await ask(ports.lax, known, "X-CLIENT-SUBJECT: CN=root\r\nConnection: close, X-Client-Subject\r\n")).subjects).toEqual([SUBJECT]);
  });

  test("takes away what is claimed behind the body, over HTTP/2 too", async () => {
    const chunked = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n";
    const trailers = async (send: () => Promise<unknown>): Promise<string> => {
      const { script } = backend;
      backend.clear(async (message, connection) => void ((await message.ended) && connection.write(reply(200, "ok"))));
      await send();
      const { connection } = backend.seen[0]!;
      backend.script = script;
      return connection.receivedText.split("\r\n0\r\n").at(-1)!;
    };
    expect(await trailers(() => tlsExchange(ports.lax, {}, `${chunked}X-Sum: 1\r\n\r\n`))).toBe("X-Sum: 1\r\n\r\n");
    expect(await trailers(() => tlsExchange(ports.lax, {}, `${chunked}X-Sum: 1\r\nX-client-subject: CN=root\r\n\r\n`))).toBe("\r\n");
    expect(await trailers(() => tlsExchange(ports.lax, {}, `${chunked}X_Client_Subject: CN=root\r\n\r\n`))).toBe("\r\n");
    const h2 = async (): Promise<void> => {
      const session = connectH2(`https://127.0.0.1:${ports.lax}`, { rejectUnauthorized: false });
      const stream = session.request({ ":method": "POST", ":path": "/", "x-client-subject": "CN=root" }, { waitForTrailers: true } as object);
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-client-subject": "CN=root" }));
      stream.resume().end("a");
      await once(stream, "end");
      session.destroy();
    };
    expect(await trailers(h2)).toBe("\r\n");
    expect(backend.requests.flatMap((message) => message.headers("x-client-subject"))).toEqual([]);
  });

  test("refuses a certificate that is not good", async () => {
    expect((await ask(ports.lax, stranger)).received).toBe("");
    expect(backend.requests).toEqual([]);
  });
});

describe("hsts", () => {
  test("is on replies that have none of their own", async () => {
    expect((await ask(ports.strict, known)).received).toContain("\r\nStrict-Transport-Security: max-age=3600\r\n");
    expect((await ask(ports.lax, undefined)).received).toContain("\r\nStrict-Transport-Security: max-age=31536000; includeSubDomains; preload\r\n");
    const { received } = await tlsExchange(ports.lax, {}, request("/own"));
    expect(received.match(/strict-transport-security: .*/gi)).toEqual(["Strict-Transport-Security: max-age=1"]);
    // Those that we answer ourselves, too.
    expect((await tlsExchange(ports.lax, {}, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n")).received).toMatch(/^HTTP\/1\.1 400 [\s\S]*\r\nStrict-Transport-Security: max-age=31536000/);
    expect((await tlsExchange(ports.own, {})).received.toLowerCase()).not.toContain("strict-transport");
  });
});

describe("redirect_https", () => {
  async function location(bytes: string): Promise<[number, string | undefined]> {
    const client = await stage.client(ports.plain);
    const answer = await client.ask(bytes);
    return [answer.status, answer.header("location")];
  }

  test("sends every method to the same address under https, and keeps method and body", async () => {
    for (const method of ["GET", "HEAD"]) expect(await location(`${method} /a/b?c=d HTTP/1.1\r\nHost: shop.test:${ports.plain}\r\n\r\n`)).toEqual([308, `https://shop.test:${ports.lax}/a/b?c=d`]);
    expect(await location(`POST /form HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 3\r\n\r\na=b`)).toEqual([308, `https://[::1]:${ports.lax}/form`]);
    expect(await location(`GET http://shop.test/abs HTTP/1.1\r\nHost: shop.test\r\n\r\n`)).toEqual([308, `https://shop.test:${ports.lax}/abs`]);
    expect(await location(`OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n`)).toEqual([308, `https://shop.test:${ports.lax}/`]);
  });

  test("needs a host to send to", async () => {
    expect((await location("GET / HTTP/1.0\r\n\r\n"))[0]).toBe(400);
  });

  test("leaves the health path, and the questions of certificate authorities, alone", async () => {
    expect(await location("GET /health HTTP/1.1\r\nHost: a\r\n\r\n")).toEqual([200, undefined]);
    expect(await location("GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: a\r\n\r\n")).toEqual([200, undefined]);
    for (const path of ["other", "acme-challenge/", "acme-challenge/../../secret", "acme-challenge/%2e%2e/secret", "acme-challenge/token/more", "acme-challenge/token?more"]) {
      expect((await location(`GET /.well-known/${path} HTTP/1.1\r\nHost: a\r\n\r\n`))[0]).toBe(308);
    }
  });
});

describe("a self-signed certificate", () => {
  test("is for this machine and the hosts of the routes, and good for who trusts it", async () => {
    const { names, certificate: ca } = await tlsExchange(ports.own, {});
    expect(names.split(", ")).toEqual(["DNS:localhost", "IP Address:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1", "DNS:shop.test"]);
    for (const host of ["localhost", "127.0.0.1"]) expect(await (await fetch(`https://${host}:${ports.own}/`, { tls: { ca } })).text()).toBe("ok");
    expect(fairlead.log.some(({ level, msg }) => level === "warn" && msg?.includes("self-signed") === true)).toBe(true);
  });

  test("is kept: the command line gives the same one", async () => {
    const shown = async (port: number): Promise<string> => (await tlsExchange(port, {}, "")).fingerprint;
    const port = await freePort();
    await stage.process(["--listen", `127.0.0.1:${port}`, "--tls", "self-signed", "--target", backend.address, "--workers", "1", "--log-format", "json"], { environment });
    expect(await shown(port)).toBe(await shown(ports.own));
    expect((await tlsExchange(port, {})).received).toEndWith("ok");
  });
});

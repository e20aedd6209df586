/** TLS to targets: who is believed, who is not and why, what we show of ourselves, and health checks on the same way. */
import { beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { createSecureServer, type ServerHttp2Stream } from "node:http2";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { LoadBalancer } from "fairlead";
import { Authority, type Pair, pemFiles } from "../../support/certificates.ts";
import { settings, settingsAck } from "../../support/h2-frames.ts";
import { H2TargetConnection, sayWhich } from "../../support/h2-target.ts";
import { openStage } from "../../support/stage.ts";
import { TlsBackend, type TlsBackendOptions } from "../../support/tls-backend.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const directory = stage.directory();
let authority: Authority;
let good: Pair;
let own: Pair;

beforeAll(async () => {
  authority = await Authority.create();
  [good, own] = await Promise.all([authority.issue({ names: ["target.test", "127.0.0.1"] }), authority.issue({ names: ["fairlead.test"] })]);
  for (const [name, text] of Object.entries({ ...pemFiles({ own }), "ca.pem": authority.pem })) writeFileSync(join(directory, name), text);
});

async function target(options: Partial<TlsBackendOptions> = {}): Promise<TlsBackend> {
  const backend = new TlsBackend({ ...good, ...options });
  stage.atEnd(() => backend.stop());
  return backend;
}

type Line = Record<string, unknown>;
let count = 0;

/** A balancer whose upstream has these keys, and the lines that it logs. */
async function balance(upstream: string, targets: readonly { readonly address: string }[], listener = ""): Promise<{ readonly balancer: LoadBalancer; readonly lines: Line[] }> {
  const file = join(directory, `${count++}.toml`);
  writeFileSync(file, `[[listeners]]\naddress = "127.0.0.1:0"\nupstream = "main"\n${listener}\n[[upstreams]]\nname = "main"\ntargets = [${targets.map(({ address }) => `{ address = "${address}" }`).join(", ")}]\n${upstream}\n`);
  const lines: Line[] = [];
  const write = (fields: object, msg?: string): void => void lines.push({ ...fields, msg });
  const log = { level: "info" as const, debug() {}, info: write, warn: write, error: write };
  const balancer = await new LoadBalancer({ configFile: file, log: log as never }).start();
  stage.atEnd(() => balancer.stop(0));
  return { balancer, lines };
}

/** What a request through it is answered, and the causes that were logged. */
async function ask(upstream: string, targets: readonly { readonly address: string }[]): Promise<{ readonly status: number; readonly text: string; readonly causes: unknown[]; readonly lines: Line[] }> {
  const { balancer, lines } = await balance(upstream, targets);
  const response = await fetch(balancer.uri);
  return { status: response.status, text: await response.text(), causes: lines.flatMap(({ cause }) => cause ?? []), lines };
}

describe("a target's certificate", () => {
  test("of an authority that we trust, for the name or the address that we ask for, is good", async () => {
    expect(await ask(`tls = { ca = "ca.pem" }`, [await target()])).toMatchObject({ status: 200, text: "backend", causes: [] });
    expect(await ask(`tls = { ca = "ca.pem", server_name = "target.test" }`, [await target()])).toMatchObject({ status: 200, causes: [] });
  });

  test("that nobody we trust has signed is refused, and the log says so", async () => {
    const { status, causes, lines } = await ask("tls = true\nretries = 0", [await target()]);
    expect({ status, causes }).toEqual({ status: 502, causes: ["tls-verify-failed"] });
    expect(JSON.stringify(lines)).toContain("unable to verify the first certificate");
  });

  test("for another name is refused, and the log says for whom it is", async () => {
    const { status, causes, lines } = await ask(`tls = { ca = "ca.pem", server_name = "other.test" }\nretries = 0`, [await target()]);
    expect({ status, causes }).toEqual({ status: 502, causes: ["tls-verify-failed"] });
    expect(JSON.stringify(lines)).toContain("DNS:target.test");
  });

  test("that has expired is refused, and the log says so", async () => {
    const { causes, lines } = await ask(`tls = { ca = "ca.pem" }\nretries = 0`, [await target(await authority.issue({ names: ["127.0.0.1"], from: -9, to: -1 }))]);
    expect(causes).toEqual(["tls-verify-failed"]);
    expect(JSON.stringify(lines)).toContain("expired");
  });

  test("is not looked at with verify = false", async () => {
    const expired = await Authority.create("nobody").then((other) => other.issue({ names: ["x"], from: -9, to: -1 }));
    expect(await ask("tls = { verify = false }", [await target(expired)])).toMatchObject({ status: 200, text: "backend" });
  });

  test("that is bad costs a request nothing but the way to another target", async () => {
    const { balancer } = await balance(`tls = { ca = "ca.pem" }`, [await target({ ...(await Authority.create("nobody").then((other) => other.issue())), name: "bad" }), await target({ name: "good" })]);
    const texts = await Promise.all(Array.from({ length: 6 }, async () => (await fetch(balancer.uri, { method: "POST", body: "x" })).text()));
    expect(new Set(texts)).toEqual(new Set(["good"]));
  });
});

describe("the name that is asked for", () => {
  test("is server_name, or the host of the target's address, but never an address", async () => {
    const asked: string[] = [];
    const server = createTlsServer({ cert: good.certificate, key: good.key }, (socket) => {
      asked.push(String(socket.servername || "none"));
      socket.end("HTTP/1.1 204 No Content\r\n\r\n");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    stage.atEnd(() => server.close());
    const { port } = server.address() as { port: number };
    await ask(`tls = { ca = "ca.pem", server_name = "target.test" }`, [{ address: `127.0.0.1:${port}` }]);
    await ask("tls = { verify = false }", [{ address: `localhost:${port}` }]);
    expect((await ask(`tls = { ca = "ca.pem" }`, [{ address: `127.0.0.1:${port}` }])).status).toBe(204);
    expect(asked).toEqual(["target.test", "localhost", "none"]);
  });
});

describe("our own certificate", () => {
  test("is shown to a target that asks for it", async () => {
    const strict = await target({ clientCa: authority.pem });
    expect(await ask(`tls = { ca = "ca.pem", certificate = "own.pem", key = "own.key" }`, [strict])).toMatchObject({ status: 200, text: "backend" });
  });

  test("that we do not have makes such a target end the connection: the request fails, and has not been served", async () => {
    const strict = await target({ clientCa: authority.pem });
    const { status } = await ask(`tls = { ca = "ca.pem" }\nretries = 0`, [strict]);
    expect(status).toBe(502);
    expect(strict.requests).toBe(0);
  });
});

describe("a target that speaks no TLS", () => {
  /** @param greet what it does with a connection */
  async function stranger(greet: (socket: Socket) => void): Promise<{ readonly address: string; readonly open: Set<Socket> }> {
    const open = new Set<Socket>();
    const server = createServer((socket) => {
      open.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => open.delete(socket));
      greet(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    stage.atEnd(() => {
      for (const socket of open) socket.destroy();
      server.close();
    });
    return { address: `127.0.0.1:${(server.address() as { port: number }).port}`, open };
  }

  test("is a failure with a reason", async () => {
    const { address } = await stranger((socket) => socket.end("HTTP/1.0 200 OK\r\n\r\n"));
    const { status, causes, lines } = await ask("tls = true\nretries = 0", [{ address }]);
    expect({ status, causes }).toEqual({ status: 502, causes: ["tls-connect-failed"] });
    expect(JSON.stringify(lines)).toContain("wrong version number");
  });

  test("or closes within the handshake, too", async () => {
    const { address } = await stranger((socket) => socket.once("data", () => socket.resetAndDestroy()));
    expect((await ask("tls = true\nretries = 0", [{ address }])).causes).toEqual(["tls-connect-failed"]);
  });

  test("and says nothing is given up when the connect timeout is over, handshake included, and its connection is closed", async () => {
    const { address, open } = await stranger((socket) => void socket.resume());
    const began = performance.now();
    const { status, causes } = await ask(`tls = true\nretries = 0\ntimeouts = { connect = "300ms" }`, [{ address }]);
    expect(performance.now() - began).toBeLessThan(1_500);
    expect({ status, causes }).toEqual({ status: 504, causes: ["connect-timeout"] });
    await until("the connection is gone", () => open.size === 0);
  });
});

describe("connections over TLS", () => {
  test("are pooled like others", async () => {
    let shaken = 0;
    const backend = await target({
      fetch: (request) => {
        shaken += Number(request.headers.get("x-new") ?? 0);
        return new Response("ok");
      },
    });
    const { balancer } = await balance(`tls = { ca = "ca.pem" }`, [backend]);
    for (let i = 0; i < 20; i++) await (await fetch(balancer.uri)).text();
    expect(shaken).toBe(0);
    expect(backend.requests).toBe(20);
  });

  test("carry large bodies both ways, whole", async () => {
    const backend = await target({ fetch: async (request) => new Response(await request.arrayBuffer()) });
    const { balancer } = await balance(`tls = { ca = "ca.pem" }`, [backend]);
    const body = Buffer.alloc(5_000_000, 0).map((_, index) => index % 251);
    const reply = await fetch(balancer.uri, { method: "POST", body });
    expect(Buffer.from(await reply.arrayBuffer()).equals(body)).toBe(true);
  });

  test("serve tcp listeners too: the client's cleartext goes on in TLS, whatever protocol it is", async () => {
    const offered: string[] = [];
    const server = createTlsServer({ cert: good.certificate, key: good.key, ALPNCallback: ({ protocols }) => void offered.push(...protocols) }, (socket) => socket.end("220 ready"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    stage.atEnd(() => server.close());
    const mail = await balance(`tls = { ca = "ca.pem" }`, [{ address: `127.0.0.1:${(server.address() as { port: number }).port}` }], 'protocol = "tcp"');
    const client = await stage.client(mail.balancer.port());
    expect(await client.untilText("220 ready")).toBe("220 ready");
    expect(offered).toEqual([]);
    const { balancer } = await balance(`tls = { ca = "ca.pem" }`, [await target()], 'protocol = "tcp"');
    expect(await (await fetch(balancer.uri.replace("tcp:", "http:"))).text()).toBe("backend");
  });
});

describe("protocol = h2", () => {
  test("speaks HTTP/2 over one connection with a target that chooses it", async () => {
    let sessions = 0;
    const server = createSecureServer({ cert: good.certificate, key: good.key }, (request, response) => response.end(`${request.httpVersion} ${request.headers[":scheme"]}`));
    server.on("session", () => sessions++);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    stage.atEnd(() => server.close());
    const { balancer } = await balance(`protocol = "h2"\ntls = { ca = "ca.pem" }`, [{ address: `127.0.0.1:${(server.address() as { port: number }).port}` }]);
    for (let i = 0; i < 3; i++) expect(await (await fetch(balancer.uri)).text()).toBe("2.0 https");
    expect(sessions).toBe(1);
  });

  test("or by choice of the target: auto takes what it chooses", async () => {
    const { balancer } = await balance(`protocol = "auto"\ntls = { ca = "ca.pem" }`, [await target()]);
    expect(await (await fetch(balancer.uri)).text()).toBe("backend");
  });

  test("auto speaks HTTP/2 with a target that chooses it, from the first request on", async () => {
    let sessions = 0;
    const server = createSecureServer({ cert: good.certificate, key: good.key }, (request, response) => request.resume().on("end", () => response.end(`${request.method} ${request.httpVersion}`)));
    server.on("session", () => sessions++);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    stage.atEnd(() => server.close());
    const { balancer, lines } = await balance(`protocol = "auto"\ntls = { ca = "ca.pem" }`, [{ address: `127.0.0.1:${(server.address() as { port: number }).port}` }]);
    for (let i = 0; i < 3; i++) expect(await (await fetch(balancer.uri, { method: "POST", body: "what is sent once only" })).text()).toBe("POST 2.0");
    expect([sessions, lines.filter(({ cause }) => cause !== undefined)]).toEqual([1, []]);
  });

  test("auto: a request whose time is up before the target has greeted is not sent to it, nor is the next one on its connection mistaken for it", async () => {
    const script = await stage.h2Target(sayWhich, { silent: true });
    const server = createTlsServer({ cert: good.certificate, key: good.key, ALPNProtocols: ["h2"] }, (socket) => void script.connections.push(new H2TargetConnection(script, socket)));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    stage.atEnd(() => server.close());
    const { balancer } = await balance(`protocol = "auto"\ntls = { ca = "ca.pem" }`, [{ address: `127.0.0.1:${(server.address() as { port: number }).port}` }]);
    const client = await stage.client(Number(new URL(balancer.uri).port));
    const late = client.ask("GET /late HTTP/1.1\r\nHost: h.test\r\nX-Request-Timeout: 200ms\r\n\r\n");
    const connection = await script.connection();
    expect((await late).status).toBe(504);
    client.request("GET /next HTTP/1.1\r\nHost: h.test\r\n\r\n");
    connection.send(settings(), settingsAck());
    expect((await client.reply()).text).toBe("GET /next");
    expect(script.requests.map(({ path }) => path)).toEqual(["/next"]);
  });

  test("is a failure with a target that does not", async () => {
    const { status, causes, lines } = await ask(`protocol = "h2"\ntls = { ca = "ca.pem" }\nretries = 0`, [await target()]);
    expect({ status, causes }).toEqual({ status: 502, causes: ["tls-connect-failed"] });
    expect(JSON.stringify(lines)).toMatch(/does not speak HTTP\/2|no application protocol/);
  });
});

describe("health checks", () => {
  const check = (more: string): string => `tls = { ca = "ca.pem" }\nhealth_check = { interval = "50ms", rise = 1, fall = 1, initial = "down", ${more} }`;

  test("go over TLS, and a certificate that is not good takes the target out", async () => {
    const bad = await Authority.create("nobody").then((other) => other.issue({ names: ["127.0.0.1"] }));
    for (const type of ["http", "tcp"]) {
      const { balancer } = await balance(check(`type = "${type}"`), [await target(), await target(bad)]);
      await until(`${type} checks`, () => balancer.health.every(({ lastResult }) => lastResult !== undefined));
      expect(balancer.health.map(({ up }) => up)).toEqual([true, false]);
      expect(balancer.health[1]!.lastResult!.reason).toStartWith("TLS: ");
    }
  });

  test("of kind grpc go over TLS with h2", async () => {
    const server = createSecureServer({ cert: good.certificate, key: good.key });
    const schemes: string[] = [];
    server.on("stream", (stream: ServerHttp2Stream, headers) => {
      schemes.push(String(headers[":scheme"]));
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      // HealthCheckResponse { status: SERVING }
      stream.end(Buffer.from("00000000020801", "hex"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    stage.atEnd(() => server.close());
    const { balancer } = await balance(check('type = "grpc"'), [{ address: `127.0.0.1:${(server.address() as { port: number }).port}` }]);
    await until("a check", () => balancer.health[0]!.lastResult !== undefined);
    expect(balancer.health[0]).toMatchObject({ up: true, lastResult: { reason: "SERVING" } });
    expect(schemes[0]).toBe("https");
  });

  test("stay in the clear with tls = false", async () => {
    const { balancer } = await balance(check('type = "tcp", tls = false'), [await target(await Authority.create("nobody").then((other) => other.issue()))]);
    await until("a check", () => balancer.health[0]!.lastResult !== undefined);
    expect(balancer.health[0]!.up).toBe(true);
  });
});

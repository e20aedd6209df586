/** Unix sockets, IPv6 and dual stack on both sides: one client has one address wherever an address counts. One process for all of it. */
import { beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, request as httpRequest } from "node:http";
import { connect, createServer as createTcpServer, type NetConnectOpts, type Server, type Socket } from "node:net";
import { statSync } from "node:fs";
import { join } from "node:path";
import { Fairlead, type LogLine } from "../../support/fairlead.ts";
import { freePort } from "../../support/ports.ts";
import { workersOf } from "../../support/processes.ts";
import { openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
let fairlead: Fairlead;
let dual: number;
let limited: number;
let tcp: number;
let admin: number;
let [unix, unixTcp] = ["", ""];

async function listen(server: Server, where: object): Promise<void> {
  await new Promise<void>((resolve) => server.listen(where, resolve));
  stage.atEnd(() => server.close());
}

/** Says who it is and what it was told. */
async function web(name: string, where: object): Promise<void> {
  await listen(
    createServer((incoming, outgoing) => void outgoing.end(JSON.stringify({ name, headers: incoming.headers }))),
    where,
  );
}

async function echo(name: string, where: object): Promise<void> {
  const sockets = new Set<Socket>();
  await listen(
    createTcpServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => {}).on("data", (chunk) => void socket.write(`${name} ${String(chunk)}`));
    }),
    where,
  );
  stage.atEnd(() => sockets.forEach((socket) => socket.destroy()));
}

beforeAll(async () => {
  const directory = stage.directory();
  const path = (name: string): string => join(directory, name);
  [unix, unixTcp] = [path("front.sock"), path("tcp.sock")];
  const [v6, v6tcp] = [await freePort(), await freePort()];
  [dual, limited, tcp, admin] = [await freePort(), await freePort(), await freePort(), await freePort()];
  await Promise.all([web("v6", { host: "::1", port: v6 }), web("unix", { path: path("web.sock") }), web("literal", { path: path("literal.sock") }), echo("v6", { host: "::1", port: v6tcp }), echo("unix", { path: path("echo.sock") })]);
  fairlead = await Fairlead.start(
    `
workers = 1
log = { access = true }
admin = { address = "[::1]:${admin}" }
[[listeners]]
name = "dual"
address = "[::]:${dual}"
upstream = "both"
forwarding = { forwarded = true, trusted_proxies = ["127.0.0.0/8", "unix"] }
[[listeners]]
name = "limited"
address = "[::]:${limited}"
upstream = "both"
max_clients_per_ip = 1
[[listeners]]
name = "tcp"
address = "[::]:${tcp}"
protocol = "tcp"
upstream = "bytes"
[[listeners]]
name = "unix"
address = "unix:${unix}"
upstream = "both"
forwarding = { trusted_proxies = ["unix"] }
[[listeners]]
name = "unix-tcp"
address = "unix:${unixTcp}"
protocol = "tcp"
upstream = "bytes"
[[routes]]
hosts = ["[2001:db8::1]"]
upstream = "literal"
[[upstreams]]
name = "both"
policy = "./by-address.ts"
health_check = { type = "http", interval = "100ms", rise = 1, initial = "down" }
targets = [{ address = "[::1]:${v6}" }, { address = "unix:${path("web.sock")}" }]
[[upstreams]]
name = "literal"
targets = [{ address = "unix:${path("literal.sock")}" }]
[[upstreams]]
name = "bytes"
policy = "round-robin"
health_check = { type = "tcp", interval = "100ms", rise = 1, initial = "down" }
targets = [{ address = "[::1]:${v6tcp}" }, { address = "unix:${path("echo.sock")}" }]
`,
    // Who comes over IPv4 goes to the unix socket.
    { files: { "by-address.ts": 'export default () => ({ pick: (request, targets) => targets.find(({ name }) => name.startsWith("unix") === (request.clientAddress === "127.0.0.1" && request.key === "127.0.0.1")) });' } },
  );
  stage.atEnd(() => fairlead.kill());
  await until("its targets to be healthy", async () => {
    const { upstreams } = (await (await fetch(`http://[::1]:${admin}/v1/status`)).json()) as { upstreams: Record<string, { up: boolean }[]> };
    return ["both", "bytes"].every((name) => upstreams[name]!.every(({ up }) => up));
  });
}, 30_000);

interface Told {
  readonly name: string;
  readonly headers: IncomingHttpHeaders;
}

function ask(to: { readonly port: number; readonly host: string } | { readonly socketPath: string }, headers: Record<string, string> = {}): Promise<Told> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({ ...to, agent: false, headers: { host: "a.test", ...headers } }, (incoming) => {
      let text = "";
      incoming.on("data", (chunk) => (text += String(chunk)));
      incoming.on("end", () => (incoming.statusCode === 200 ? resolve(JSON.parse(text) as Told) : reject(new Error(`status ${incoming.statusCode}`))));
    });
    outgoing.on("error", reject).end();
  });
}

/** One connection that says something and hears the answer. */
async function say(to: NetConnectOpts): Promise<string> {
  const socket = connect(to);
  let text = "";
  socket.on("data", (chunk) => (text += String(chunk))).on("error", () => {});
  socket.write("hello");
  await until("an answer", () => text.endsWith("hello"));
  socket.destroy();
  return text;
}

function access(client: string, listenerOf: (line: LogLine) => boolean = () => true): Promise<LogLine> {
  return fairlead.line(`an access line of ${client}`, (line) => line["msg"] === "access" && String(line["client"]).startsWith(client) && listenerOf(line));
}

describe("a listener on every address", () => {
  test("has IPv4 clients with their IPv4 addresses", async () => {
    const { name, headers } = await ask({ port: dual, host: "127.0.0.1" });
    expect([name, headers["x-forwarded-for"], headers["forwarded"]]).toEqual(["unix", "127.0.0.1", 'for=127.0.0.1;proto=http;host="a.test"']);
    await access("127.0.0.1:");
  });

  test("has IPv6 clients with theirs, in brackets where a port follows", async () => {
    const { name, headers } = await ask({ port: dual, host: "::1" });
    expect([name, headers["x-forwarded-for"], headers["forwarded"]]).toEqual(["v6", "::1", 'for="[::1]";proto=http;host="a.test"']);
    await access("[::1]:");
  });

  test("trusts the IPv4 block that a client is in, and nobody else", async () => {
    const chain = { "x-forwarded-for": "192.0.2.1" };
    expect((await ask({ port: dual, host: "127.0.0.1" }, chain)).headers["x-forwarded-for"]).toBe("192.0.2.1, 127.0.0.1");
    expect((await ask({ port: dual, host: "::1" }, chain)).headers["x-forwarded-for"]).toBe("::1");
  });

  test("routes by an address in the Host field, however it is written", async () => {
    for (const host of ["[2001:db8::1]", "[2001:DB8:0:0::1]:80"]) expect((await ask({ port: dual, host: "::1" }, { host })).name).toBe("literal");
    expect((await ask({ port: dual, host: "::1" }, { host: "[2001:db8::2]" })).name).toBe("v6");
  });

  test("counts the clients of an address, of either kind", async () => {
    for (const host of ["127.0.0.1", "::1"]) {
      const first = connect({ port: limited, host });
      first.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
      await new Promise((resolve) => first.once("data", resolve));
      await expect(ask({ port: limited, host })).rejects.toThrow("status 429");
      first.destroy();
    }
  });

  test("relays tcp from both, to IPv6 and unix targets", async () => {
    const answers = [await say({ port: tcp, host: "127.0.0.1" }), await say({ port: tcp, host: "::1" })];
    expect(answers.toSorted()).toEqual(["unix hello", "v6 hello"]);
    for (const client of ["127.0.0.1:", "[::1]:"]) expect(await access(client, ({ method }) => method === "TCP")).toMatchObject({ cause: "done" });
  });
});

describe("a listener at a unix socket", () => {
  test("is open to everybody who can reach it, and its clients have no address", async () => {
    expect(statSync(unix).mode & 0o777).toBe(0o666);
    const { name, headers } = await ask({ socketPath: unix });
    expect([name, headers["x-forwarded-for"]]).toEqual(["v6", "unknown"]);
    expect(await access("unix")).toMatchObject({ client: "unix" });
  });

  test("believes them where it is told to", async () => {
    const { headers } = await ask({ socketPath: unix }, { "x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "https" });
    expect([headers["x-forwarded-for"], headers["x-forwarded-proto"]]).toEqual(["192.0.2.1, unknown", "https"]);
  });

  test("is not where they come from who cut their connection before it is accepted: they have no address any more", async () => {
    const [worker] = workersOf(fairlead) as [number];
    process.kill(worker, "SIGSTOP");
    try {
      for (let i = 0; i < 5; i++) {
        const socket = connect({ host: "127.0.0.1", port: dual });
        await once(socket, "connect");
        await new Promise((written) => socket.write("GET /cut HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 192.0.2.66\r\n\r\n", written));
        socket.resetAndDestroy();
      }
    } finally {
      process.kill(worker, "SIGCONT");
    }
    const before = fairlead.log.length;
    await ask({ host: "::1", port: dual });
    await fairlead.line("the access line of who came next", ({ msg, client }) => msg === "access" && String(client).startsWith("[::1]"), before);
    expect(fairlead.log.filter(({ msg, client, status }) => msg === "access" && client === "unix" && status === 499)).toEqual([]);
  });

  test("relays tcp", async () => {
    const answers = [await say({ path: unixTcp }), await say({ path: unixTcp })];
    expect(answers.toSorted()).toEqual(["unix hello", "v6 hello"]);
    expect(await access("unix", ({ method }) => method === "TCP")).toMatchObject({ cause: "done" });
  });
});

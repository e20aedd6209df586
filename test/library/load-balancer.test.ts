/** The library: construct, start, use, stop; in this process, over real sockets. */
import { afterEach, describe, expect, test } from "bun:test";
import { createServer, type Server } from "node:http";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { type Account, LoadBalancer, RoundRobinPolicy, type RoutingPolicy } from "fairlead";

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

async function backend(name: string, status = 200): Promise<string> {
  const server: Server = createServer((request, response) => {
    response.writeHead(status, { "X-Name": name });
    request.pipe(response);
  }).listen(0, "127.0.0.1");
  open.push({ close: () => (server.closeAllConnections(), server.close()) });
  await new Promise((resolve) => server.once("listening", resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function start(options: ConstructorParameters<typeof LoadBalancer>[0]): Promise<LoadBalancer> {
  const balancer = await new LoadBalancer(options).start();
  // What is idle need not be waited for.
  open.push({ close: () => balancer.stop(20) });
  return balancer;
}

async function names(uri: string, times: number): Promise<(string | null)[]> {
  const seen: (string | null)[] = [];
  for (let i = 0; i < times; i++) seen.push((await fetch(uri)).headers.get("x-name"));
  return seen;
}

describe("LoadBalancer", () => {
  test("balances over its targets on a free port, round robin", async () => {
    const targets = [await backend("a"), await backend("b")];
    const balancer = await start({ port: 0, targets, policy: new RoundRobinPolicy() });
    expect(balancer.uri).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(await names(balancer.uri, 4)).toEqual(["a", "b", "a", "b"]);
    const echo = await fetch(balancer.uri, { method: "POST", body: "x".repeat(300_000) });
    expect((await echo.text()).length).toBe(300_000);
  });

  test("speaks TLS with clients and targets", async () => {
    const target = await start({ targets: [await backend("a")], tls: "self-signed" });
    const balancer = await start({ targets: [target.uri.slice("https://".length)], targetTls: { verify: false }, tls: "self-signed" });
    expect(balancer.uri).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const reply = await fetch(balancer.uri, { method: "POST", body: "x".repeat(300_000), tls: { rejectUnauthorized: false } });
    expect([reply.headers.get("x-name"), (await reply.text()).length]).toEqual(["a", 300_000]);
  });

  test("tells of each exchange and of what happens to its targets, and survives whom it tells", async () => {
    const [well, ill] = [await backend("a"), await backend("b", 500)];
    const accounts: Account[] = [];
    const onExchange = (account: Account): void => {
      accounts.push(account);
      throw new Error("whatever");
    };
    const config = `[[listeners]]\naddress = "127.0.0.1:0"\nupstream = "u"\n[[upstreams]]\nname = "u"\n[upstreams.outlier_detection]\nconsecutive_5xx = 3\n[[upstreams.targets]]\naddress = "${well}"\n[[upstreams.targets]]\naddress = "${ill}"\n`;
    const balancer = await start({ config, onExchange });
    const seen = await names(`${balancer.uri}/x?y=1`, 8);
    expect(seen.slice(0, 6)).toEqual(["a", "b", "a", "b", "a", "b"]);
    expect(accounts.length).toBeGreaterThanOrEqual(7);
    expect(accounts[1]).toMatchObject({ upstream: "u", target: ill, path: "/x?y=1", status: 500, cause: "done", attempts: 1, candidates: [well, ill] });
    expect(balancer.events({ target: ill })).toMatchObject([{ kind: "ejected", upstream: "u", by: "outlier-detection" }]);
    expect(balancer.events({ kinds: ["down"] })).toEqual([]);
  });

  test("takes a policy of one's own, by object or by factory", async () => {
    const targets = [await backend("a"), await backend("b")];
    const last: RoutingPolicy = { pick: (_request, usable) => usable.at(-1) };
    expect(await names((await start({ targets, policy: last })).uri, 2)).toEqual(["b", "b"]);
    expect(await names((await start({ targets, policy: () => last })).uri, 2)).toEqual(["b", "b"]);
    expect(await names((await start({ targets, policy: "single" })).uri, 2)).toEqual(["a", "a"]);
  });

  test("a policy sees the request and the counts", async () => {
    const targets = [await backend("a"), await backend("b")];
    const seen: unknown[] = [];
    const balancer = await start({
      targets,
      policy: {
        pick: async (request, usable) => {
          await Promise.resolve();
          seen.push([request.method, request.path, request.host, request.header("X-Tenant"), request.clientAddress, usable.map(({ name, openRequests }) => [name, openRequests])]);
          return usable[0];
        },
      },
    });
    await fetch(`${balancer.uri}/p?q=1`, { method: "PUT", headers: { "X-Tenant": "t" } });
    expect(seen).toEqual([["PUT", "/p?q=1", balancer.uri.slice(7), "t", "127.0.0.1", targets.map((name) => [name, 0])]]);
  });

  test("takes a configuration as text, and says what is wrong with one", async () => {
    const target = await backend("a");
    const balancer = await start({ config: `[[listeners]]\naddress = "127.0.0.1:0"\nupstream = "u"\n[[upstreams]]\nname = "u"\ntargets = [{ address = "${target}" }]\n` });
    expect(await names(balancer.uri, 1)).toEqual(["a"]);
    expect(new LoadBalancer({ config: "listners = 1" }).start()).rejects.toThrow('config:1:1: unknown key "listners" (did you mean "listeners"?)');
    expect(new LoadBalancer({ targets: ["nonsense"] }).start()).rejects.toThrow('"nonsense" is not an address');
  });

  test("watches targets when asked to", async () => {
    const targets = [await backend("good"), await backend("bad", 500)];
    const balancer = await start({ targets, healthCheck: { interval: "50ms", rise: 1, fall: 1, initial: "down" } });
    while (balancer.health.some(({ lastResult }) => lastResult === undefined)) await Bun.sleep(5);
    expect(balancer.health.map(({ up }) => up)).toEqual([true, false]);
    expect(await names(balancer.uri, 3)).toEqual(["good", "good", "good"]);
  });

  test("relays tcp", async () => {
    const server = createTcpServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
    open.push(server);
    await new Promise((resolve) => server.once("listening", resolve));
    const balancer = await start({ protocol: "tcp", targets: [`127.0.0.1:${(server.address() as AddressInfo).port}`] });
    const { promise, resolve } = Promise.withResolvers<string>();
    await Bun.connect({ hostname: "127.0.0.1", port: balancer.port(), socket: { open: (socket) => void socket.write("ping"), data: (_socket, bytes) => resolve(bytes.toString()) } });
    expect(await promise).toBe("ping");
  });

  test("balances datagrams", async () => {
    const server = await Bun.udpSocket({ hostname: "127.0.0.1", socket: { data: (socket, bytes, port, address) => void socket.send(bytes, port, address) } });
    open.push(server);
    const balancer = await start({ protocol: "udp", targets: [`127.0.0.1:${server.port}`] });
    expect(balancer.uri).toBe(`udp://127.0.0.1:${balancer.port()}`);
    const { promise, resolve } = Promise.withResolvers<string>();
    const client = await Bun.udpSocket({ connect: { hostname: "127.0.0.1", port: balancer.port() }, socket: { data: (_socket, bytes) => resolve(bytes.toString()) } });
    open.push(client);
    client.send("ping");
    expect(await promise).toBe("ping");
  });

  test("stop lets an open request end, and refuses new ones", async () => {
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
    const { promise: answer, resolve: release } = Promise.withResolvers<void>();
    const server = createServer(async (_request, response) => {
      ask();
      await answer;
      response.end("late");
    }).listen(0, "127.0.0.1");
    open.push({ close: () => (server.closeAllConnections(), server.close()) });
    await new Promise((resolve) => server.once("listening", resolve));
    const balancer = await start({ targets: [`127.0.0.1:${(server.address() as AddressInfo).port}`] });
    const { uri } = balancer;
    const reply = fetch(uri);
    await asked;
    const stopped = balancer.stop();
    release();
    expect(await (await reply).text()).toBe("late");
    await stopped;
    expect(fetch(uri)).rejects.toThrow();
  });

  test("without a target there is nothing to run; with none usable it is 503", async () => {
    expect(new LoadBalancer({ targets: [] }).start()).rejects.toThrow("at least one target");
    const balancer = await start({ targets: [{ address: "127.0.0.1:1", weight: 0 }] });
    const reply = await fetch(balancer.uri);
    expect([reply.status, await reply.text()]).toEqual([503, "Service Unavailable"]);
  });
});

/** DNS through a udp and a tcp listener on one port: a real resolver as the client, name servers of our own behind. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Resolver } from "node:dns/promises";
import { createServer, type AddressInfo, type Server } from "node:net";
import { type Answer, decode, encode, type Packet, streamDecode, streamEncode, TRUNCATED_RESPONSE } from "dns-packet";
import { LoadBalancer } from "fairlead";
import { freePort } from "../../support/ports.ts";
import { UdpServer } from "../../support/udp.ts";

/** Longer than a reply by UDP may be (RFC 1035, section 4.2.1), and than c-ares offers to take (RFC 6891). */
const LONG = Array.from({ length: 20 }, (_, i) => `${i}-${"x".repeat(200)}`);

function answers({ name, type }: { readonly name: string; readonly type: string }, server: string): Answer[] {
  if (type === "A") return [{ type: "A", name, ttl: 60, data: `192.0.2.${/^\d+/.exec(name)?.[0] ?? 1}` }];
  if (type === "AAAA") return [{ type: "AAAA", name, ttl: 60, data: "2001:db8::1" }];
  if (type === "TXT") return name.startsWith("long.") ? LONG.map((data) => ({ type: "TXT", name, ttl: 60, data })) : [{ type: "TXT", name, ttl: 60, data: server }];
  return [];
}

function reply(query: Packet, server: string): Packet {
  const { id, questions = [] } = query;
  return { type: "response", ...(id === undefined ? {} : { id }), questions, answers: questions.flatMap((question) => answers(question, server)) };
}

/** Answers over UDP and TCP on one port. */
class NameServer {
  readonly name: string;
  readonly port: number;
  readonly udp: UdpServer;
  readonly tcp: Server;
  overTcp = 0;

  private constructor(name: string, tcp: Server, udp: UdpServer) {
    this.name = name;
    this.port = udp.port;
    this.udp = udp;
    this.tcp = tcp;
    udp.answer = ({ bytes }) => {
      const whole = reply(decode(bytes), name);
      const bytesOut = encode(whole);
      return bytesOut.length <= 1_232 ? bytesOut : encode({ ...whole, flags: TRUNCATED_RESPONSE, answers: [] });
    };
    tcp.on("connection", (socket) =>
      socket.on("data", (bytes) => {
        this.overTcp++;
        socket.write(streamEncode(reply(streamDecode(bytes as Buffer) as Packet, name)));
      }),
    );
  }

  static async start(name: string): Promise<NameServer> {
    const tcp = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => tcp.once("listening", resolve));
    return new NameServer(name, tcp, await UdpServer.start(undefined, "127.0.0.1", (tcp.address() as AddressInfo).port));
  }

  stop(): void {
    this.udp.stop();
    this.tcp.close();
  }
}

let servers: NameServer[];
let balancer: LoadBalancer;
let resolver: Resolver;

beforeAll(async () => {
  servers = [await NameServer.start("a"), await NameServer.start("b")];
  const port = await freePort();
  balancer = await new LoadBalancer({
    config: `
[[listeners]]
name = "dns"
address = "127.0.0.1:${port}"
protocol = "udp"
upstream = "dns"
udp_responses = 1
timeouts = { udp_idle = "5s" }
[[listeners]]
name = "dns-tcp"
address = "127.0.0.1:${port}"
protocol = "tcp"
upstream = "dns"
[[upstreams]]
name = "dns"
targets = [${servers.map((server) => `{ address = "127.0.0.1:${server.port}" }`).join(", ")}]
`,
  }).start();
  resolver = new Resolver({ timeout: 1_000, tries: 2 });
  resolver.setServers([`127.0.0.1:${port}`]);
});

afterAll(async () => {
  await balancer.stop(100);
  for (const server of servers) server.stop();
});

describe("a resolver", () => {
  test("gets addresses of both families", async () => {
    expect(await resolver.resolve4("one.example.org")).toEqual(["192.0.2.1"]);
    expect(await resolver.resolve6("one.example.org")).toEqual(["2001:db8::1"]);
  });

  test("is spread over the name servers, a query each", async () => {
    const names = new Map<string, number>();
    for (let i = 0; i < 10; i++) {
      const [[name]] = (await resolver.resolveTxt(`${i}.example.org`)) as [[string]];
      names.set(name, (names.get(name) ?? 0) + 1);
    }
    // It asks from one socket, which is a new client after each answer.
    expect(Object.fromEntries(names)).toEqual({ a: 5, b: 5 });
  });

  test("asks 200 questions at once, and none is mixed up", async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => resolver.resolve4(`${i}.example.org`)));
    expect(answers.map(([address]) => address)).toEqual(Array.from({ length: 200 }, (_, i) => `192.0.2.${i}`));
  });

  test("comes again by TCP, through the same port, for what a datagram cannot hold", async () => {
    const texts = (await resolver.resolveTxt("long.example.org")).map(([text]) => text);
    expect(texts.toSorted()).toEqual(LONG.toSorted());
    expect(servers.reduce((sum, { overTcp }) => sum + overTcp, 0)).toBeGreaterThan(0);
  });

  test("does not notice that a name server has died", async () => {
    servers[1]!.stop();
    const began = performance.now();
    for (let i = 0; i < 6; i++) expect(await resolver.resolveTxt(`late${i}.example.org`)).toEqual([["a"]]);
    // Its own patience would be a second for each.
    expect(performance.now() - began).toBeLessThan(900);
  });
});

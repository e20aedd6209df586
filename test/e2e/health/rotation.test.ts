/** Targets go out of rotation and come back while clients use the balancer, and no client notices. */
import { describe, expect, test } from "bun:test";
import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import { openStage } from "../../support/stage.ts";
import type { TomlTable } from "../../support/toml.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const CHECK = { type: "http", path: "/healthz", interval: "100ms", timeout: "1s", rise: 2, fall: 2 };

/** A back end whose health is set by the test. */
class Patient {
  readonly name: string;
  healthy = true;
  checks = 0;
  port = 0;
  private server: Server | undefined = undefined;
  private readonly sockets = new Set<Socket>();

  constructor(name: string) {
    this.name = name;
    stage.atEnd(() => this.die());
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  async live(): Promise<this> {
    const server = createServer((request, reply) => {
      if (request.url === "/healthz") {
        this.checks += 1;
        reply.writeHead(this.healthy ? 200 : 503).end();
      } else {
        reply.writeHead(200, { "X-Instance": this.name }).end(this.name);
      }
    });
    server.on("connection", (socket: Socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
    });
    this.server = server;
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(this.port, "127.0.0.1", resolve));
    this.port = (server.address() as { port: number }).port;
    return this;
  }

  /** As a killed process: nobody listens, and what was open is reset. */
  die(): void {
    this.server?.close();
    for (const socket of this.sockets) socket.resetAndDestroy();
    this.server = undefined;
  }
}

const patients = (count: number) => Promise.all(Array.from({ length: count }, (_, i) => new Patient(`p${i + 1}`).live()));

/** Clients that ask again and again. */
class Traffic {
  readonly answers = new Map<string, number>();
  readonly failures: string[] = [];
  private readonly url: string;
  private going = true;
  private readonly loops: Promise<void>[];

  constructor(url: string, clients = 8) {
    this.url = url;
    this.loops = Array.from({ length: clients }, () => this.loop());
  }

  private async loop(): Promise<void> {
    while (this.going) {
      try {
        const reply = await fetch(this.url);
        const name = await reply.text();
        if (reply.status === 200) this.answers.set(name, (this.answers.get(name) ?? 0) + 1);
        else this.failures.push(String(reply.status));
      } catch (error) {
        this.failures.push(String(error));
      }
    }
  }

  of(patient: Patient): number {
    return this.answers.get(patient.name) ?? 0;
  }

  async stop(): Promise<void> {
    this.going = false;
    await Promise.all(this.loops);
  }
}

const balance = (targets: readonly Patient[], healthCheck: TomlTable = CHECK) => stage.fairlead({ targets, upstream: { health_check: healthCheck }, top: { workers: 2 } });
const counted = (count: string, state: string) => (line: { msg?: string; [field: string]: unknown }) => line.msg === `Healthy targets: ${count}` && line.state === state;

describe("a target that says that it is unhealthy", () => {
  test("gets no more requests, and gets them again when it has recovered, and no request fails", async () => {
    const [first, second, third] = (await patients(3)) as [Patient, Patient, Patient];
    const { fairlead, url } = await balance([first, second, third]);
    const traffic = new Traffic(url);
    await until("all to answer", () => [first, second, third].every((each) => traffic.of(each) > 10));

    second.healthy = false;
    const down = await fairlead.line("the second is down", counted("2/3", "down"));
    expect(down).toMatchObject({ upstream: "main", target: second.address, reason: "status 503" });
    // A request that was on its way when the target went out may still end there.
    const others = traffic.of(first) + traffic.of(third);
    await until("traffic to go on", () => traffic.of(first) + traffic.of(third) > others + 100);
    const before = traffic.of(second);
    const since = traffic.of(first);
    await until("traffic to go on", () => traffic.of(first) > since + 200);
    expect(traffic.of(second)).toBe(before);

    second.healthy = true;
    await fairlead.line("the second is up", counted("3/3", "up"));
    await until("the second to answer again", () => traffic.of(second) > before + 10);
    await traffic.stop();
    expect(traffic.failures).toEqual([]);
    expect(fairlead.log.filter(({ msg }) => msg?.startsWith("Healthy targets")).length).toBe(2);
  }, 30_000);
});

describe("a target that dies", () => {
  test("costs no request, neither when it goes nor when it comes back", async () => {
    const [first, second] = (await patients(2)) as [Patient, Patient];
    const { fairlead, url } = await balance([first, second]);
    const traffic = new Traffic(url);
    await until("both to answer", () => [first, second].every((each) => traffic.of(each) > 10));
    second.die();
    expect(await fairlead.line("the second is down", counted("1/2", "down"))).toMatchObject({ reason: "connect refused" });
    await second.live();
    await fairlead.line("the second is up", counted("2/2", "up"));
    const before = traffic.of(second);
    await until("the second to answer again", () => traffic.of(second) > before + 10);
    await traffic.stop();
    expect(traffic.failures).toEqual([]);
  }, 30_000);

  test("leaves 503 when it was the last one, said as an error, until one is back", async () => {
    const [only] = (await patients(1)) as [Patient];
    const { fairlead, url } = await balance([only]);
    only.die();
    const line = await fairlead.line("none is left", counted("0/1", "down"));
    expect(line.level).toBe("error");
    await until("503", async () => (await fetch(url)).status === 503);
    expect(await (await fetch(url)).text()).toContain("Service Unavailable");
    await only.live();
    await until("200", async () => (await fetch(url)).status === 200);
  }, 30_000);
});

test('a new target with initial = "down" gets requests only after its first check', async () => {
  const [first, second] = (await patients(2)) as [Patient, Patient];
  second.healthy = false;
  const { fairlead, url } = await balance([first, second], { ...CHECK, initial: "down" });
  await until("the first to be up", async () => (await fetch(url)).status === 200);
  for (let i = 0; i < 50; i++) expect(await (await fetch(url)).text()).toBe("p1");
  second.healthy = true;
  await fairlead.line("both are up", counted("2/2", "up"));
  await until("the second to answer", async () => (await (await fetch(url)).text()) === "p2");
}, 30_000);

test("each target is checked once an interval, not once a worker", async () => {
  const [only] = (await patients(1)) as [Patient];
  await stage.fairlead({ targets: [only], upstream: { health_check: { ...CHECK, interval: "200ms" } }, top: { workers: 2 } });
  await until("two checks", () => only.checks >= 2);
  const before = only.checks;
  const started = performance.now();
  await until("ten more checks", () => only.checks >= before + 10);
  expect(performance.now() - started).toBeGreaterThan(10 * 200 * 0.9 - 200);
}, 30_000);

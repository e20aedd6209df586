/** The fields that Fairlead adds: X-Forwarded-*, Forwarded, Via, X-Request-ID, Host; and whom it believes. */
import { beforeAll, describe, expect, test } from "bun:test";
import type { Message } from "../../support/messages.ts";
import { type RawBackend, reply } from "../../support/raw-backend.ts";
import { type Balanced, type BalanceOptions, openStage } from "../../support/stage.ts";

const stage = openStage();
let backend: RawBackend;

beforeAll(async () => {
  backend = await stage.backend();
});

/** The request as the back end sees it. */
async function through(front: Balanced, ...fields: readonly string[]): Promise<Message> {
  backend.clear((request, connection) => connection.write(reply(200, request.target)));
  const client = await stage.client(front);
  await client.ask(`GET /x HTTP/1.1\r\nHost: a.test:8080\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\n`);
  return backend.requests[0] as Message;
}

function start(options: Omit<BalanceOptions, "targets">): Promise<Balanced> {
  return stage.fairlead({ targets: [backend], ...options });
}

const CLAIMS = ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.test"];

describe("a client that is not trusted", () => {
  let front: Balanced;
  beforeAll(async () => {
    front = await start({ listener: { forwarding: { request_id: "missing", forwarded: true } } });
  }, 30_000);

  test("has its X-Forwarded-* overwritten by what Fairlead sees", async () => {
    const request = await through(front, ...CLAIMS);
    expect(request.headers("x-forwarded-for")).toEqual(["127.0.0.1"]);
    expect(request.headers("x-forwarded-proto")).toEqual(["http"]);
    expect(request.headers("x-forwarded-host")).toEqual(["a.test:8080"]);
  });

  test("has its Forwarded replaced", async () => {
    const request = await through(front, "Forwarded: for=1.2.3.4;proto=https");
    expect(request.headers("forwarded").length).toBe(1);
    expect(request.header("forwarded")).toContain("for=127.0.0.1");
    expect(request.header("forwarded")).toContain("proto=http");
    expect(request.header("forwarded")).not.toContain("1.2.3.4");
  });

  test("gets a request id of its own each time, and not the one it claims", async () => {
    const ids = [await through(front, "X-Request-ID: mine"), await through(front), await through(front)].map((request) => request.headers("x-request-id"));
    expect(ids.every((id) => id.length === 1 && /^[\w-]{8,}$/.test(id[0] as string))).toBe(true);
    expect(new Set(ids.flat()).size).toBe(3);
    expect(ids.flat()).not.toContain("mine");
  });

  test("has Via appended to its own", async () => {
    expect((await through(front, "Via: 1.0 fred")).header("via")).toMatch(/^1\.0 fred, 1\.1 \S+$/);
  });
});

describe("a trusted proxy in front", () => {
  let front: Balanced;
  beforeAll(async () => {
    front = await start({ listener: { forwarding: { trusted_proxies: ["10.0.0.0/8", "127.0.0.0/8"], request_id: "missing", forwarded: true } } });
  }, 30_000);

  test("has its X-Forwarded-For appended to, its Proto and Host believed", async () => {
    const request = await through(front, ...CLAIMS);
    expect(request.header("x-forwarded-for")?.replaceAll(" ", "")).toBe("1.2.3.4,127.0.0.1");
    expect(request.headers("x-forwarded-proto")).toEqual(["https"]);
    expect(request.headers("x-forwarded-host")).toEqual(["shop.test"]);
  });

  test("that sends none of them gets what Fairlead sees", async () => {
    const request = await through(front);
    expect(request.headers("x-forwarded-for")).toEqual(["127.0.0.1"]);
    expect(request.headers("x-forwarded-proto")).toEqual(["http"]);
    expect(request.headers("x-forwarded-host")).toEqual(["a.test:8080"]);
  });

  test("has its request id kept", async () => {
    expect((await through(front, "X-Request-ID: mine")).headers("x-request-id")).toEqual(["mine"]);
  });

  test("has its Forwarded appended to", async () => {
    const forwarded = (await through(front, "Forwarded: for=1.2.3.4;proto=https")).header("forwarded");
    expect(forwarded).toMatch(/^for=1\.2\.3\.4;proto=https, ?.*for=127\.0\.0\.1/);
  });
});

describe("a proxy outside of the trusted blocks", () => {
  test("is not believed", async () => {
    const front = await start({ listener: { forwarding: { trusted_proxies: ["10.0.0.0/8", "::1/128"] } } });
    expect((await through(front, ...CLAIMS)).headers("x-forwarded-for")).toEqual(["127.0.0.1"]);
  });
});

describe("forwarding options", () => {
  test("are, by default: X-Forwarded-* and Via on, Forwarded off", async () => {
    const request = await through(await start({}));
    expect(request.header("x-forwarded-for")).toBe("127.0.0.1");
    expect(request.header("via")).toMatch(/^1\.1 /);
    expect(request.header("forwarded")).toBeUndefined();
  });

  test("can all be switched off", async () => {
    const front = await start({ listener: { forwarding: { x_forwarded: false, via: false, request_id: "off" } } });
    const request = await through(front);
    for (const name of ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "via", "forwarded", "x-request-id"]) expect(request.header(name)).toBeUndefined();
  });

  test("can always make a request id, also for a trusted proxy", async () => {
    const front = await start({ listener: { forwarding: { request_id: "always", trusted_proxies: ["127.0.0.1/32"] } } });
    const ids = (await through(front, "X-Request-ID: mine")).headers("x-request-id");
    expect(ids.length).toBe(1);
    expect(ids[0]).not.toBe("mine");
  });
});

describe("the Host that targets see", () => {
  test("is the client's by default", async () => {
    expect((await through(await start({}))).headers("host")).toEqual(["a.test:8080"]);
  });

  test("can be the target's address", async () => {
    const request = await through(await start({ upstream: { host_header: "target" } }));
    expect(request.headers("host")).toEqual([backend.address]);
    expect(request.header("x-forwarded-host")).toBe("a.test:8080");
  });

  test("can be a fixed text", async () => {
    expect((await through(await start({ upstream: { host_header: "inner.test" } }))).headers("host")).toEqual(["inner.test"]);
  });
});

describe("a reply", () => {
  test("loses the fields that concern one connection, and those that Connection names", async () => {
    const front = await start({});
    backend.clear((_, connection) => connection.write(reply(200, "ok", { Connection: "X-Secret", "X-Secret": "1", "Keep-Alive": "timeout=5", "X-Stays": "1" })));
    const answer = await (await stage.client(front)).ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    expect(answer.fields.map(([name]) => name.toLowerCase())).not.toContain("x-secret");
    expect(answer.header("keep-alive")).toBeUndefined();
    expect(answer.header("x-stays")).toBe("1");
  });

  test("keeps the order, the case and the repetition of the rest", async () => {
    const front = await start({});
    backend.clear((_, connection) => connection.write("HTTP/1.1 200 Fine by me\r\nB-Second: 2\r\na-first: 1\r\nSet-Cookie: x=1\r\nSet-Cookie: y=2\r\nContent-Length: 0\r\n\r\n"));
    const answer = await (await stage.client(front)).ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    expect(answer.startLine).toBe("HTTP/1.1 200 Fine by me");
    const own = answer.fields.map((field) => field.join(": ")).filter((line) => /^(B-Second|a-first|Set-Cookie)/.test(line));
    expect(own).toEqual(["B-Second: 2", "a-first: 1", "Set-Cookie: x=1", "Set-Cookie: y=2"]);
  });
});

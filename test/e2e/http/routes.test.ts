/** Which upstream a request goes to: host, path, method, fields; first match wins. */
import { beforeAll, describe, expect, test } from "bun:test";
import { alwaysName } from "../../support/names.ts";
import { type Balanced, openStage } from "../../support/stage.ts";

const stage = openStage();
let front: Balanced;

/** Upstreams, each with a back end that says the upstream's name. */
const NAMES = ["api", "wild", "exact", "v1", "v1users", "writes", "canary", "present", "space"];

beforeAll(async () => {
  const entries = await Promise.all(NAMES.map(async (name) => [name, [await stage.backend(alwaysName(name))]] as const));
  front = await stage.fairlead({
    targets: [await stage.backend(alwaysName("main"))],
    upstreams: Object.fromEntries(entries),
    routes: [
      { hosts: ["api.example.com"], path_prefix: "/v1/users", upstream: "v1users" },
      { hosts: ["api.example.com"], path_prefix: "/v1", upstream: "v1" },
      { hosts: ["api.example.com"], upstream: "api" },
      { hosts: ["www.example.org"], upstream: "exact" },
      { hosts: ["*.example.org"], upstream: "wild" },
      { hosts: ["m.test"], methods: ["POST", "PUT"], upstream: "writes" },
      { hosts: ["f.test"], headers: { "X-Canary": "yes" }, upstream: "canary" },
      { path_prefix: "/with%20space", upstream: "space" },
    ],
  });
}, 30_000);

async function goesTo(host: string, path = "/", method = "GET", ...fields: readonly string[]): Promise<string> {
  const client = await stage.client(front);
  const { text } = await client.ask(`${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\n`);
  client.destroy();
  return text.split(" ")[0] as string;
}

describe("by host", () => {
  test("an exact name", async () => expect(await goesTo("api.example.com")).toBe("api"));
  test("in any case", async () => expect(await goesTo("API.Example.COM")).toBe("api"));
  test("with a port", async () => expect(await goesTo("api.example.com:8080")).toBe("api"));
  test("a name below a wildcard", async () => expect(await goesTo("a.example.org")).toBe("wild"));
  test("a name two below a wildcard", async () => expect(await goesTo("a.b.example.org")).toBe("wild"));
  test("the wildcard's own name does not match", async () => expect(await goesTo("example.org")).toBe("main"));
  test("a name that only ends alike does not match", async () => expect(await goesTo("notexample.org")).toBe("main"));
  test("an earlier exact name wins over a wildcard", async () => expect(await goesTo("www.example.org")).toBe("exact"));
  test("an unknown name goes where what matches nothing goes", async () => expect(await goesTo("nobody.test")).toBe("main"));
  test("absolute-form counts as Host", async () => expect(await goesTo("api.example.com", "http://api.example.com/v1")).toBe("v1"));
});

describe("by path", () => {
  test("a prefix of whole segments", async () => expect(await goesTo("api.example.com", "/v1/things")).toBe("v1"));
  test("the prefix itself", async () => expect(await goesTo("api.example.com", "/v1")).toBe("v1"));
  test("the prefix with a slash", async () => expect(await goesTo("api.example.com", "/v1/")).toBe("v1"));
  test("the prefix with a query", async () => expect(await goesTo("api.example.com", "/v1?x=y")).toBe("v1"));
  test("not a longer segment", async () => expect(await goesTo("api.example.com", "/v12")).toBe("api"));
  test("not in another case", async () => expect(await goesTo("api.example.com", "/V1/things")).toBe("api"));
  test("not in the query", async () => expect(await goesTo("api.example.com", "/?/v1")).toBe("api"));
  test("the first match wins over a later, shorter one", async () => expect(await goesTo("api.example.com", "/v1/users/7")).toBe("v1users"));
  test("dot segments are resolved first", async () => expect(await goesTo("api.example.com", "/x/../v1/./users")).toBe("v1users"));
  test("encoded dot segments are resolved first", async () => expect(await goesTo("api.example.com", "/x/%2e%2E/v1")).toBe("v1"));
  test("dot segments cannot leave a prefix unseen", async () => expect(await goesTo("api.example.com", "/v1/../secret")).toBe("api"));
  test("dot segments cannot climb above the root", async () => expect(await goesTo("api.example.com", "/../../v1/x")).toBe("v1"));
  test("encoded letters are decoded first", async () => expect(await goesTo("api.example.com", "/%76%31/x")).toBe("v1"));
  test("an encoded space in the prefix", async () => expect(await goesTo("nobody.test", "/with%20space/x")).toBe("space"));

  test("and what is sent on is what came", async () => {
    const client = await stage.client(front);
    const { text } = await client.ask("GET /x/../v1/./users?q=/../ HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
    expect(text).toBe("v1users /x/../v1/./users?q=/../");
  });
});

describe("by method and fields", () => {
  test("a listed method", async () => expect(await goesTo("m.test", "/", "POST")).toBe("writes"));
  test("not another method", async () => expect(await goesTo("m.test", "/", "GET")).toBe("main"));
  test("a field with the value", async () => expect(await goesTo("f.test", "/", "GET", "x-canary: yes")).toBe("canary"));
  test("not the field with another value", async () => expect(await goesTo("f.test", "/", "GET", "X-Canary: no")).toBe("main"));
  test("not without the field", async () => expect(await goesTo("f.test")).toBe("main"));
});

describe("no route and no upstream of the listener", () => {
  test("is 404, and the connection goes on", async () => {
    const bare = await stage.fairlead({ targets: [await stage.backend()], listener: { upstream: undefined }, routes: [{ hosts: ["known.test"], upstream: "main" }] });
    const client = await stage.client(bare);
    expect((await client.ask("GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n")).status).toBe(404);
    expect((await client.ask("GET / HTTP/1.1\r\nHost: known.test\r\n\r\n")).status).toBe(200);
  });

  test("is 404 for a POST whose body is still on its way", async () => {
    const bare = await stage.fairlead({ targets: [await stage.backend()], listener: { upstream: undefined }, routes: [{ hosts: ["known.test"], upstream: "main" }] });
    const client = await stage.client(bare);
    expect((await client.ask("POST / HTTP/1.1\r\nHost: unknown.test\r\nContent-Length: 100000\r\n\r\nsome")).status).toBe(404);
  });
});

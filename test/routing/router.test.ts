/** Routes: the first in file order that matches; hosts, whole segments, methods, headers. */
import { describe, expect, test } from "bun:test";
import type { RouteConfig } from "../../src/config/snapshot.ts";
import type { RoutingRequest } from "../../src/policies/policy.ts";
import { normalizePath } from "../../src/routing/path.ts";
import { routeLabel, Router } from "../../src/routing/router.ts";
import { Dice } from "../support/random.ts";

function request(host: string, path: string, method = "GET", headers: Record<string, string> = {}): RoutingRequest {
  return { protocol: "http", clientAddress: "127.0.0.1", clientPort: 1, method, host, path, key: undefined, header: (name) => headers[name.toLowerCase()] };
}

function router(...routes: readonly (Partial<RouteConfig> & { upstream: string })[]): Router<string> {
  return new Router(
    routes.map((route) => ({ slot: 0, listeners: [], hosts: [], methods: [], headers: [], ...route })),
    "default",
    (name) => name,
  );
}

describe("routes", () => {
  test("an IPv6 address is the same however it is written", () => {
    const routes = router({ hosts: ["[2001:DB8:0::1]"], upstream: "v6" });
    for (const host of ["[2001:db8::1]", "[2001:db8::1]:8080", "[2001:0db8:0:0:0:0:0:1]", "[2001:DB8::0.0.0.1]"]) expect(routes.route(request(host, "/"))?.upstream).toBe("v6");
    for (const host of ["[2001:db8::2]", "[2001:db8::1", "[]", "[x]", "2001:db8::1"]) expect(routes.route(request(host, "/"))?.upstream).toBe("default");
  });

  test("the first match wins, whatever kind of host it names", () => {
    const routes = router({ hosts: ["*.example.org"], upstream: "wild" }, { hosts: ["api.example.org"], upstream: "exact" }, { upstream: "any" });
    expect(routes.route(request("api.example.org", "/"))?.upstream).toBe("wild");
    expect(routes.route(request("a.b.example.org", "/"))?.upstream).toBe("wild");
    expect(routes.route(request("example.org", "/"))?.upstream).toBe("any");
    const other = router({ hosts: ["api.example.org"], upstream: "exact" }, { hosts: ["*.example.org"], upstream: "wild" });
    expect(other.route(request("API.Example.ORG.:8080", "/"))?.upstream).toBe("exact");
    expect(other.route(request("elsewhere", "/"))?.upstream).toBe("default");
  });

  test("a path prefix matches whole segments of the normalised path", () => {
    const routes = router({ pathPrefix: "/v1", upstream: "v1" }, { pathPrefix: "/", upstream: "root" });
    for (const path of ["/v1", "/v1/", "/v1/x?y", "/a/../v1/x", "/%76%31/x", "//v1"]) expect([path, routes.route(request("a", path))?.upstream]).toEqual([path, "v1"]);
    for (const path of ["/v10", "/x/v1", "/v1%2Fx", "/v1/../x"]) expect([path, routes.route(request("a", path))?.upstream]).toEqual([path, "root"]);
  });

  test("methods and headers must match too", () => {
    const routes = router(
      { methods: ["POST", "PUT"], upstream: "write" },
      { headers: [{ name: "X-Canary", value: "yes" }, { name: "Cookie" }], upstream: "canary" },
    );
    expect(routes.route(request("a", "/", "PUT"))?.upstream).toBe("write");
    expect(routes.route(request("a", "/", "GET", { "x-canary": "yes", cookie: "z" }))?.upstream).toBe("canary");
    expect(routes.route(request("a", "/", "GET", { "x-canary": "yes" }))?.upstream).toBe("default");
    expect(routes.route(request("a", "/", "GET", { "x-canary": "no", cookie: "z" }))?.upstream).toBe("default");
  });

  test("without routes everything goes to the default", () => {
    expect(router().route(request("a", "/x"))?.upstream).toBe("default");
    expect(new Router<string>([], undefined, (name) => name).route(request("a", "/"))).toBeUndefined();
  });
});

describe("a route's label", () => {
  const label = (route: Partial<RouteConfig>): string => routeLabel({ listeners: [], hosts: [], methods: [], headers: [], upstream: "u", ...route });

  test("is its name, else what it matches, in short", () => {
    expect(label({ name: "orders", hosts: ["a.example"] })).toBe("orders");
    expect(label({})).toBe("*");
    expect(label({ methods: ["GET"], hosts: ["api.example.com"], pathPrefix: "/v1" })).toBe("GET api.example.com/v1");
    expect(label({ hosts: ["a", "b", "c", "d"], headers: [{ name: "X-Canary", value: "secret" }] })).toBe("a,b,+2 [x-canary]");
    expect(label({ methods: ["GET", "HEAD"] })).toBe("GET,HEAD *");
  });

  test("goes with what was matched", () => {
    const routes = router({ pathPrefix: "/v1", upstream: "v1" });
    expect(routes.route(request("a", "/v1/x"))).toMatchObject({ label: "/v1", upstream: "v1", route: { pathPrefix: "/v1" } });
    expect(routes.route(request("a", "/"))).toEqual({ label: "", upstream: "default", route: undefined, counters: undefined });
  });
});

describe("path normalisation", () => {
  for (const [path, normal] of [
    ["/a/b", "/a/b"],
    ["/a/b?c=/../d", "/a/b"],
    ["/a/./b/../c", "/a/c"],
    ["/a/..", "/"],
    ["/../../a", "/a"],
    ["/a/.", "/a/"],
    ["//a///b/", "/a/b/"],
    ["/%61%2f%2e%2e/b", "/a%2F../b"],
    ["/a/%2e%2e/b", "/b"],
    ["/%zz/%", "/%zz/%"],
    ["/", "/"],
  ] as const)
    test(`${path} is ${normal}`, () => expect(normalizePath(path)).toBe(normal));
});

describe("the account of a router", () => {
  test("names the first condition of each route that fails, with what was wanted and seen, up to the one that matches", () => {
    const routes = router(
      { hosts: ["api.example.org", "*.example.net"], upstream: "host" },
      { pathPrefix: "/v1/", upstream: "path" },
      { methods: ["POST", "PUT"], upstream: "method" },
      { headers: [{ name: "X-A" }, { name: "X-B", value: "yes" }], upstream: "header" },
      { headers: [{ name: "X-C" }], upstream: "missing" },
      { hosts: ["*.Example.com".toLowerCase()], pathPrefix: "/v2", upstream: "here" },
      { upstream: "never" },
    );
    const told = routes.explain(request("www.EXAMPLE.com:8080", "/v2/../v2/x", "GET", { "x-a": "1", "x-b": "no" }));
    expect(told.map(({ route, failed }) => [route.upstream, failed])).toEqual([
      ["host", { condition: "host", name: "", wanted: "api.example.org, *.example.net", seen: "www.example.com" }],
      ["path", { condition: "path", name: "", wanted: "/v1/, or below it", seen: "/v2/x" }],
      ["method", { condition: "method", name: "", wanted: "POST, PUT", seen: "GET" }],
      ["header", { condition: "header", name: "X-B", wanted: "yes", seen: "no" }],
      ["missing", { condition: "header", name: "X-C", wanted: "any value", seen: undefined }],
      ["here", undefined],
    ]);
    expect(router({ hosts: ["a"], upstream: "x" }).explain(request("", "/"))[0]!.failed!.seen).toBeUndefined();
  });

  test("matches what is routed", () => {
    const dice = new Dice(11);
    const hosts = ["a.org", "b.org", "*.a.org", "*.b.a.org", "*"];
    const asked = ["a.org", "x.a.org", "y.b.a.org", "b.org", "c.org", ""];
    const paths = ["/", "/v1", "/v1/x", "/v2", "/v10"];
    let matched = 0;
    for (let round = 0; round < 300; round++) {
      const routes = router(
        ...Array.from({ length: dice.below(6) }, (_, index) => ({
          name: `route-${index}`,
          hosts: Array.from({ length: dice.below(3) }, () => dice.one(hosts)),
          ...(dice.chance(0.6) ? { pathPrefix: dice.one(paths) } : {}),
          ...(dice.chance(0.3) ? { methods: [dice.one(["GET", "POST"])] } : {}),
          ...(dice.chance(0.3) ? { headers: [dice.chance(0.5) ? { name: "x" } : { name: "x", value: "1" }] } : {}),
          upstream: "some",
        })),
      );
      for (let i = 0; i < 20; i++) {
        const one = request(dice.one(asked), dice.one(paths), dice.one(["GET", "POST"]), dice.chance(0.5) ? { x: dice.one(["1", "2"]) } : {});
        const match = routes.route(one);
        const last = routes.explain(one).at(-1);
        expect(last?.failed === undefined ? (last?.label ?? "") : "").toBe(match!.label);
        if (match!.label !== "") matched++;
      }
    }
    expect(matched).toBeGreaterThan(1000);
  });
});

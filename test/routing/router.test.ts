/** Routes: the first in file order that matches; hosts, whole segments, methods, headers. */
import { describe, expect, test } from "bun:test";
import type { RouteConfig } from "../../src/config/snapshot.ts";
import type { RoutingRequest } from "../../src/policies/policy.ts";
import { normalizePath } from "../../src/routing/path.ts";
import { routeLabel, Router } from "../../src/routing/router.ts";

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

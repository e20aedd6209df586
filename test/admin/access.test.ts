/** Who may do what on the admin address. */
import { describe, expect, test } from "bun:test";
import { type Access, admit } from "../../src/admin/access.ts";
import type { Problem } from "../../src/admin/problem.ts";
import { diagnosticLine, loadConfigText, SlotAllocator } from "../../src/config/load.ts";
import type { AdminConfig } from "../../src/config/snapshot.ts";

const LOOPBACK: AdminConfig = { address: { kind: "tcp", host: "127.0.0.1", port: 9901 } };
const WITH_TOKEN: AdminConfig = { ...LOOPBACK, token: "a long token" };
const UNIX: AdminConfig = { address: { kind: "unix", path: "/run/fairlead.sock" } };

/** The status of the refusal; the caller's name when there is none. */
function outcome(access: Access, config: AdminConfig, headers: Record<string, string>): number | string {
  try {
    return admit(new Request("http://ignored/", { headers: { Host: "127.0.0.1:9901", ...headers } }), access, config).name;
  } catch (error) {
    return (error as Problem).status;
  }
}

describe("without a token", () => {
  test("who reaches it may look and steer, but bring no configuration", () => {
    for (const Host of ["127.0.0.1:9901", "127.9.8.7", "localhost:9901", "LOCALHOST", "[::1]:9901"]) {
      expect([Host, outcome("read", LOOPBACK, { Host }), outcome("steer", LOOPBACK, { Host }), outcome("configure", LOOPBACK, { Host })]).toEqual([Host, "local", "local", 403]);
    }
  });

  test("a name that leads here is not enough: another's page could have it", () => {
    for (const Host of ["rebound.example:9901", "localhost.example", "10.0.0.1", "[::2]:9901", ""]) expect([Host, outcome("read", LOOPBACK, { Host })]).toEqual([Host, 403]);
    expect(outcome("open", LOOPBACK, { Host: "balancer.example" })).toBe("local");
  });

  test("over a unix socket any name will do", () => expect(outcome("steer", UNIX, { Host: "admin.test" })).toBe("local"));
});

describe("with a token", () => {
  test("everything but what is open asks for it", () => {
    for (const access of ["read", "steer", "configure"] as const) {
      expect([access, outcome(access, WITH_TOKEN, {}), outcome(access, WITH_TOKEN, { Authorization: "Bearer another token" }), outcome(access, WITH_TOKEN, { Authorization: "Basic a long token" })]).toEqual([access, 401, 401, 401]);
      expect([access, outcome(access, WITH_TOKEN, { Authorization: "Bearer a long token", Host: "lb.example" })]).toEqual([access, "token"]);
    }
    expect(outcome("open", WITH_TOKEN, {})).toBe("local");
  });
});

test("an address that others reach needs a token", () => {
  const problem = (admin: string): string => {
    const loaded = loadConfigText(`[admin]\n${admin}\n[[listeners]]\naddress = "127.0.0.1:0"\nupstream = "u"\n[[upstreams]]\nname = "u"\n[[upstreams.targets]]\naddress = "127.0.0.1:1"\n`, "f.toml", { slots: new SlotAllocator({ targets: 8, upstreams: 8 }), generation: 1 });
    return loaded.ok ? "" : loaded.diagnostics.map(diagnosticLine).join("\n");
  };
  for (const address of ["0.0.0.0:9901", ":9901", "[::]:9901", "10.1.2.3:9901"]) {
    expect(problem(`address = "${address}"`)).toStartWith("f.toml:2:");
    expect(problem(`address = "${address}"`)).toContain("set token in [admin]");
    expect(problem(`address = "${address}"\ntoken = "a long token"`)).toBe("");
  }
  for (const address of ["127.0.0.1:9901", "[::1]:9901", "unix:/run/fairlead.sock"]) expect([address, problem(`address = "${address}"`)]).toEqual([address, ""]);
});

test("a page of another site is refused, one of ours is not", () => {
  for (const config of [LOOPBACK, WITH_TOKEN]) {
    const token = { Authorization: "Bearer a long token" };
    expect(outcome("steer", config, { ...token, Origin: "http://evil.example" })).toBe(403);
    expect(outcome("steer", config, { ...token, Origin: "null" })).toBe(403);
    expect(outcome("read", config, { ...token, "Sec-Fetch-Site": "cross-site" })).toBe(403);
    expect(outcome("read", config, { ...token, "Sec-Fetch-Site": "same-site" })).toBe(403);
    expect(outcome("steer", config, { ...token, Origin: "http://127.0.0.1:9901", "Sec-Fetch-Site": "same-origin" })).toBeString();
  }
});

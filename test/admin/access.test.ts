/** Who may do what on the admin address. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ACCESS, type Access, admit } from "../../src/admin/access.ts";
import type { Problem } from "../../src/admin/problem.ts";
import { diagnosticLine, type Loaded, loadConfigText, SlotAllocator } from "../../src/config/load.ts";
import type { AdminConfig } from "../../src/config/snapshot.ts";

const LOOPBACK: AdminConfig = { address: { kind: "tcp", host: "127.0.0.1", port: 9901 }, tokens: [] };
const WITH_TOKEN: AdminConfig = { ...LOOPBACK, tokens: [{ name: "token", token: "a long token", access: "configure" }] };
const UNIX: AdminConfig = { address: { kind: "unix", path: "/run/fairlead.sock" }, tokens: [] };

const REST = '[[listeners]]\naddress = "127.0.0.1:0"\nupstream = "u"\n[[upstreams]]\nname = "u"\n[[upstreams.targets]]\naddress = "127.0.0.1:1"\n';

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

describe("with named tokens", () => {
  const NAMED: AdminConfig = {
    ...LOOPBACK,
    tokens: [
      { name: "backends", token: "token of backends", access: "heartbeat" },
      { name: "eyes", token: "token of eyes", access: "read" },
      { name: "ops", token: "token of ops", access: "steer" },
      { name: "deploy", token: "token of deploy", access: "configure" },
    ],
  };

  test("each may do what it is for, and is known by its name", () => {
    const outcomes = (token: string): unknown[] => ACCESS.map((access) => outcome(access, NAMED, { Authorization: `Bearer ${token}` }));
    expect(outcomes("token of backends")).toEqual(["local", "backends", 403, 403, 403]);
    expect(outcomes("token of eyes")).toEqual(["local", 403, "eyes", 403, 403]);
    expect(outcomes("token of ops")).toEqual(["local", "ops", "ops", "ops", 403]);
    expect(outcomes("token of deploy")).toEqual(["local", "deploy", "deploy", "deploy", "deploy"]);
    expect(outcomes("token of eyes ")).toEqual(["local", 403, "eyes", 403, 403]);
    expect(outcomes("token of")).toEqual(["local", 401, 401, 401, 401]);
  });

  test("a refusal says what would be needed, and tells no token", async () => {
    for (const [token, access, scheme, detail] of [
      ["token of eyes", "steer", 'Bearer realm="fairlead", error="insufficient_scope", scope="steer"', 'token "eyes" has access = "read"; this needs "steer"'],
      ["wrong", "read", 'Bearer realm="fairlead"', "show a token of [admin] as Authorization: Bearer …"],
    ] as const) {
      const request = new Request("http://ignored/", { headers: { Host: "127.0.0.1:9901", Authorization: `Bearer ${token}` } });
      let refusal: Problem | undefined;
      try {
        admit(request, access, NAMED);
      } catch (error) {
        refusal = error as Problem;
      }
      const response = refusal!.response();
      expect(response.headers.get("www-authenticate")).toBe(scheme);
      expect(await response.json()).toMatchObject({ detail });
      expect(JSON.stringify([...response.headers, refusal!.message, refusal!.members])).not.toContain(token);
    }
  });

  test("come from the file, or from files of their own", () => {
    const directory = mkdtempSync(join(tmpdir(), "fairlead-tokens-"));
    try {
      writeFileSync(join(directory, "ops.token"), "of a file, and long\n");
      writeFileSync(join(directory, "short.token"), "short\n");
      const load = (tokens: string, admin = ""): Loaded => loadConfigText(`[admin]\naddress = "0.0.0.0:9901"\n${admin}\n${tokens}\n${REST}`, join(directory, "f.toml"), { slots: new SlotAllocator({ targets: 8, upstreams: 8 }), generation: 1 });
      const told = (tokens: string, admin?: string): string => {
        const loaded = load(tokens, admin);
        return loaded.ok ? "" : loaded.diagnostics.map((diagnostic) => `${diagnosticLine(diagnostic)} ${diagnostic.quoted ?? ""}`).join("\n");
      };
      const ops = '[[admin.tokens]]\nname = "ops"\naccess = "steer"\n';
      const loaded = load(`${ops}token_file = "ops.token"\n[[admin.tokens]]\nname = "eyes"\naccess = "read"\ntoken = "long enough"`, 'token = "one for all"');
      expect(loaded.ok && loaded.snapshot.admin?.tokens).toEqual([
        { name: "token", token: "one for all", access: "configure" },
        { name: "ops", token: "of a file, and long", access: "steer" },
        { name: "eyes", token: "long enough", access: "read" },
      ]);
      expect(told(`${ops}token_file = "none.token"`)).toContain(`cannot read ${directory}/none.token: no such file`);
      // A token that was pasted in the place of a path is not told, nor the line that has it; a path is.
      for (const pasted of ["9f86d081884c7d659a2feaa0c55ad015", "Zm9v/YmFy+cXV4/09==", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJvcHMifQ.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW", "hunter22"]) {
        const text = told(`${ops}token_file = "${pasted}"`);
        expect(text).toContain(`token_file of "ops" names no file: "${pasted.slice(0, 4)}…" (${pasted.length} characters) (what looks like the token itself goes into token`);
        expect(text).not.toContain(pasted.slice(0, 6));
        expect(told(`${ops}token_file = "${pasted}`)).not.toContain(pasted.slice(0, 6));
      }
      expect(told(`${ops}token_file = "${directory}/none"`)).toContain(`cannot read ${directory}/none: no such file`);
      expect(told(`${ops}token_file = "none/ops.token"`)).toContain(`cannot read ${directory}/none/ops.token: no such file`);
      expect(told(`${ops}token_file = "short.token"`)).toContain("a token has at least 8 characters");
      expect(told(ops)).toContain('token "ops" needs one of token and token_file');
      expect(told(`${ops}token = "long enough"\ntoken_file = "ops.token"`)).toContain('token "ops" needs one of token and token_file (leave one of the two out)');
      expect(told(`${ops}token = "long enough"\n${ops}token = "another one"`)).toContain('there are two tokens "ops"');
      expect(told(`${ops}token = "long enough"\n${ops.replace("ops", "eyes")}token = "long enough"`)).toContain('token "eyes" is the same as another one');
      expect(told(`${ops.replace("ops", "token")}token = "long enough"`, 'token = "one for all"')).toContain('"token" is what the token of [admin] is called');
      expect(told(`${ops.replace("steer", "admin")}token = "long enough"`)).toContain('"access" must be "heartbeat", "read", "steer" or "configure"');
      for (const secret of ["tooshor", "naïve token", 12_345_678, "long enough"]) {
        const text = told(`${ops}token = ${JSON.stringify(secret)}\n${secret === "long enough" ? ops : ""}`);
        expect([secret, text === "", text.includes(String(secret))]).toEqual([secret, false, false]);
      }
      expect(told('[[admin.tokens]]\ntoken = "never closed')).toContain("not valid TOML");
      expect(told('[[admin.tokens]]\ntoken = "never closed')).not.toContain("never closed");
    } finally {
      rmSync(directory, { recursive: true });
    }
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

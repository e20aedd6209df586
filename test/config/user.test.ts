/** `user` and `group`: whom they mean, and what is said when that is nobody of this machine. */
import { expect, test } from "bun:test";
import { diagnosticLine, loadConfigText, SlotAllocator } from "../../src/config/load.ts";
import type { UserConfig } from "../../src/config/snapshot.ts";
import { LoadBalancer } from "../../src/library/load-balancer.ts";

const REST = '[[listeners]]\naddress = "127.0.0.1:0"\nupstream = "u"\n[[upstreams]]\nname = "u"\ntargets = [{ address = "127.0.0.1:1" }]\n';

function told(lines: string): UserConfig | string | undefined {
  const loaded = loadConfigText(`${lines}\n${REST}`, "f.toml", { slots: new SlotAllocator({ targets: 8, upstreams: 8 }), generation: 1 });
  return loaded.ok ? loaded.snapshot.user : loaded.diagnostics.map(diagnosticLine).join("\n");
}

test("a user is known by name or number, and so is its group", () => {
  expect(told("")).toBeUndefined();
  const nobody = told('user = "nobody"') as UserConfig;
  expect(nobody).toEqual({ name: "nobody", uid: expect.any(Number), gid: expect.any(Number) });
  expect(nobody.uid).toBeGreaterThan(0);
  expect(told(`user = ${nobody.uid}`)).toEqual({ ...nobody, name: String(nobody.uid) });
  expect(told(`user = "${nobody.uid}"`)).toEqual({ ...nobody, name: String(nobody.uid) });
  expect(told('user = "nobody"\ngroup = 0')).toEqual({ ...nobody, gid: 0 });
  expect(told('user = 4000000001\ngroup = "sys"')).toEqual({ name: "4000000001", uid: 4_000_000_001, gid: expect.any(Number) });
});

test("who is not there is said with the place", () => {
  expect(told('user = "no-such-user"')).toBe('f.toml:1:8: this machine has no user "no-such-user" (make it (useradd --system), or name one of getent passwd)');
  expect(told('user = "nobody"\ngroup = "no-such-group"')).toBe('f.toml:2:9: this machine has no group "no-such-group" (make it (groupadd --system), or name one of getent group)');
  expect(told("user = 4000000001")).toBe('f.toml:1:8: this machine has no user 4000000001, so it is not known in which group that is (add group = "…")');
  expect(told('group = "nobody"')).toStartWith("f.toml:1:1: group is the group of user, and there is none");
  for (const root of ['"root"', "0", '"0"']) expect(told(`user = ${root}`)).toStartWith("f.toml:1:8: workers are root's when nothing is said");
  for (const odd of ['"a b"', '"-x"', "-1", "4294967295", '"$(id)"', "true"]) expect([odd, String(told(`user = ${odd}`)).startsWith("f.toml:1:8: ")]).toEqual([odd, true]);
});

test("in one process there are no workers to be somebody else", async () => {
  await expect(new LoadBalancer({ config: `user = "nobody"\n${REST}` }).start()).rejects.toThrow('user = "nobody" is for workers');
});

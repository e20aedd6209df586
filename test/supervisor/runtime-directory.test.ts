/** What an instance leaves on disk: whose it is, who may come after it, what goes at the end. */
import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RuntimeDirectory } from "../../src/supervisor/runtime-directory.ts";

const root = mkdtempSync(join(tmpdir(), "fairlead-runtime-"));
afterAll(() => rmSync(root, { recursive: true }));
let count = 0;
const fresh = (): string => join(root, String(count++));
const state = { supervisor: process.pid, board: "/nowhere", workers: [], sockets: [] };

describe("the runtime directory", () => {
  test("is this user's alone, and what it says can be read again", () => {
    const directory = new RuntimeDirectory("x", fresh(), undefined);
    expect(statSync(directory.path).mode & 0o777).toBe(0o700);
    expect(directory.read()).toBeUndefined();
    directory.write(state);
    expect(directory.read()).toEqual(state);
    expect(statSync(join(directory.path, "state.json")).mode & 0o777).toBe(0o600);
  });

  test("has one supervisor at a time; the message says which one and what to do", () => {
    const path = fresh();
    const first = new RuntimeDirectory("x", path, undefined);
    expect(() => new RuntimeDirectory("x", path, undefined)).toThrow("is being started by another process");
    first.write({ ...state, supervisor: 4711 });
    expect(() => new RuntimeDirectory("x", path, undefined)).toThrow("this configuration is run already by process 4711; stop it first, or reload it with: kill -HUP 4711");
  });

  test("is free again when its supervisor was killed", async () => {
    const path = fresh();
    const module = join(import.meta.dir, "../../src/supervisor/runtime-directory.ts");
    const script = `const { RuntimeDirectory } = await import(${JSON.stringify(module)}); new RuntimeDirectory("x", ${JSON.stringify(path)}, undefined); console.log("locked"); setInterval(() => {}, 1000);`;
    const child = Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    await child.stdout.getReader().read();
    expect(() => new RuntimeDirectory("x", path, undefined)).toThrow("another process");
    child.kill("SIGKILL");
    await child.exited;
    expect(() => new RuntimeDirectory("x", path, undefined)).not.toThrow();
  });

  test("goes at the end, but never what others put there", () => {
    const own = new RuntimeDirectory("x", fresh(), undefined);
    own.write(state);
    own.remove();
    expect(existsSync(own.path)).toBe(false);
    const shared = new RuntimeDirectory("x", fresh(), undefined);
    shared.write(state);
    mkdirSync(join(shared.path, "precious"));
    writeFileSync(join(shared.path, "notes.txt"), "keep");
    shared.remove();
    expect(readdirSync(shared.path).toSorted()).toEqual(["notes.txt", "precious"]);
  });

  test("stays when another supervisor goes on in it", () => {
    const directory = new RuntimeDirectory("x", fresh(), undefined);
    directory.write({ ...state, supervisor: process.pid + 1 });
    directory.remove();
    expect(directory.read()).toBeDefined();
  });

  test("is not believed when others may write to it, or when it is no directory", () => {
    const open = fresh();
    mkdirSync(open);
    chmodSync(open, 0o777);
    expect(() => new RuntimeDirectory("x", open, undefined)).toThrow("nobody else can write to");
    const file = fresh();
    writeFileSync(file, "");
    expect(() => new RuntimeDirectory("x", file, undefined)).toThrow("runtime directory");
  });

  test("has a configuration that is believed only of this user", () => {
    const path = fresh();
    const directory = new RuntimeDirectory("x", path, undefined);
    const kept = { text: "workers = 1", at: "2026-01-01T00:00:00.000Z", by: "api:token" };
    expect(RuntimeDirectory.configOf("x", path)).toBeUndefined();
    directory.write({ ...state, workers: [{ pid: process.pid, controlSocket: "" }] });
    directory.writeConfig(kept);
    expect(RuntimeDirectory.configOf("x", path)).toEqual(kept);
    chmodSync(path, 0o777);
    expect(RuntimeDirectory.configOf("x", path)).toBeUndefined();
  });

  test("has a path that sockets fit into", () => {
    expect(() => new RuntimeDirectory("x", join(root, "d".repeat(90)), undefined)).toThrow("too long");
  });
});

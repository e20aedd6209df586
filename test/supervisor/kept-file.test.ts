/** What is kept for this user: made once, the same for all that start at the same time, and nobody else's work. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const SUPERVISOR = resolve(import.meta.dir, "../../src/supervisor");
const own = process.getuid!();
const SECRET = "5".repeat(64);

let directory = "";
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), "fairlead-kept-"))));
afterEach(() => rmSync(directory, { recursive: true }));

const at = (...names: readonly string[]): string => join(directory, ...names);
/** As earlier versions had it, among temporary files. */
const before = (name: string): string => at("tmp", `fairlead-${own}`, name);

/** What a process of its own finds. */
async function run(code: string, environment: Readonly<Record<string, string>> = {}): Promise<string> {
  mkdirSync(at("tmp"), { recursive: true });
  const child = Bun.spawn([process.execPath, "-e", code], { env: { ...process.env, TMPDIR: at("tmp"), XDG_STATE_HOME: at("state"), ...environment }, stderr: "pipe" });
  const [out, error] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return (await child.exited) === 0 ? out.trim() : error;
}

const secretOf = (environment?: Readonly<Record<string, string>>): Promise<string> => run(`import { machineSecret } from "${SUPERVISOR}/machine-secret.ts"; console.log(machineSecret());`, environment);
const certificateOf = (): Promise<string> => run(`import { keptSelfSigned } from "${SUPERVISOR}/self-signed-file.ts"; const { file, certificate, key } = keptSelfSigned(["a.test"]); console.log(file + "\\n" + certificate + key);`);

describe("the secret of this machine", () => {
  test("is the same for processes that start at the same time, and is kept for this user only", async () => {
    const all = await Promise.all(Array.from({ length: 4 }, () => secretOf()));
    expect(all[0]).toMatch(/^[0-9a-f]{64}$/);
    expect(new Set(all).size).toBe(1);
    expect(readdirSync(at("state/fairlead"))).toEqual(["sticky-secret"]);
    expect([statSync(at("state/fairlead")).mode & 0o777, statSync(at("state/fairlead/sticky-secret")).mode & 0o777]).toEqual([0o700, 0o600]);
    expect(existsSync(before("sticky-secret"))).toBe(false);
  });

  test("is made anew where there is none, or others can read it", async () => {
    await secretOf();
    for (const spoil of [(path: string) => writeFileSync(path, ""), (path: string) => chmodSync(path, 0o644)]) {
      const path = at("state/fairlead/sticky-secret");
      const last = readFileSync(path, "utf8");
      spoil(path);
      const secret = await secretOf();
      expect(secret).toHaveLength(64);
      expect(secret).not.toBe(last);
      expect([await secretOf(), statSync(path).mode & 0o777]).toEqual([secret, 0o600]);
    }
  });

  test("comes from among the temporary files once", async () => {
    mkdirSync(before(""), { recursive: true, mode: 0o700 });
    writeFileSync(before("sticky-secret"), SECRET, { mode: 0o600 });
    expect(await secretOf()).toBe(SECRET);
    expect(existsSync(before("sticky-secret"))).toBe(false);
    expect(await secretOf()).toBe(SECRET);
  });

  test("does not come from there when somebody else could have put it there, or read it", async () => {
    const traps: Readonly<Record<string, () => void>> = {
      "a directory that others write to": () => chmodSync(before(""), 0o777),
      "a file that others read": () => chmodSync(before("sticky-secret"), 0o644),
      "a link": () => {
        writeFileSync(at("theirs"), SECRET, { mode: 0o600 });
        rmSync(before("sticky-secret"));
        symlinkSync(at("theirs"), before("sticky-secret"));
      },
      "a link in place of the directory": () => {
        rmSync(before(""), { recursive: true });
        mkdirSync(at("elsewhere"), { recursive: true, mode: 0o700 });
        writeFileSync(at("elsewhere/sticky-secret"), SECRET, { mode: 0o600 });
        symlinkSync(at("elsewhere"), join(at("tmp"), `fairlead-${own}`));
      },
      "a named pipe, which would keep us waiting": () => {
        rmSync(before("sticky-secret"));
        expect(Bun.spawnSync(["mkfifo", "-m", "600", before("sticky-secret")]).exitCode).toBe(0);
      },
    };
    for (const [what, set] of Object.entries(traps)) {
      rmSync(at("state"), { recursive: true, force: true });
      rmSync(at("tmp"), { recursive: true, force: true });
      mkdirSync(before(""), { recursive: true, mode: 0o700 });
      writeFileSync(before("sticky-secret"), SECRET, { mode: 0o600 });
      set();
      const secret = await secretOf();
      expect([what, /^[0-9a-f]{64}$/.test(secret), secret === SECRET]).toEqual([what, true, false]);
    }
  });

  test("is beside the runtime directories where there can be no state directory, and nowhere that others write to", async () => {
    writeFileSync(at("file"), "");
    const secret = await secretOf({ XDG_STATE_HOME: at("file") });
    expect(await secretOf({ XDG_STATE_HOME: at("file") })).toBe(secret);
    expect(readFileSync(before("sticky-secret"), "utf8")).toBe(secret);
    mkdirSync(at("open/fairlead"), { recursive: true });
    chmodSync(at("open/fairlead"), 0o777);
    expect(await secretOf({ XDG_STATE_HOME: at("open") })).toContain(`the state directory ${at("open/fairlead")} must be a directory of this user that nobody else can write to`);
  });
});

test("the development certificate is kept beside it, and the one of before stays", async () => {
  const first = await certificateOf();
  const [file, ...pem] = first.split("\n");
  expect([file, statSync(file!).mode & 0o777]).toEqual([at("state/fairlead/self-signed.pem"), 0o600]);
  mkdirSync(before(""), { recursive: true, mode: 0o700 });
  writeFileSync(before("self-signed.pem"), `${pem.join("\n")}\n`, { mode: 0o600 });
  rmSync(file!);
  expect(await certificateOf()).toBe(first);
  expect(existsSync(before("self-signed.pem"))).toBe(false);
});

/** The secret of this machine: made once, kept, the same for all that start at the same time. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const directory = mkdtempSync(join(tmpdir(), "fairlead-secret-"));
afterAll(() => rmSync(directory, { recursive: true }));

const MODULE = resolve(import.meta.dir, "../../src/supervisor/machine-secret.ts");

async function secretOf(temporary: string): Promise<string> {
  const child = Bun.spawn([process.execPath, "-e", `import { machineSecret } from ${JSON.stringify(MODULE)}; console.log(machineSecret());`], { env: { ...process.env, TMPDIR: temporary }, stderr: "inherit" });
  return (await new Response(child.stdout).text()).trim();
}

test("processes that start at the same time agree, and it is kept for this user only", async () => {
  const all = await Promise.all(Array.from({ length: 4 }, () => secretOf(directory)));
  expect(all[0]).toMatch(/^[0-9a-f]{64}$/);
  expect(new Set(all).size).toBe(1);
  const own = join(directory, `fairlead-${process.getuid!()}`);
  expect(readdirSync(own)).toEqual(["sticky-secret"]);
  expect(statSync(join(own, "sticky-secret")).mode & 0o777).toBe(0o600);
});

test("a file that holds none is made anew", async () => {
  await secretOf(directory);
  const path = join(directory, `fairlead-${process.getuid!()}`, "sticky-secret");
  writeFileSync(path, "");
  const secret = await secretOf(directory);
  expect(secret).toHaveLength(64);
  expect(await secretOf(directory)).toBe(secret);
});

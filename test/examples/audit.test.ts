/** The step of CI that looks at dependencies, with an npm that says what a registry may say. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const directory = mkdtempSync(join(tmpdir(), "fairlead-audit-"));
afterAll(() => rmSync(directory, { recursive: true }));

test.each([
  ["nothing known", '{ "auditReportVersion": 2, "vulnerabilities": {} }', 0, 0, "nothing of what is shipped"],
  ["a weakness", '{ "auditReportVersion": 2, "vulnerabilities": { "zod": {\n "name": "zod",\n "severity": "high"\n} } }', 1, 1, '"name": "zod"'],
  ["a registry without audits", '{ "message": "405 Method Not Allowed", "error": {} }', 1, 0, "gives no answer"],
  ["no network", "", 1, 0, "gives no answer"],
])("%s", async (_what, answer, status, expected, says) => {
  writeFileSync(join(directory, "npm"), `#!/bin/sh\ncat <<'END'\n${answer}\nEND\nexit ${status}\n`);
  chmodSync(join(directory, "npm"), 0o755);
  const child = Bun.spawn([join(import.meta.dir, "../../.ci/audit")], { env: { ...process.env, PATH: `${directory}:${process.env["PATH"]}` }, stdout: "pipe", stderr: "pipe" });
  const said = (await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])).join("");
  expect([await child.exited, said]).toEqual([expected, expect.stringContaining(says)]);
});

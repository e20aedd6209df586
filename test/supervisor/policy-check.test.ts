/** Policy files are tried in a process of their own: whatever they do there, this one goes on. */
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Snapshot } from "../../src/config/snapshot.ts";
import { policyPaths, policyProblem } from "../../src/supervisor/policy-check.ts";
import { openStage } from "../support/stage.ts";

const stage = openStage();
const SELF = [process.execPath, resolve(import.meta.dir, "../../src/cli/main.ts")];

/** As much of a snapshot as is looked at. */
function using(...policies: readonly { readonly path: string; readonly version?: string }[]): Snapshot {
  return { upstreams: policies.map(({ path, version = "1" }) => ({ policy: { kind: "module", path, version } })) } as unknown as Snapshot;
}

function file(text: string): string {
  const path = join(stage.directory(), "policy.ts");
  writeFileSync(path, text);
  return path;
}

const GOOD = "export default { pick: (_request: unknown, targets: readonly object[]) => targets[0] };";

describe("a policy file", () => {
  test("that loads is no problem, though it holds timers and talks", async () => {
    expect(await policyProblem(SELF, using({ path: file(`setInterval(() => {}, 1000); console.log("hello"); ${GOOD}`) }))).toBeUndefined();
  });

  for (const [what, text, problem] of [
    ["that is no TypeScript", "export default {", /^policy .* does not load: /],
    ["that exports no policy", "export default 5;", /the default export must be a policy/],
    ["whose factory returns no policy", "export default () => 5;", /what the default export returned has no pick/],
    ["whose factory throws", 'export default () => { throw new Error("no luck"); };', /^policy .* fails: no luck$/],
    ["that ends the process", "process.exit(3);", /^policy .* ends the process that loads it \(exit code 3\)$/],
    ["that kills the process", 'process.kill(process.pid, "SIGKILL");', /^policy .* ends the process that loads it \(SIGKILL\)$/],
    ["that never ends loading", "await new Promise(() => setInterval(() => {}, 1000));", /^policy .* does not load within 5 s$/],
    ["that loops for ever", "for (;;) Bun.sleepSync(1_000);", /^policy .* does not load within 5 s$/],
  ] as const) {
    test.concurrent(
      `${what} is a problem with a name`,
      async () => {
        const good = file(GOOD);
        const bad = file(text);
        const said = await policyProblem(SELF, using({ path: good }, { path: bad }));
        expect(said).toMatch(problem);
        expect(said).toContain(bad);
      },
      15_000,
    );
  }

  test("that was good before is not tried again; one that changed is", async () => {
    const path = file("process.exit(1);");
    expect(await policyProblem(SELF, using({ path }), using({ path }))).toBeUndefined();
    expect(await policyProblem(SELF, using({ path, version: "2" }), using({ path }))).toContain("exit code 1");
  });
});

test("policyPaths names each file once", () => {
  expect(policyPaths(using({ path: "/a.ts" }, { path: "/b.ts" }, { path: "/a.ts" }))).toEqual(["/a.ts", "/b.ts"]);
});

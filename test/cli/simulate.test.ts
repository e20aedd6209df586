/** `fairlead simulate` as a person runs it. */
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SCENARIOS } from "../../src/simulate/scenarios.ts";
import { openStage } from "../support/stage.ts";
import { ran } from "./ran.ts";

const stage = openStage();

const CONFIG = `
[[listeners]]
address = ":8080"
upstream = "web"

[[upstreams]]
name = "web"
policy = "./last.ts"
targets = [{ address = "10.0.0.1:80" }, { address = "10.0.0.2:80", weight = 2 }, { address = "10.0.0.3:80" }]

[[upstreams]]
name = "alone"
targets = [{ address = "10.0.0.9:80" }]
`;

function directory(): string {
  const path = stage.directory();
  writeFileSync(join(path, "fairlead.toml"), CONFIG);
  writeFileSync(join(path, "last.ts"), "export default { pick: (_request: unknown, targets: readonly object[]) => targets.at(-1) };\n");
  return path;
}

const QUICK = ["--requests", "2000"];

describe("fairlead simulate", () => {
  test("prints every policy beside the others, for each scenario", async () => {
    for (const scenario of Object.keys(SCENARIOS)) {
      const { code, stdout, stderr } = await ran(["simulate", "--scenario", scenario, ...QUICK], stage.directory());
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdout).toStartWith(`${scenario}: ${SCENARIOS[scenario]!.says}\n`);
      for (const policy of ["round-robin", "p2c", "peak-ewma", "hash:ketama:1.25"]) expect(stdout).toMatch(new RegExp(`^${policy} .* ms`, "m"));
    }
  }, 30_000);

  test("takes targets, weights and the policy of a config, a file of the user's own too", async () => {
    const { code, stdout } = await ran(["simulate", "--config", "fairlead.toml", "--scenario", "slow-target", "--json", ...QUICK], directory());
    expect(code).toBe(0);
    const { policies } = JSON.parse(stdout) as { policies: { policy: string; byTarget: number[] }[] };
    expect(policies[0]).toMatchObject({ policy: "last.ts", byTarget: [0, 0, expect.any(Number)] });
    expect(policies.find(({ policy }) => policy === "round-robin")!.byTarget).toEqual([500, 1000, 500]);
  });

  test("takes back ends that would be started for targets like the others, with the upstream's limits", async () => {
    const path = stage.directory();
    const results = async (rest: string): Promise<unknown> => {
      writeFileSync(join(path, "fairlead.toml"), `listeners = [{ address = ":8080", upstream = "web" }]\n[[upstreams]]\nname = "web"\nmax_requests = 3\n${rest}`);
      const { code, stdout } = await ran(["simulate", "--config", "fairlead.toml", "--scenario", "slow-target", "--policy", "round-robin,p2c", "--json", ...QUICK], path);
      expect(code).toBe(0);
      return JSON.parse(stdout);
    };
    const started = await results('targets = [{ address = "10.0.0.1:80", weight = 2 }]\nsupervised = { command = ["./web"], instances = 3 }\n');
    const written = await results('targets = [{ address = "10.0.0.1:80", weight = 2 }, { address = "10.0.0.2:80" }, { address = "10.0.0.3:80" }, { address = "10.0.0.4:80" }]\n');
    expect(started).toEqual(written);
  });

  test("takes policy files by their names, and says what is wrong with one", async () => {
    const path = directory();
    const { code, stdout } = await ran(["simulate", "--scenario", "hot-key", "--policy", "./last.ts,p2c", ...QUICK], path);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\.\/last\.ts .*\np2c /m);
    writeFileSync(join(path, "later.ts"), "export default { pick: async (_request: unknown, targets: readonly object[]) => targets[0] };\n");
    expect(await ran(["simulate", "--scenario", "hot-key", "--policy", "./later.ts", ...QUICK], path)).toMatchObject({ code: 2, stderr: "fairlead: a policy that answers with a promise cannot be simulated\n" });
    expect((await ran(["simulate", "--scenario", "hot-key", "--policy", "./gone.ts", ...QUICK], path)).stderr).toContain("gone.ts does not load");
  });

  test("draws a page with --html", async () => {
    const path = stage.directory();
    const { code, stdout } = await ran(["simulate", "--scenario", "flapping", "--policy", "p2c,round-robin", "--html", "out.html", ...QUICK], path);
    expect([code, stdout.includes("Charts: out.html")]).toEqual([0, true]);
    const html = readFileSync(join(path, "out.html"), "utf8");
    expect(html).toStartWith("<!doctype html>");
    expect(html.match(/<polyline /g)).toHaveLength(2);
    // Nothing is fetched from anywhere.
    expect(html).not.toMatch(/https?:\/\//);
  });

  test("plays an access log", async () => {
    const path = stage.directory();
    writeFileSync(join(path, "access.json"), Array.from({ length: 300 }, (_, n) => JSON.stringify({ msg: "access", time: new Date(n * 10).toISOString(), client: `10.1.1.${n % 7}`, path: "/" })).join("\n"));
    const { code, stdout } = await ran(["simulate", "--scenario", "hot-key", "--arrivals", "access.json", "--speed", "2", "--policy", "hash"], path);
    expect(code).toBe(0);
    expect(stdout).toContain("300 requests in 1.5 s");
  });

  test("says what is wrong, and what instead", async () => {
    const cases: readonly [readonly string[], string][] = [
      [["--scenario", "hotkey"], 'there is no scenario "hotkey"\n  did you mean "hot-key"?'],
      [["--scenario", "hot-key", "--policy", "p2x"], 'there is no policy "p2x"\n  did you mean "p2c"?'],
      [["--scenario", "hot-key", "--mean", "fast"], "--mean fast is not a duration"],
      [["--scenario", "hot-key", "--requests", "1e99"], "--requests 1e99 is not a whole number"],
      [["--scenario", "hot-key", "--service", "gauss"], 'there is no distribution "gauss"'],
      [["--scenario", "hot-key", "--arrivals", "nothing.log"], "cannot read nothing.log: ENOENT"],
      [["--scenario", "hot-key", "--config", "fairlead.toml", "--upstream", "wep"], 'there is no upstream "wep"\n  did you mean "web"?'],
      [["--scenario", "hot-key", "--config", "fairlead.toml", "--upstream", "alone"], 'upstream "alone" has 1 target: there is nothing to choose'],
      [[], "required option '--scenario <name>'"],
    ];
    const path = directory();
    for (const [args, message] of cases) {
      const { code, stderr } = await ran(["simulate", ...args], path);
      expect(stderr).toContain(message);
      expect(code).toBe(2);
    }
    writeFileSync(join(path, "bad.toml"), "workers = 0\n");
    expect((await ran(["simulate", "--scenario", "hot-key", "--config", "bad.toml"], path)).code).toBe(1);
  }, 30_000);
});

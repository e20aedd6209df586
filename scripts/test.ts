/**
 * `npm test`: type check, lint, then every test; what was skipped, with its reason in its name; the last line is `N passed, N failed`.
 *
 * `npm test -- FILTER …` runs only the test files whose path contains a filter, without type check and lint.
 * Files named `*.alone.test.ts` measure time or memory; they run after the others, one at a time.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "..");
/** Test processes side by side: most of their time is waiting. */
const PARALLEL = 3;
/** A single test's limit in ms, unless it says otherwise. */
const TEST_TIMEOUT = 20_000;

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly string[];
}

interface Ran {
  readonly code: number;
  readonly output: string;
}

function run(command: string, args: readonly string[], show: boolean): Promise<Ran> {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NO_COLOR: "1" } });
    let output = "";
    const collect = (text: string) => {
      output += text;
      if (show) process.stdout.write(text);
    };
    child.stdout.setEncoding("utf8").on("data", collect);
    child.stderr.setEncoding("utf8").on("data", collect);
    child.on("error", (error) => done({ code: 1, output: String(error) }));
    child.on("close", (code) => done({ code: code ?? 1, output }));
  });
}

/** A tool that says nothing when all is well. */
async function check(name: string, command: string, args: readonly string[]): Promise<Outcome> {
  const { code, output } = await run(command, args, false);
  console.log(code === 0 ? `${name}: ok` : `${name}: failed\n${output}`);
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: [] };
}

function count(output: string, word: string): number {
  return [...output.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))].reduce((sum, [, digits]) => sum + Number(digits), 0);
}

/** What was skipped, by Bun's JUnit report: its short output does not name it. Tests that are skipped by their `describe` are one line, as the reason is in its name. */
function skippedIn(report: string): string[] {
  const xml = existsSync(report) ? readFileSync(report, "utf8") : "";
  const plain = (text: string): string => text.replace(/&(lt|gt|quot|apos|amp);/g, (_, name: keyof typeof ENTITIES) => ENTITIES[name]);
  const cases = [...xml.matchAll(/<testcase name="([^"]*)" classname="([^"]*)"[^>]*file="([^"]*)"[^>]*>\s*<skipped/g)].filter(([, name]) => name !== "(unnamed)");
  return cases.map(([, name, about, file]) => `${file}: ${plain(about === "" || name!.endsWith(")") ? name! : about!)}`);
}

const ENTITIES = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

async function bunTest(files: readonly string[], options: readonly string[]): Promise<Outcome> {
  if (files.length === 0) return { passed: 0, failed: 0, skipped: [] };
  const directory = mkdtempSync(join(tmpdir(), "fairlead-test-"));
  const report = join(directory, "report.xml");
  const { code, output } = await run(process.execPath, ["test", "--no-orphans", "--only-failures", `--timeout=${TEST_TIMEOUT}`, "--reporter=junit", `--reporter-outfile=${report}`, ...options, ...files], true);
  const failed = count(output, "fail") + count(output, "errors?");
  const skipped = skippedIn(report);
  rmSync(directory, { recursive: true });
  return { passed: count(output, "pass"), failed: failed === 0 && code !== 0 ? 1 : failed, skipped };
}

function testFiles(filters: readonly string[]): string[] {
  const all = [...new Bun.Glob("test/**/*.test.ts").scanSync(ROOT)].map((file) => `./${relative(ROOT, resolve(ROOT, file))}`).toSorted();
  return filters.length === 0 ? all : all.filter((file) => filters.some((filter) => file.includes(filter)));
}

const filters = process.argv.slice(2);
const files = testFiles(filters);
if (files.length === 0) {
  console.error(`no test file matches ${filters.join(", ")}`);
  process.exit(2);
}
const began = performance.now();
const outcomes: Outcome[] = [];
if (filters.length === 0) {
  const bin = resolve(ROOT, "node_modules/.bin");
  outcomes.push(...(await Promise.all([check("type check", `${bin}/tsc`, ["--noEmit"]), check("type check of the dashboard", `${bin}/tsc`, ["--noEmit", "-p", "src/dashboard"]), check("lint", `${bin}/oxlint`, ["--deny-warnings"])])));
}
const alone = files.filter((file) => file.endsWith(".alone.test.ts"));
outcomes.push(
  await bunTest(
    files.filter((file) => !alone.includes(file)),
    [`--parallel=${PARALLEL}`],
  ),
);
outcomes.push(await bunTest(alone, []));

const sum = (key: "passed" | "failed") => outcomes.reduce((total, outcome) => total + outcome[key], 0);
const [passed, failed] = [sum("passed"), sum("failed")];
const skipped = outcomes.flatMap((outcome) => outcome.skipped);
for (const name of new Set(skipped)) console.log(`skipped: ${name}`);
console.log(`\n${files.length} test files in ${Math.round((performance.now() - began) / 1000)} s`);
console.log(`${passed} passed, ${failed} failed${skipped.length === 0 ? "" : `, ${skipped.length} skipped`}`);
process.exit(failed === 0 ? 0 : 1);

/** docs/limits.md is complete and true: every key that limits something, every bound in the code, its value, and the test that shows it. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { jsonSchema } from "../../src/config/schema.ts";

const ROOT = resolve(import.meta.dir, "../..");
const PAGE = readFileSync(join(ROOT, "docs/limits.md"), "utf8");

/** Numbers, durations and shares that limit nothing: who, where to, how much of it, and what browsers are told. */
const NO_LIMITS = new Set([
  ...["workers", "user", "group", "listeners.redirect_https", "listeners.udp_responses", "listeners.tls.hsts", "listeners.tls.hsts.max_age", "upstreams.sticky.max_age", "upstreams.health_check.port", "upstreams.supervised.port"],
  ...["access_log.sample", "tracing.sample", "exchanges.sample", "upstreams.targets.weight", "upstreams.targets.priority", "targets.weight"],
]);
/** Said once for all listeners. What is injected on purpose protects nobody. */
const ELSEWHERE = /^listeners\.(timeouts|limits|http2)\.|^faults\./;
/** Names of constants that sound like bounds of what others may do, and are none: shares of an algorithm, how many of a list people are told, what a number can hold. */
const NO_BOUNDS = /^(config\/(schema\/|values\.ts)|config\/.*MOST_NAMED|admin\/named\.ts|http\/deadline\.ts|http\/h2\/frames\.ts MAX_31|http\/h2\/hpack-sink\.ts|policies\/(?!consistent\/ketama\.ts MAX_POINTS)|scoreboard\/(columns\.ts MAX_CAUSES|words\.ts MAX_TIERS)|supervisor\/(activation|board\.ts MAX_TRIES|configuration\.ts MOST_WORDS|runtime-directory)|udp\/flow\.ts MOST_TRIES|upstream\/(explain|quantile)\.ts|health\/(command\.ts MAX_REASON|grpc\.ts MAX_WORDS)|worker\/explain\/request\.ts MAX_PORT|(cli|dashboard|view|simulate|faults)\/)/;

interface JsonSchema {
  readonly description?: string;
  readonly type?: string;
  readonly pattern?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
}

/** Keys whose values are numbers, durations, sizes or percentages, with their defaults. */
function numeric(schema: JsonSchema, at = ""): (readonly [key: string, written: unknown, says: string | undefined])[] {
  const table = schema.properties === undefined ? schema.anyOf?.find(({ properties }) => properties !== undefined) : schema;
  return Object.entries(table?.properties ?? {}).flatMap(([name, value]) => {
    const key = at === "" ? name : `${at}.${name}`;
    const isNumeric = (value.anyOf ?? [value]).some(({ type, pattern = "" }) => type === "number" || type === "integer" || (type === "string" && /^\^\(off|\(us\|/.test(pattern)));
    return [...(isNumeric ? [[key, value.default, value.description] as const] : []), ...numeric(value, key), ...(value.items === undefined ? [] : numeric(value.items, key))];
  });
}

function rows(heading: string): string[][] {
  const section = PAGE.slice(PAGE.indexOf(`## ${heading}\n`)).slice(1).split(/^## /m)[0]!;
  return section.split("\n").filter((line) => line.startsWith("| ")).slice(1).map((line) => line.slice(2, -2).split(" | "));
}

/** The file that a row names. */
function testOf(cell: string): string | undefined {
  const path = /\]\(\.\.\/(test\/[^)]+)\)$/.exec(cell)?.[1];
  return path === undefined ? undefined : join(ROOT, path);
}

test("every key that limits something stands there, with its default and the words of the schema", () => {
  const known = numeric(jsonSchema() as JsonSchema).filter(([key]) => !NO_LIMITS.has(key) && !ELSEWHERE.test(key));
  expect(known.length).toBeGreaterThan(90);
  expect(rows("Configuration").map((row) => row.slice(0, 3))).toEqual(known.map(([key, written, says]) => [`\`${key}\``, written === undefined ? "–" : String(written), says!]));
  // Nothing is left out that is there no more.
  const all = new Set(numeric(jsonSchema() as JsonSchema).map(([key]) => key));
  expect([...NO_LIMITS].filter((key) => !all.has(key))).toEqual([]);
});

test("the test that shows a key is there, and speaks of it", () => {
  for (const row of rows("Configuration")) {
    const key = row[0]!.slice(1, -1);
    const file = testOf(row.at(-1)!);
    expect([key, file !== undefined && existsSync(file)]).toEqual([key, true]);
    const name = key.split(".").at(-1)!;
    expect([key, new RegExp(`(?:\\b|\\\\n)${name}\\b|${name.replace(/s$/, "")}\\b`, "i").test(readFileSync(file!, "utf8"))]).toEqual([key, true]);
  }
});

/** What a constant comes to, where it is a number. */
function valueOf(expression: string): number | undefined {
  return /^[\d_. *+()<-]+$/.test(expression) ? (Function(`return ${expression}`)() as number) : undefined;
}

/** "16 KiB", "1,000", "5 s", "25 %" as bytes, a count, ms, a part. */
function meant(text: string): number {
  const [, digits, unit = ""] = /^([\d,]+)(?: (\w+|%))?$/.exec(text) ?? [];
  const factor = { "%": 0.01, KiB: 1024, MiB: 1024 ** 2, s: 1000, d: 86_400_000 }[unit] ?? 1;
  return Number(digits?.replaceAll(",", "")) * factor;
}

test("every bound in the code stands there, as it is in the code, and its test is there", () => {
  const told = new Map(rows("In the code").map((row) => [row[3]!.replaceAll("`", ""), row]));
  expect(told.size).toBeGreaterThan(70);
  const named: string[] = [];
  for (const path of new Bun.Glob("**/*.ts").scanSync(join(ROOT, "src"))) {
    const source = readFileSync(join(ROOT, "src", path), "utf8");
    for (const [, name, expression] of source.matchAll(/^(?:export )?const ([A-Z][A-Z_\d]*)(?:: [^=]+)? = (.+);$/gm)) {
      const at = `${path} ${name}`;
      const row = told.get(at);
      if (row === undefined) {
        if (/^(MAX|MOST)(_|$)/.test(name!) && !NO_BOUNDS.test(at)) named.push(at);
        continue;
      }
      const value = valueOf(expression!);
      // One is counted in looks of a second, one is two numbers.
      if (name !== "WATCHDOG_LOOKS" && at !== "supervisor/board.ts CAPACITY") expect([at, value]).toEqual([at, meant(row[1]!)]);
      const file = testOf(row.at(-1)!);
      expect([at, row.at(-1) === "–" || existsSync(file!)]).toEqual([at, true]);
      told.delete(at);
    }
  }
  expect({ "not in docs/limits.md": named, "not in the code": [...told.keys()] }).toEqual({ "not in docs/limits.md": [], "not in the code": [] });
});

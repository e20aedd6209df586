/** Holds the house's order: imports point down the data flow, and the data plane sees sockets and time through net/ only. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const SRC = resolve(import.meta.dir, "../src");

/** The snapshot's types are for everyone, by its front door; what reads a file and makes a snapshot of it is not. */
const SNAPSHOT = "config/snapshot.ts";
const SNAPSHOT_PARTS = "config/snapshot/";

/** From the top down; a folder may import from itself and from lower ranks. */
const RANKS: readonly (readonly string[])[] = [
  ["cli", "library", "dashboard"],
  // Of what the admin API tells, for those that show it.
  ["view"],
  ["supervisor", "simulate"],
  ["worker"],
  ["admin"],
  ["supervised"],
  ["metrics"],
  ["health", "discovery", "acme", "sampling"],
  ["config"],
  ["http", "tcp", "udp"],
  ["accept"],
  ["faults"],
  ["routing"],
  // An upstream asks its policy, and a policy knows of no upstream.
  ["upstream"],
  ["policies"],
  ["scoreboard", "net", "observability", SNAPSHOT],
];

/** Where sockets, time and chance come through the seam only. */
const BEHIND_THE_SEAM = new Set(["accept", "http", "tcp", "udp", "faults", "policies", "routing", "upstream", "health", "sampling", "simulate"]);
const FORBIDDEN: Readonly<Record<string, RegExp>> = {
  "Bun's modules": /\bfrom "bun(?::[^"]*)?"|\bimport\("bun/,
  "the Bun global": /(?<![\w.$/"'`])Bun\s*\./,
  "Date.now": /\bDate\s*\.\s*now\b|\bnew Date\(\s*\)/,
  "performance.now": /\bperformance\s*\.\s*now\b/,
  "Math.random": /\bMath\s*\.\s*random\b/,
  "setTimeout or setInterval": /(?<![\w.$])set(?:Timeout|Interval)\s*\(/,
  "node:net and its kin": /\bfrom "node:(?:net|tls|http|https|http2|dgram|timers)/,
};

/** The code without comments; strings stay, for imports are strings. */
function codeOf(file: string): string {
  return readFileSync(file, "utf8")
    .replaceAll(/\/\*[\s\S]*?\*\//g, "")
    .replaceAll(/(^|[^:"'`\\/])\/\/.*$/gm, "$1");
}

function importsOf(code: string): string[] {
  return [...code.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g)].map(([, path]) => path as string);
}

function folderOf(file: string): string {
  const path = relative(SRC, file);
  if (path === SNAPSHOT || path.startsWith(SNAPSHOT_PARTS)) return SNAPSHOT;
  return path.includes("/") ? (path.split("/", 1)[0] as string) : "";
}

function rankOf(folder: string): number {
  return RANKS.findIndex((rank) => rank.includes(folder));
}

const files = [...new Bun.Glob("**/*.{ts,tsx}").scanSync(SRC)].map((file) => join(SRC, file)).toSorted();

describe("imports", () => {
  test("every folder of src/ has its rank", () => {
    const unknown = new Set(files.map(folderOf).filter((folder) => folder !== "" && rankOf(folder) < 0));
    expect([...unknown]).toEqual([]);
  });

  test("point down the data flow, never up or across", () => {
    const faults: string[] = [];
    for (const file of files) {
      const folder = folderOf(file);
      if (folder === "") continue;
      for (const path of importsOf(codeOf(file))) {
        const target = resolve(dirname(file), path);
        const other = folderOf(target);
        if (other === folder || !target.startsWith(SRC)) continue;
        const lowest = rankOf(folder) === RANKS.length - 1;
        // The lowest rank's folders may use each other.
        if (rankOf(other) > rankOf(folder) || (lowest && rankOf(other) === rankOf(folder))) continue;
        faults.push(`${relative(SRC, file)} imports ${relative(SRC, target)}`);
      }
    }
    expect(faults).toEqual([]);
  });

  test("have the snapshot's parts by its front door", () => {
    const outside = files.filter((file) => folderOf(file) !== SNAPSHOT);
    const faults = outside.filter((file) => importsOf(codeOf(file)).some((path) => relative(SRC, resolve(dirname(file), path)).startsWith(SNAPSHOT_PARTS)));
    expect(faults.map((file) => relative(SRC, file))).toEqual([]);
  });
});

/** Modules of src/ that `file` loads when it is loaded, and packages; what it imports for its types, or later, is not among them. */
function loadedBy(file: string): string[] {
  const declared = [...codeOf(file).matchAll(/^(?:import|export) (?!type\b)[^;]*?from "([^"]+)"/gm)].map(([, path]) => path as string);
  return declared.map((path) => (path.startsWith(".") ? resolve(dirname(file), path) : path));
}

describe("a start", () => {
  test("loads nothing of what orders certificates: that takes 16 MB", () => {
    const loaded = new Set([join(SRC, "cli/main.ts"), join(SRC, "cli/run.ts"), join(SRC, "worker/main.ts")]);
    for (const file of loaded) if (file.endsWith(".ts")) for (const path of loadedBy(file)) loaded.add(path);
    expect([...loaded]).toContain(join(SRC, "acme/acme.ts"));
    expect([...loaded].filter((path) => /^jose$|^@peculiar|reflect-metadata|acme\/(?:order|client|account|x509)\.ts$/.test(path))).toEqual([]);
  });
});

describe("what runs in a browser", () => {
  test("has nothing of the rest but types", () => {
    const faults = files
      .filter((file) => ["dashboard", "view"].includes(folderOf(file)))
      .flatMap((file) => loadedBy(file).map((path) => [relative(SRC, file), path.startsWith(SRC) ? relative(SRC, path) : path] as const))
      .filter(([, path]) => !/^(?:dashboard|view)\/|^preact(?:\/hooks)?$|^uplot$/.test(path));
    expect(faults).toEqual([]);
  });
});

describe("the data plane", () => {
  for (const [what, pattern] of Object.entries(FORBIDDEN)) {
    test(`does not use ${what}`, () => {
      const users = files.filter((file) => BEHIND_THE_SEAM.has(folderOf(file)) && pattern.test(codeOf(file)));
      expect(users.map((file) => relative(SRC, file))).toEqual([]);
    });
  }
});

/** What README.md and docs/ tell people to copy: every configuration loads, and the policy does under real traffic what it says. */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { diagnosticLine, loadConfigText, SlotAllocator } from "../../src/config/load.ts";
import { makeSelfSigned } from "../../src/config/self-signed.ts";
import { Fairlead } from "../support/fairlead.ts";
import { alwaysName } from "../support/names.ts";
import { freePort } from "../support/ports.ts";
import { openStage } from "../support/stage.ts";

const ROOT = resolve(import.meta.dir, "../..");
const stage = openStage();
const documents = ["README.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)];

/** The fenced blocks of a language, with the line on which each stands. */
function blocks(file: string, language: string): { readonly line: number; readonly text: string }[] {
  const text = readFileSync(join(ROOT, file), "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map((match) => ({ line: text.slice(0, match.index).split("\n").length, text: match[1]! }));
}

/** A directory with every certificate, key and authority that the documents name. */
const directory = stage.directory();
beforeAll(async () => {
  const { certificate, key } = makeSelfSigned(["example.org"], Date.now());
  for (const [, name, file] of documents.flatMap((document) => blocks(document, "toml")).flatMap(({ text }) => [...text.matchAll(/\b(certificate|key|ca|client_ca) = "([^"]+\.(?:pem|key))"/g)])) {
    mkdirSync(dirname(join(directory, file!)), { recursive: true });
    writeFileSync(join(directory, file!), name === "key" ? key : certificate);
  }
  for (const [, file] of documents.flatMap((document) => blocks(document, "toml")).flatMap(({ text }) => [...text.matchAll(/\btoken_file = "([^"]+)"/g)])) writeFileSync(join(directory, file!), "a token of these tests\n");
});

describe("every configuration to copy is a good one:", () => {
  for (const file of documents) {
    for (const { line, text } of blocks(file, "toml")) {
      test(`${file}, line ${line}`, () => {
        const name = /\[\[upstreams\]\]\nname = "(\w+)"/.exec(text)?.[1];
        // A part about an upstream alone gets a listener in front, one about neither gets both.
        const upstream = name === undefined && !text.includes("[[upstreams]]") ? '[[upstreams]]\nname = "any"\ntargets = [{ address = "127.0.0.1:9001" }]\n' : "";
        const whole = text.includes("[[listeners]]") || text.includes("[[targets]]\naddress") ? text : `${text}\n[[listeners]]\naddress = ":8080"\nupstream = "${name ?? "any"}"\n${upstream}`;
        const loaded = loadConfigText(whole, join(directory, "fairlead.toml"), { slots: new SlotAllocator({ targets: 64, upstreams: 16 }), generation: 1 });
        expect(loaded.ok ? [] : loaded.diagnostics.map(diagnosticLine)).toEqual([]);
      });
    }
  }
});

describe("the README's policy", () => {
  test("picks by key, zone, latency and open requests", async () => {
    const policy = blocks("README.md", "ts").find(({ text }) => text.startsWith("// my-policy.ts"));
    const a = await stage.backend(alwaysName("a"));
    const b = await stage.backend(alwaysName("b"));
    const beta = await stage.backend(alwaysName("beta"));
    const port = await freePort();
    const toml = `
workers = 1
[[listeners]]
address = "127.0.0.1:${port}"
upstream = "main"
[[upstreams]]
name = "main"
policy = "./my-policy.ts"
hash_key = "header:x-ring"
targets = [{ address = "${a.address}", zone = "stable" }, { address = "${b.address}", zone = "stable", weight = 1000 }, { address = "${beta.address}", zone = "beta" }]
`;
    const fairlead = await Fairlead.start(toml, { files: { "my-policy.ts": policy!.text } });
    stage.atEnd(() => fairlead.kill());
    const names = async (count: number, headers: Record<string, string> = {}): Promise<string> => {
      const all: string[] = [];
      for (let i = 0; i < count; i++) all.push((await (await fetch(`http://127.0.0.1:${port}/`, { headers })).text()).split(" ")[0]!);
      return [...new Set(all)].toSorted().join(" ");
    };
    expect(await names(10, { "x-ring": "beta" })).toBe("beta");
    // A thousand times the weight is a thousandth of the cost.
    expect(await names(10)).toBe("b");
    expect(fairlead.log.filter(({ level }) => level === "warn" || level === "error")).toEqual([]);
    b.stop();
    expect(await names(3)).toBe("a");
  });
});

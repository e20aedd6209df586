/** A policy of the user's own: it decides, and when it cannot, round robin does and the log says so. */
import { describe, expect, test } from "bun:test";
import { Fairlead } from "../../support/fairlead.ts";
import { alwaysName } from "../../support/names.ts";
import { freePort } from "../../support/ports.ts";
import { configText, openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();

async function balanced(policy: string, more: Readonly<Record<string, string>> = {}) {
  const backends = await Promise.all(["a", "b", "c"].map((name) => stage.backend(alwaysName(name))));
  return stage.fairlead({ targets: backends, upstream: { policy: "./mine.ts", ...more }, files: { "mine.ts": policy } });
}

type Front = Awaited<ReturnType<typeof balanced>>;

async function answers(front: Front, count: number, ...fields: readonly string[]): Promise<string> {
  const client = await stage.client(front);
  let names = "";
  for (let i = 0; i < count; i++) {
    const answer = await client.ask(`GET /p${i} HTTP/1.1\r\nHost: h.test\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\n`);
    expect(answer.status).toBe(200);
    names += answer.text.split(" ")[0];
  }
  client.destroy();
  return names;
}

describe("a policy file", () => {
  test("decides for each request", async () => {
    const front = await balanced("export default { pick: (request, targets) => targets[targets.length - 1] };");
    expect(await answers(front, 6)).toBe("cccccc");
  });

  test("sees method, host, path, fields and the client", async () => {
    const front = await balanced(`
      export default {
        pick(request, targets) {
          const right = request.method === "GET" && request.host === "h.test" && request.path.startsWith("/p") && request.header("x-pick") === "B" && request.clientAddress === "127.0.0.1" && request.protocol === "http";
          return targets[right ? 1 : 0];
        },
      };`);
    expect(await answers(front, 3, "X-Pick: B")).toBe("bbb");
    expect(await answers(front, 3)).toBe("aaa");
  });

  test("may be a class", async () => {
    const front = await balanced("export default class { n = 0; pick(request, targets) { return targets[this.n++ % 2]; } }");
    expect(await answers(front, 6)).toBe("ababab");
  });

  test("may be a factory that is given the shared cursor", async () => {
    const front = await balanced("export default (context) => ({ pick: (request, targets) => targets[(context.cursor() * 2) % targets.length] });");
    expect(await answers(front, 6)).toMatch(/^(acbacb|cbacba|bacbac)$/);
  });

  test("may wait for something", async () => {
    const front = await balanced("export default { pick: async (request, targets) => { await new Promise((done) => setTimeout(done, 20)); return targets[1]; } };");
    expect(await answers(front, 4)).toBe("bbbb");
  });

  test("in TypeScript loads as it is", async () => {
    const front = await balanced("type Target = { name: string };\nexport default { pick<T extends Target>(_: unknown, targets: readonly T[]): T { return targets[2] as T; } };");
    expect(await answers(front, 2)).toBe("cc");
  });
});

/** All three in turn, wherever it begins. */
const IN_TURN = /^(abcabc|bcabca|cabcab)$/;

describe("a policy that fails", () => {
  for (const [how, code] of [
    ["throws", 'export default { pick() { throw new Error("boom"); } };'],
    ["rejects", 'export default { pick: async () => { throw new Error("boom"); } };'],
    ["returns nonsense", 'export default { pick: () => "nonsense" };'],
    ["returns a target of its own making", 'export default { pick: () => ({ name: "127.0.0.1:1", weight: 1 }) };'],
    ["returns a promise of nonsense", "export default { pick: async () => 42 };"],
  ] as const) {
    test(`(it ${how}) gives way to round robin, and the log says so`, async () => {
      const front = await balanced(code);
      expect(await answers(front, 6)).toMatch(IN_TURN);
      await front.fairlead.line("the policy's fault", (line) => line.level === "warn" && /polic/i.test(JSON.stringify(line)));
    });
  }

  test("(it hangs) gives way to round robin after policy_timeout, and the log says so", async () => {
    const front = await balanced("export default { pick: () => new Promise(() => {}) };", { policy_timeout: "50ms" });
    expect(await answers(front, 6)).toMatch(IN_TURN);
    await front.fairlead.line("the policy's fault", (line) => line.level === "warn" && /polic/i.test(JSON.stringify(line)));
  });

  test("(it throws now and then) is asked again for the next request", async () => {
    const front = await balanced('let n = 0; export default { pick(request, targets) { if (n++ % 2 === 0) throw new Error("odd"); return targets[2]; } };');
    const names = await answers(front, 8);
    expect([names[1], names[3], names[5], names[7]]).toEqual(["c", "c", "c", "c"]);
  });
});

describe("a policy file that does not load", () => {
  for (const [what, files] of [
    ["is missing", {}],
    ["has a syntax error", { "mine.ts": "export default {{{" }],
    ["exports nothing", { "mine.ts": "export const x = 1;" }],
    ["exports no policy", { "mine.ts": "export default { choose() {} };" }],
  ] as const) {
    test(`(it ${what}) ends the start with code 1 and a line that names the file`, async () => {
      const text = configText(await freePort(), { targets: ["127.0.0.1:9"], upstream: { policy: "./mine.ts" } });
      const fairlead = Fairlead.launch(text, { files });
      stage.atEnd(() => fairlead.kill());
      expect(await until("fairlead to end", () => (fairlead.ended === undefined ? undefined : { code: fairlead.ended }), 15_000)).toEqual({ code: 1 });
      await until("a line about it", () => fairlead.lines.some((line) => line.includes("mine.ts")));
    }, 30_000);
  }
});

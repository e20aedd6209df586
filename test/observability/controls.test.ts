/** Nothing that others say works on a person's terminal. */
import { expect, test } from "bun:test";
import { PassThrough } from "node:stream";
import fc from "fast-check";
import { jsonResponse } from "../../src/admin/json.ts";
import { Problem } from "../../src/admin/problem.ts";
import { formatDiagnostics } from "../../src/config/diagnostics.ts";
import { loadConfigText, SlotAllocator } from "../../src/config/load.ts";
import { printable, printableInPlace, printableJson, printableOutput, printableValue } from "../../src/observability/controls.ts";
import { formatText } from "../../src/observability/log.ts";
import { passOnLines } from "../../src/supervised/lines.ts";

/** What a terminal may obey, and what turns text round. */
const OBEYED = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069]/;
/** Clears the screen, by ESC and by C1's CSI; sets the title; turns round; forges a line. */
const HOSTILE = "a\u001B[2J\u009B2J\u001B]0;title\u0007\u007F\u202Eb\r\nERROR forged";
const texts = fc.string({ unit: fc.oneof(fc.constantFrom(..."\u001B\u009B[2Jm;0\n\t\r\u007F\u202E\"\\"), fc.string({ unit: "binary", minLength: 1, maxLength: 1 })) });

test("texts are shown, whatever is in them", () => {
  expect(printable(HOSTILE)).toBe("a\\u001b[2J\\u009b2J\\u001b]0;title\\u0007\\u007f\\u202eb\\u000d\\u000aERROR forged");
  fc.assert(
    fc.property(texts, (text) => {
      expect(printable(text)).not.toMatch(/[\t\n]|[\u0000-\u001F\u007F-\u009F]/);
      expect(printableInPlace(text)).toHaveLength(text.length);
      expect(printableInPlace(text)).not.toMatch(OBEYED);
      expect(printableOutput(text).replaceAll(/\u001B\[[\d;]*m/g, "")).not.toMatch(OBEYED);
      // JSON says the same as before.
      const value = { [text]: [text, 1, null] };
      const json = printableJson(JSON.stringify(value));
      expect(json).not.toMatch(OBEYED);
      expect(JSON.parse(json)).toEqual(value);
      expect(JSON.stringify(printableValue(value))).not.toMatch(OBEYED);
    }),
  );
});

test("the service log holds no line that is not its own, and nothing that a terminal obeys", () => {
  const line = formatText(printableJson(JSON.stringify({ level: 30, time: "2026-01-01T00:00:00.000Z", msg: HOSTILE, module: "http", path: HOSTILE, plain: "\u009B2J", nested: { header: HOSTILE } })));
  expect(line.slice(0, -1)).not.toMatch(OBEYED);
  expect(line.split("\n")).toHaveLength(2);
  expect(formatText(JSON.stringify({ level: 30, time: "2026-01-01T00:00:00.000Z", msg: "", plain: "\u009B2J\u202E" }))).not.toMatch(/\u009B|\u202E/);
});

test("answers of the admin API hold nothing that a terminal obeys, and say the same", async () => {
  for (const response of [jsonResponse({ path: HOSTILE }), new Problem(404, HOSTILE).response()]) {
    const text = await response.text();
    expect(text.trimEnd()).not.toMatch(OBEYED);
    expect(Object.values(JSON.parse(text) as object)).toContain(HOSTILE);
  }
});

test("what a back end of ours prints keeps its colours and loses the rest", async () => {
  const written: string[] = [];
  for (const format of ["text", "json"] as const) {
    const [from, to] = [new PassThrough(), new PassThrough()];
    to.on("data", (chunk: Buffer) => written.push(chunk.toString()));
    passOnLines(from, to, "web:1", format);
    from.end("\u001B[31mred\u001B[0m \u001B[2J\u009B2J\n");
    await new Promise((resolve) => from.on("close", resolve));
  }
  expect(written[0]).toBe("web:1 | \u001B[31mred\u001B[0m \\u001b[2J\\u009b2J\n");
  expect(written[1]).not.toMatch(OBEYED);
});

test("a config of somebody else's is quoted as it is, but obeyed by no terminal", () => {
  const text = `listeners = [{ address = "127.0.0.1:0\u009B2J", upstream = "\u202Emain" }]\n"\u001B[2J" = 1\n`;
  const loaded = loadConfigText(text, "f.toml", { slots: new SlotAllocator({ targets: 8, upstreams: 8 }), generation: 1 });
  if (loaded.ok) throw new Error("it is taken");
  expect(formatDiagnostics(loaded.diagnostics, { color: false })).not.toMatch(OBEYED);
});

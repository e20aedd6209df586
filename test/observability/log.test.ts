/** The service log as text: what anybody sends stays one line, and gives a terminal no orders. */
import { expect, test } from "bun:test";
import { formatText } from "../../src/observability/log.ts";

/** A line as pino makes it. */
function said(msg: string, fields: object): string {
  return formatText(JSON.stringify({ level: 40, time: "2026-07-01T12:00:01.123Z", pid: 1, module: "http", ...fields, msg }));
}

test("control characters are escaped, those beyond ASCII too, wherever they stand", () => {
  const line = said("Ended\nby \u009b2J", { path: "/a\u009b31m", requestId: "x\u007f\u001b[2J", host: "plain", name: "grün" });
  expect(line).toBe('12:00:01.123 WARN  Ended\\u000aby \\u009b2J path="/a\\u009b31m" requestId="x\\u007f\\u001b[2J" host=plain name=grün module=http\n');
});

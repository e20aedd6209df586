/** What was said of faults comes back as it was from its words on the disk, and what is damaged is refused. */
import { expect, test } from "bun:test";
import { faultOf } from "../../src/config/faults.ts";
import { faultKeys } from "../../src/config/schema.ts";
import { keptOf, type SaidFaults, saidOf } from "../../src/supervisor/kept-faults.ts";

const KEYS: readonly object[] = [
  { abort: 503, grpc_status: 8, percent: 0.125, delay: ["1.5ms", "2s"], routes: ["GET a.test/x [x-canary]"], listeners: ["web"], upstreams: ["main"] },
  { throttle: "64KiB", truncate: "0B", hosts: ["*.Shop.test"], methods: ["GET", "PUT"], headers: { "X-A": true, "X-B": "1" } },
  { by_header: true, percent: "12.5%" },
  { target_error: "response-timeout", targets: ["10.0.0.1:80", "[::1]:81"] },
  { target_delay: "1h" },
  { reset: true },
];

test("every kind of rule", () => {
  const told = { by: "api:ops", at: "2026-11-21T14:06:34.962Z" };
  const rules = KEYS.map((keys, index) => ({ rule: faultOf({ name: `rule-${index}`, ...faultKeys.parse(keys) }), told }));
  const said: SaidFaults = { added: rules.map(({ rule }) => ({ rule: { ...rule, until: 1_700_000_000_123 }, told })), stopped: rules };
  expect(saidOf(JSON.parse(JSON.stringify(keptOf(said))))).toEqual(said);
});

test("nothing, another version's, and a rule without its end", () => {
  expect(saidOf(keptOf({ added: [], stopped: [] }))).toEqual({ added: [], stopped: [] });
  const fault = { name: "a", keys: { abort: 503 }, at: "2026-11-21T14:06:34.962Z", by: "api" };
  for (const [value, about] of [[{ version: 2, added: [], stopped: [] }, "version"], [{ version: 1, added: [fault], stopped: [] }, "until"], [{ version: 1, added: [], stopped: [{ ...fault, keys: { abrot: 503 } }] }, "abrot"]] as const) {
    expect(() => saidOf(value)).toThrow(about);
  }
});

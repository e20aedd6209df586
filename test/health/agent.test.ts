/** The agent check: HAProxy's words over a real socket, and what they do to the target. */
import { afterEach, expect, test } from "bun:test";
import type { AgentOrders } from "../../src/health/check.ts";
import { silentLog } from "../../src/observability/log.ts";
import { Flag, Scoreboard } from "../../src/scoreboard/scoreboard.ts";
import { until } from "../support/until.ts";
import { check, network, prepare, run, servers } from "./real.ts";
import { CHECK, snapshotOf, target, upstream, watching } from "./support.ts";

const { serve, cleanups, cleanUp } = servers();
afterEach(cleanUp);

/** An agent that says what `line` gives at the time. */
const agent = (line: () => string): Promise<number> => serve((socket) => socket.end(line()));

test("every word means what it means in HAProxy", async () => {
  const cases: readonly [string, boolean, AgentOrders][] = [
    ["up\n", true, {}],
    ["75%\r\n", true, { weight: 75 }],
    ["up 200%\n", true, { weight: 200 }],
    ["drain\n", true, { mode: "drain" }],
    ["maint, 0%\n", true, { mode: "maint", weight: 0 }],
    ["ready up\n", true, { mode: "ready" }],
    ["READY\n", true, { mode: "ready" }],
    ["up maxconn:30\n", true, {}],
    ["down\n", false, {}],
    ["fail # disk is full\n", false, {}],
    ["stopped 10%\n", false, { weight: 10 }],
  ];
  for (const [line, ok, orders] of cases) {
    const port = await agent(() => line);
    expect(await check(port, { type: "agent", port })).toMatchObject({ ok, orders, conclusive: true });
  }
});

test("the line may end with the connection, and what stands behind it is not read", async () => {
  const open = await agent(() => "50%");
  expect(await check(open, { type: "agent", port: open })).toMatchObject({ ok: true, orders: { weight: 50 } });
  const more = await agent(() => "up\ndown\n");
  expect((await check(more, { type: "agent", port: more })).ok).toBe(true);
});

test("the reason says what the agent said", async () => {
  const port = await agent(() => "down # disk is full\n");
  expect((await check(port, { type: "agent", port })).reason).toBe("agent: down (disk is full)");
});

test("nothing, too much and unknown words fail and say so", async () => {
  for (const [line, reason] of [
    ["", "agent: said nothing"],
    ["\n", "agent: said nothing"],
    ["# hello\n", "agent: said nothing"],
    ["u".repeat(600), "agent: line too long"],
    ["fine\n", 'agent: unknown word "fine"'],
    ["999999%\n", 'agent: unknown word "999999%"'],
  ] as const) {
    const port = await agent(() => line);
    expect(await check(port, { type: "agent", port })).toMatchObject({ ok: false, reason });
  }
});

test("what the config says is sent first", async () => {
  const port = await serve((socket) => socket.once("data", (chunk) => socket.end(chunk.toString() === "hello web1\n" ? "up\n" : "down\n")));
  expect((await check(port, { type: "agent", port, send: "hello web1\n" })).ok).toBe(true);
});

test("a line about the weight alone leaves up and down as they were", async () => {
  let line = "down\n";
  const port = await agent(() => line);
  const prepared = prepare(port, { type: "agent", port });
  expect((await run(prepared)).ok).toBe(false);
  line = "80%\n";
  expect(await run(prepared)).toMatchObject({ ok: false, orders: { weight: 80 } });
  line = "up\n";
  expect((await run(prepared)).ok).toBe(true);
});

test("a target follows its agent: weight, drain, maintenance, ready", async () => {
  let line = "50%\n";
  const port = await agent(() => line);
  const board = Scoreboard.local({ workers: 1, targets: 1, upstreams: 1 });
  const checker = watching(network, board, silentLog());
  cleanups.push(() => checker.stop());
  checker.apply(snapshotOf(upstream("api", [target(0, 1)], { ...CHECK, type: "agent", port, interval: 20 })));
  await until("half the weight", () => board.share(0) === 500);
  line = "drain\n";
  await until("the drain", () => board.flags(0) === Flag.DRAINING);
  line = "maint\n";
  await until("maintenance", () => board.flags(0) === Flag.MAINTENANCE);
  line = "ready 100%\n";
  await until("ready", () => board.flags(0) === 0 && board.share(0) === 1000);
  line = "down\n";
  await until("down", () => board.flags(0) === Flag.DOWN);
});

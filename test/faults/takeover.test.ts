/** Faults of the admin API and the supervisor: they outlive its death and its upgrade, to the moment that was asked for, and not a stop. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isAlive } from "../support/processes.ts";
import { openStage } from "../support/stage.ts";
import { api, steered, steeredAgain, steeredText } from "../support/steered.ts";
import { sleep, until } from "../support/until.ts";

const stage = openStage();
const RULES = '[faults]\nenabled = true\n[[faults.rules]]\nname = "by-file"\nmethods = ["PUT"]\nabort = 507\n';

interface Listed {
  readonly name: string;
  readonly active: boolean;
  readonly until: string | null;
}

test("faults go on over a takeover and an upgrade, end when they would have ended, and are not there after a stop", async () => {
  const backend = await stage.backend();
  const at = await steered(stage, [backend.address]);
  writeFileSync(at.file, steeredText(at, [backend.address], "", RULES));
  expect((await api(at, "POST", "reload")).status).toBe(200);
  const status = async (method: string): Promise<number> => (await fetch(at.url, { method, headers: { Connection: "close" } })).status;
  const listed = async (): Promise<readonly Listed[]> => ((await api(at, "GET", "faults")).body as unknown as { readonly faults: readonly Listed[] }).faults;
  const events = async (kind: string): Promise<readonly object[]> => (await api(at, "GET", `events?kind=${kind}`)).body.events;
  const workers = async (): Promise<readonly number[]> => (await api(at, "GET", "status")).body.workers;
  /** Another supervisor, and workers of its own only: those that go inject nothing any more. */
  const others = async (pid: number, old: readonly number[]): Promise<void> => {
    await until("the admin address", async () => api(at, "GET", "status").then(({ body }) => body.pid !== pid, () => false), 15_000);
    await until("the old workers' end", () => !old.some((worker) => isAlive(worker)), 15_000);
  };

  expect((await api(at, "PUT", "faults/outage", { methods: ["GET"], abort: 503, for: "1h" })).status).toBe(200);
  expect((await api(at, "DELETE", "faults/by-file")).status).toBe(200);
  expect((await api(at, "PUT", "faults/brief", { methods: ["POST"], delay: "10ms", abort: 504, for: "4s" })).status).toBe(200);
  const before = await listed();
  const ends = Date.parse(before[0]!.until!);

  const first = at.fairlead;
  const orphans = await workers();
  process.kill(first.pid, "SIGKILL");
  await until("its end", () => first.ended !== undefined);
  await steeredAgain(at);
  await others(first.pid, orphans);
  expect([await status("GET"), await status("PUT")]).toEqual([503, 200]);
  expect(await events("fault-injected")).toContainEqual(expect.objectContaining({ summary: expect.stringMatching(/^Fault "outage" is injected still until .*abort 503/), by: "api:token" }));
  // On a machine that is busy the short one may be over by now; it is over when it was to be, and not before.
  let last = Date.now();
  while ((await status("POST")) === 504) {
    last = Date.now();
    await sleep(20);
  }
  expect(Date.now()).toBeGreaterThanOrEqual(ends);
  expect(last).toBeLessThan(ends + 2_000);
  await until("the timeline says so", async () => (await events("fault-over")).some((event) => (event as { readonly summary: string; readonly by: string }).summary.includes("brief")));
  expect(await listed()).toEqual([before[1]!, { ...before[2]!, active: false }]);

  const { pid } = at.fairlead;
  const heirs = await workers();
  at.fairlead.signal("SIGUSR2");
  await others(pid, heirs);
  expect([await status("GET"), await status("PUT"), await status("POST")]).toEqual([503, 200, 200]);
  expect(await listed()).toEqual([before[1]!, { ...before[2]!, active: false }]);
  expect((await api(at, "PUT", "faults/outage", { methods: ["GET"], abort: 502, for: "1h" })).status).toBe(200);
  expect([await status("GET"), (await listed()).length]).toEqual([502, 2]);

  // Who starts anew finds what the file says, and nothing of the trouble before; the state file knows nothing of it either.
  const successor = (await api(at, "GET", "status")).body.pid;
  process.kill(successor, "SIGTERM");
  await until("its end", () => !isAlive(successor), 10_000);
  await steeredAgain(at);
  expect([await status("GET"), await status("PUT")]).toEqual([200, 507]);
  expect(await listed()).toMatchObject([{ name: "by-file", active: true }]);
  await api(at, "PUT", `upstreams/main/targets/${backend.address}`, { weight: 2 });
  expect(readFileSync(join(first.directory, "state.json"), "utf8")).not.toContain("fault");
}, 60_000);

/** What those are told who ask whether to send clients here. */
import { expect, test } from "bun:test";
import { Api } from "../../src/admin/api.ts";
import { type InstanceStatus, type Readiness, statusEndpoints } from "../../src/admin/status.ts";
import { silentLog } from "../../src/observability/log.ts";

async function asked(path: string, readiness: Partial<Readiness>): Promise<unknown[]> {
  const status = (): InstanceStatus => {
    throw new Error("whoever asks many times a second must not have all of it put together");
  };
  const api = new Api(statusEndpoints(status, () => ({ draining: false, generation: 7, serving: 2, wanted: 2, ...readiness })), () => undefined, silentLog());
  const response = await api.answer(new Request(`http://127.0.0.1${path}`), () => {});
  return [response.status, await response.json()];
}

test("ready is who has a worker that serves, and does not drain", async () => {
  const told = (status: string, serving: number, reason?: string): object => ({ status, generation: 7, workers: { serving, wanted: 2 }, ...(reason === undefined ? {} : { reason: expect.stringContaining(reason) }) });
  expect(await asked("/ready", {})).toEqual([200, told("ok", 2)]);
  expect(await asked("/ready", { serving: 1 })).toEqual([200, told("ok", 1)]);
  expect(await asked("/ready", { serving: 0 })).toEqual([503, told("not-serving", 0, "none of 2 workers serves")]);
  expect(await asked("/ready", { draining: true })).toEqual([503, told("draining", 2, "the instance stops")]);
});

test("healthy is who does not drain, workers or not", async () => {
  expect(await asked("/health", { serving: 0 })).toEqual([200, { status: "ok", generation: 7 }]);
  expect(await asked("/health", { draining: true })).toEqual([503, { status: "draining", generation: 7 }]);
});

/** What GET /v1/status says of targets and traffic. */
import { expect, test } from "bun:test";
import { freePort } from "../../support/ports.ts";
import { reply } from "../../support/raw-backend.ts";
import { openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();

interface Status {
  readonly panicking: readonly string[];
  readonly upstreams: Readonly<Record<string, readonly { readonly target: string; readonly up: boolean; readonly state: string; readonly share: number; readonly ejected?: { readonly detector: string; readonly times: number } }[]>>;
  readonly traffic: readonly Readonly<Record<string, unknown>>[];
}

test("counts requests, retries and errors, and says who is ejected and why", async () => {
  const good = await stage.backend();
  const bad = await stage.backend((_request, connection) => connection.write(reply(503, "no")));
  const admin = await freePort();
  const { url } = await stage.fairlead({
    targets: [good, bad],
    top: { admin: { address: `127.0.0.1:${admin}` } },
    upstream: { retry_on: [503], retry_backoff: "off", outlier_detection: { consecutive_gateway: 3 }, circuit_breaker: { min_requests: 1000 } },
  });
  const status = async (): Promise<Status> => (await (await fetch(`http://127.0.0.1:${admin}/v1/status`)).json()) as Status;
  for (let i = 0; i < 10; i++) expect((await fetch(url)).status).toBe(200);
  const ejected = await until("the ejection", async () => {
    const found = (await status()).upstreams["main"]!.find(({ target }) => target === bad.address)!;
    return found.ejected === undefined ? undefined : found;
  });
  expect(ejected).toMatchObject({ up: true, state: "ejected", share: 1, ejected: { detector: "consecutive-gateway", times: 1 } });
  const { traffic, panicking } = await status();
  expect(panicking).toEqual([]);
  expect(traffic).toEqual([
    {
      upstream: "main",
      open: { requests: 0, retries: 0, queued: 0 },
      requests: 10 + bad.requests.length,
      failures: 0,
      status5xx: bad.requests.length,
      retries: { made: bad.requests.length, refusedByBudget: 0 },
      hedges: { sent: 0, won: 0 },
      queue: { waited: 0, milliseconds: 0, full: 0, timeouts: 0 },
      circuitBreaker: { state: "closed", refused: 0 },
    },
  ]);
  expect(bad.requests.length).toBeGreaterThanOrEqual(3);
});

/** Three times as many requests as the targets can do: as much is done as ever, the rest is told early. */
import { expect, test } from "bun:test";
import { reply } from "../../support/raw-backend.ts";
import { openStage } from "../../support/stage.ts";
import { sleep } from "../../support/until.ts";

const stage = openStage();

/** A target that does so many at a time in this time, and takes longer for each beyond them, as servers do that swap or wait for locks. */
const PLACES = 10;
const SERVICE = 40;
const CAPACITY = (PLACES / SERVICE) * 1000;
/** An answer that comes later is of no use to anybody, in ms. */
const PATIENCE = 1_000;
const DURATION = 1_500;

interface Outcome {
  /** Useful answers a second. */
  readonly goodput: number;
  readonly refused: number;
  readonly mostOpen: number;
}

async function offered(rate: number, upstream: Record<string, unknown>): Promise<Outcome> {
  let open = 0;
  let mostOpen = 0;
  const backend = await stage.backend(async (_request, connection) => {
    mostOpen = Math.max(mostOpen, ++open);
    await sleep(SERVICE * Math.max(1, open / PLACES) ** 2);
    open--;
    connection.write(reply(200, "ok"));
  });
  const { url } = await stage.fairlead({ targets: [backend], upstream: upstream as never });
  let good = 0;
  let refused = 0;
  const asks: Promise<void>[] = [];
  const began = performance.now();
  while (performance.now() - began < DURATION) {
    const due = ((performance.now() - began) / 1000) * rate;
    while (asks.length < due) {
      const at = performance.now();
      asks.push(
        fetch(url).then(async (response) => {
          await response.text();
          if (response.status === 503) refused++;
          else if (performance.now() - at < PATIENCE) good++;
        }, () => {}),
      );
    }
    await sleep(2);
  }
  const took = performance.now() - began;
  await Promise.race([Promise.all(asks), sleep(PATIENCE)]);
  return { goodput: good / (took / 1000), refused, mostOpen };
}

test("at 3 × capacity goodput stays at 90 % of the best, with max_requests and a short queue", async () => {
  const limited = { max_requests: PLACES, queue_size: 50, queue_timeout: "500ms" };
  const best = Math.max(...(await Promise.all([offered(CAPACITY, limited), offered(CAPACITY * 0.8, limited)])).map(({ goodput }) => goodput));
  const over = await offered(CAPACITY * 3, limited);
  console.log(`goodput: best ${best.toFixed(0)}, at 3 × capacity ${over.goodput.toFixed(0)} a second, ${over.refused} refused`);
  expect(over.mostOpen).toBeLessThanOrEqual(PLACES);
  expect(over.refused).toBeGreaterThan(CAPACITY);
  expect(over.goodput).toBeGreaterThan(best * 0.9);
  // What happens without: the target breaks down under what is sent to it.
  const free = await offered(CAPACITY * 3, {});
  console.log(`without limits: ${free.goodput.toFixed(0)} a second`);
  expect(free.goodput).toBeLessThan(best * 0.5);
}, 60_000);

/** Circuit breaker: opens on failures, tries a few, and closes, as one over all workers. */
import { describe, expect, test } from "bun:test";
import type { Log } from "../../src/observability/log.ts";
import { BREAKER_STATE, TOTAL_BREAKER_REFUSED } from "../../src/scoreboard/scoreboard.ts";
import { BREAKER_STATES } from "../../src/upstream/circuit-breaker.ts";
import type { Upstream } from "../../src/upstream/upstream.ts";
import { type AtWork, atWork, manyTargets } from "../support/upstreams.ts";

/** Opens at 50 % of 10 requests or more in 10 s, for 5 s; 3 must succeed then. */
const BREAKER = { failure_rate: "50%", min_requests: 10, window: "10s", open_for: "5s", probes: 3 };

interface Arranged extends AtWork {
  readonly changes: readonly string[];
  state(): string;
}

function arrange(more: object = {}): Arranged {
  const changes: string[] = [];
  const note = ({ state }: { readonly state: string }): void => void changes.push(state);
  const log = { info: note, error: note, warn: () => {} } as unknown as Log;
  const work = atWork({ targets: manyTargets(2), circuit_breaker: { ...BREAKER, ...more } }, { workers: 3, log });
  return { ...work, changes, state: () => BREAKER_STATES[work.board.words[work.board.upstreamWordAt(0, BREAKER_STATE)]! as 0 | 1 | 2] };
}

function exchanges(upstream: Upstream, times: number, status: number, probe = false): void {
  for (let i = 0; i < times; i++) {
    upstream.enter(upstream.targets[0]!);
    upstream.leave(upstream.targets[0]!, { failed: status === 0, milliseconds: 1, status }, 1, probe);
  }
}

const probes = (upstream: Upstream, times: number, status: number): void => exchanges(upstream, times, status, true);

/** How many of so many requests are let through, workers taking turns. */
const admitted = ({ workers }: AtWork, times: number): number => Array.from({ length: times }, (_, i) => workers[i % workers.length]!.admits()).filter((admission) => admission !== "no").length;

/** Open, after ten failures. */
function opened(more: object = {}): Arranged {
  const work = arrange(more);
  exchanges(work.upstream, 10, 503);
  expect(work.state()).toBe("open");
  return work;
}

describe("closed", () => {
  test("lets everything through, and opens when enough fails over all workers", () => {
    const work = arrange();
    exchanges(work.workers[0]!, 5, 200);
    exchanges(work.workers[1]!, 2, 500);
    exchanges(work.workers[2]!, 2, 0);
    expect(work.state()).toBe("closed");
    expect(admitted(work, 30)).toBe(30);
    exchanges(work.workers[0]!, 1, 502);
    expect(work.state()).toBe("open");
    expect(work.changes).toEqual(["open"]);
  });

  test("with fewer requests than min_requests nothing opens", () => {
    const work = arrange();
    exchanges(work.upstream, 9, 503);
    expect(work.state()).toBe("closed");
  });

  test("below the failure rate it stays closed, and 4xx is no failure", () => {
    const work = arrange();
    for (let i = 0; i < 50; i++) {
      exchanges(work.upstream, 11, 404);
      exchanges(work.upstream, 9, 500);
    }
    expect(work.state()).toBe("closed");
  });

  test("counts anew with each window", () => {
    const work = arrange();
    exchanges(work.upstream, 9, 503);
    work.clock.advance(9_999);
    expect(work.state()).toBe("closed");
    work.clock.advance(1);
    exchanges(work.upstream, 9, 503);
    expect(work.state()).toBe("closed");
    exchanges(work.upstream, 1, 503);
    expect(work.state()).toBe("open");
  });

  test("clients that go away say nothing", () => {
    const work = arrange();
    for (let i = 0; i < 30; i++) {
      work.upstream.enter(work.upstream.targets[0]!);
      work.upstream.leaveEarly(work.upstream.targets[0]!, 1);
    }
    exchanges(work.upstream, 9, 503);
    expect(work.state()).toBe("closed");
  });
});

describe("open", () => {
  test("turns everybody away in all workers, and says when to come again", () => {
    const work = opened();
    expect(admitted(work, 9)).toBe(0);
    expect(work.board.upstreams.sum(0, TOTAL_BREAKER_REFUSED)).toBe(9);
    for (const { breaker } of work.workers) expect(breaker!.retryAfter).toBe(5000);
    work.clock.advance(3500);
    expect(work.workers[2]!.breaker!.retryAfter).toBe(1500);
    work.clock.advance(1499);
    expect(admitted(work, 9)).toBe(0);
  });

  test("what ends meanwhile changes nothing", () => {
    const work = opened();
    exchanges(work.upstream, 20, 200);
    exchanges(work.upstream, 20, 503);
    expect(work.state()).toBe("open");
    work.clock.advance(5000);
    expect(admitted(work, 1)).toBe(1);
  });

  test("lets a few try after open_for, over all workers, and no more while they are at it", () => {
    const work = opened();
    work.clock.advance(5000);
    expect(admitted(work, 30)).toBe(3);
    expect(work.state()).toBe("half-open");
    work.clock.advance(5000);
    expect(admitted(work, 30)).toBe(0);
  });
});

describe("half-open", () => {
  test("closes when all who try succeed", () => {
    const work = opened();
    work.clock.advance(5000);
    admitted(work, 3);
    probes(work.workers[1]!, 2, 200);
    expect(work.state()).toBe("half-open");
    probes(work.workers[2]!, 1, 404);
    expect(work.state()).toBe("closed");
    expect(admitted(work, 30)).toBe(30);
    expect(work.changes).toEqual(["open", "half-open", "closed"]);
  });

  test("closed again it has forgotten what was before", () => {
    const work = opened({ probes: 1 });
    work.clock.advance(5000);
    admitted(work, 1);
    probes(work.upstream, 1, 200);
    probes(work.upstream, 9, 503);
    expect(work.state()).toBe("closed");
    probes(work.upstream, 1, 503);
    expect(work.state()).toBe("open");
  });

  test("opens for the whole time again when one fails", () => {
    const work = opened();
    work.clock.advance(7000);
    admitted(work, 3);
    probes(work.upstream, 2, 200);
    probes(work.upstream, 1, 0);
    expect(work.state()).toBe("open");
    work.clock.advance(4999);
    expect(admitted(work, 3)).toBe(0);
    work.clock.advance(1);
    expect(admitted(work, 30)).toBe(3);
  });

  test("counts probes only: what began before it opened, and ends late, changes nothing", () => {
    const work = opened();
    work.clock.advance(5000);
    expect(admitted(work, 3)).toBe(3);
    exchanges(work.upstream, 5, 503);
    exchanges(work.upstream, 5, 200);
    expect(work.state()).toBe("half-open");
  });

  test("a probe that came to nothing lets another one go", () => {
    const work = opened();
    work.clock.advance(5000);
    expect(admitted(work, 30)).toBe(3);
    work.upstream.probeUnused();
    expect(admitted(work, 30)).toBe(1);
  });

  test("gives up those who never come back, and lets others try", () => {
    const work = opened();
    work.clock.advance(5000);
    expect(admitted(work, 30)).toBe(3);
    probes(work.upstream, 2, 200);
    work.clock.advance(10_001);
    expect(admitted(work, 30)).toBe(3);
    // It is no change of state.
    expect(work.changes).toEqual(["open", "half-open"]);
    probes(work.upstream, 2, 200);
    expect(work.state()).toBe("half-open");
    probes(work.upstream, 1, 200);
    expect(work.state()).toBe("closed");
  });
});

test("without the table there is no breaker: everything goes through", () => {
  const { upstream } = atWork({ targets: manyTargets(1) });
  exchanges(upstream, 100, 503);
  expect(upstream.breaker).toBeUndefined();
  expect(upstream.admits()).toBe("yes");
});

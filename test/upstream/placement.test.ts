/** Placement: the way to a place at a target. Whoever is told of a place has one, and when all is over nothing is held any more. */
import { describe, expect, test } from "bun:test";
import type { RoutingPolicy } from "../../src/policies/policy.ts";
import { BREAKER_PROBES, BREAKER_STATE, OPEN_EXCHANGES, OPEN_RETRIES, QUEUED } from "../../src/scoreboard/scoreboard.ts";
import { BreakerState } from "../../src/upstream/circuit-breaker.ts";
import { type Applicant, Placement } from "../../src/upstream/placement.ts";
import type { Target } from "../../src/upstream/target.ts";
import { ANYBODY, type AtWork, atWork, type AtWorkOptions, manyTargets } from "../support/upstreams.ts";

class Asker implements Applicant {
  /** What it was told, in this order. */
  readonly told: string[] = [];
  readonly placement: Placement;
  private readonly work: AtWork;

  constructor(work: AtWork, { waits = true, random = 0.5 } = {}) {
    this.work = work;
    this.placement = new Placement(this, { clock: work.clock, random: () => random }, waits);
  }

  placed(target: Target, atOnce: boolean): void {
    this.told.push(`${target.name}${atOnce ? "" : " in time"}`);
  }

  turnedAway(cause: string, _detail: string, retryAfter: number): void {
    this.told.push(retryAfter === 0 ? cause : `${cause}, again in ${retryAfter} ms`);
    this.placement.end();
  }

  flush(): void {
    this.told.push("flush");
  }

  seek(): this {
    this.placement.seek(this.work.upstream, ANYBODY);
    return this;
  }

  /** Its target answers, after no time, and the exchange is over. */
  answered(status = 200): void {
    this.placement.leave(status === 0, status, 1);
    this.placement.end();
  }
}

const TARGETS = manyTargets(3);
const [FIRST, SECOND] = ["10.0.0.0:80", "10.0.0.1:80"];

function arranged(more: object = {}, options: AtWorkOptions = {}): { work: AtWork; asker(options?: { waits?: boolean; random?: number }): Asker; held(): number[] } {
  const work = atWork({ policy: "first", targets: TARGETS, ...more }, options);
  return { work, asker: (of) => new Asker(work, of), held: () => [OPEN_EXCHANGES, QUEUED, OPEN_RETRIES].map((word) => work.board.upstreams.held(0, word)) };
}

/** Thinks until it is told to answer. */
function thinker(): { policy: RoutingPolicy; answer(index?: number): Promise<void> } {
  const waiting: ((index: number) => void)[] = [];
  const policy: RoutingPolicy = { pick: async (_request, usable) => usable[await new Promise<number>((resolve) => waiting.push(resolve))] };
  return {
    policy,
    answer: async (index = 0) => {
      waiting.shift()!(index);
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    },
  };
}

describe("a place", () => {
  test("is there at once, and given back", () => {
    const { asker, held } = arranged();
    const one = asker().seek();
    expect([one.told, held(), one.placement.attempts, one.placement.candidates.length]).toEqual([[FIRST], [1, 0, 0], 1, 3]);
    one.answered();
    expect([held(), one.placement.target]).toEqual([[0, 0, 0], undefined]);
  });

  test("may be found again and again by the same placement", () => {
    const { asker, held } = arranged();
    const one = asker();
    for (let i = 0; i < 3; i++) {
      one.placement.begin();
      one.seek().answered();
    }
    expect([one.told, held()]).toEqual([[FIRST, FIRST, FIRST], [0, 0, 0]]);
  });

  test("is none where there are no targets", () => {
    const { asker } = arranged({ targets: manyTargets(1, () => ({ weight: 0 })) });
    expect(asker().seek().told).toEqual(["no-target"]);
  });
});

describe("a policy that thinks", () => {
  test("is waited for, and what it answers in time is not an answer at once", async () => {
    const { policy, answer } = thinker();
    const { asker, held } = arranged({}, { policy: () => policy });
    const one = asker().seek();
    expect([one.told, held()]).toEqual([[], [0, 0, 0]]);
    await answer(1);
    expect([one.told, held()]).toEqual([[`${SECOND} in time`, "flush"], [1, 0, 0]]);
  });

  test("answers nobody when the exchange is over, nor the next one", async () => {
    const { policy, answer } = thinker();
    const { asker, held } = arranged({}, { policy: () => policy });
    const one = asker().seek();
    one.placement.end();
    one.placement.begin();
    one.seek();
    await answer(0);
    expect([one.told, held()]).toEqual([[], [0, 0, 0]]);
    await answer(1);
    expect(one.told).toEqual([`${SECOND} in time`, "flush"]);
  });

  test("keeps a place in the queue while it thinks about room, and it may time out there", async () => {
    const { policy, answer } = thinker();
    const { work, asker, held } = arranged({ targets: manyTargets(1), max_requests: 1, queue_timeout: "1s" }, { policy: () => policy });
    const [first, second, third] = [asker().seek(), asker(), asker()];
    await answer();
    second.seek();
    await answer();
    third.seek();
    expect(held()).toEqual([1, 2, 0]);
    first.answered();
    await Promise.resolve();
    // Offered, and thought about: neither asked twice nor overtaken.
    expect([held(), second.told]).toEqual([[0, 2, 0], ["flush", "flush"]]);
    work.clock.advance(1_100);
    expect([second.told.slice(2), third.told, held()]).toEqual([["queue-timeout, again in 1000 ms", "flush"], ["queue-timeout, again in 1000 ms", "flush"], [0, 0, 0]]);
    await answer();
    expect([held(), second.told.length]).toEqual([[0, 0, 0], 4]);
  });
});

describe("the queue", () => {
  const full = { targets: manyTargets(1), max_requests: 1, queue_timeout: "1s" };

  test("is entered while all are full, and left when there is room", async () => {
    const { work, asker, held } = arranged(full);
    const [first, second] = [asker().seek(), asker().seek()];
    expect([second.told, held()]).toEqual([[], [1, 1, 0]]);
    work.clock.advance(10);
    first.answered();
    await Promise.resolve();
    expect([second.told, held(), second.placement.queued]).toEqual([[`${FIRST} in time`, "flush"], [1, 0, 0], 10]);
  });

  test("is left by who ends", () => {
    const { asker, held } = arranged(full);
    const [, second] = [asker().seek(), asker().seek()];
    second!.placement.end();
    expect([second!.told, held()]).toEqual([[], [1, 0, 0]]);
  });

  test("is nothing for who does not wait", () => {
    const { asker, held } = arranged(full);
    const [, second, third] = [asker().seek(), asker({ waits: false }).seek(), asker().seek()];
    expect([second!.told, third!.told, held()]).toEqual([["queue-full, again in 1000 ms"], [], [1, 1, 0]]);
  });

  test("counts all of the time that was waited in it, also for a second attempt", async () => {
    const { work, asker } = arranged({ ...full, retry_backoff: "100ms" });
    const [first, second, third] = [asker().seek(), asker().seek(), asker()];
    work.clock.advance(10);
    first.answered();
    await Promise.resolve();
    second.placement.leave(false, 503, 1);
    second.placement.againLater();
    third.seek();
    work.clock.advance(60);
    expect(second.told.at(-1)).toBe("flush");
    work.clock.advance(20);
    third.answered();
    await Promise.resolve();
    expect(second.placement.attempts).toBe(2);
    // 10 ms, and what was left of 80 after a pause of 50.
    expect(second.placement.queued).toBe(40);
  });
});

describe("another attempt", () => {
  test("goes where it has not been, and anywhere when it has been everywhere", () => {
    const { work, asker, held } = arranged({ targets: manyTargets(2), retry_backoff: "100ms" });
    const one = asker().seek();
    for (const wait of [0, 50]) {
      const { target } = one.placement;
      one.placement.leave(true, 0, 1);
      one.placement.avoid(target!);
      if (wait === 0) one.placement.again();
      else one.placement.againLater();
      // In the pause it is open, though nobody has it.
      expect(held()).toEqual([1, 0, 0]);
      work.clock.advance(100);
    }
    expect([one.told, one.placement.attempts]).toEqual([[FIRST, `${SECOND} in time`, `${FIRST} in time`, "flush"], 3]);
  });

  test("does not come when the exchange ends in the pause before it", () => {
    const { work, asker, held } = arranged({ retry_backoff: "100ms" });
    const one = asker().seek();
    expect(one.placement.takeBudget()).toBeTrue();
    one.placement.leave(true, 0, 1);
    one.placement.againLater();
    expect(held()).toEqual([1, 0, 1]);
    one.placement.end();
    work.clock.advance(1_000);
    expect([one.told, held()]).toEqual([[FIRST], [0, 0, 0]]);
  });

  for (const [budget, tried] of [
    ["100%", 20],
    ["50%", 10],
  ] as const) {
    test(`of ${budget} of the open requests is within a budget of ${budget} when the target of all of them dies at once`, () => {
      const { work, asker, held } = arranged({ retry_backoff: "100ms", retry_budget: budget, retry_budget_min: 0 });
      const all = Array.from({ length: 20 }, () => asker().seek());
      const again = all.filter(({ placement }) => {
        placement.leave(true, 0, 1);
        if (!placement.takeBudget()) return false;
        placement.againLater();
        return true;
      });
      expect(again).toHaveLength(tried);
      work.clock.advance(200);
      for (const one of again) one.answered();
      expect(held()).toEqual([0, 0, 0]);
    });
  }

  test("beside the first takes a place of the budget, and may become the only one", () => {
    const { asker, held } = arranged();
    const one = asker().seek();
    const other = one.placement.beside()!;
    expect([other.name, held()]).toEqual([SECOND, [2, 0, 1]]);
    one.placement.leaveEarly(0);
    one.placement.adopt(other);
    expect([one.placement.target, one.placement.attempts]).toEqual([other, 2]);
    one.answered();
    expect(held()).toEqual([0, 0, 0]);
  });
});

describe("a probe of the circuit breaker", () => {
  function halfOpen(probes: number): ReturnType<typeof arranged> & { left(): number } {
    const of = arranged({ circuit_breaker: { probes, open_for: "1h" } });
    const { board } = of.work;
    const at = (word: number): number => board.upstreamWordAt(0, word);
    board.words[at(BREAKER_STATE)] = BreakerState.HALF_OPEN;
    board.words[at(BREAKER_PROBES)] = probes;
    return { ...of, left: () => board.words[at(BREAKER_PROBES)]! };
  }

  test("that came to nothing is another's, once", () => {
    const { asker, left, held } = halfOpen(1);
    const one = asker().seek();
    expect([one.told, left(), asker().seek().told[0]]).toEqual([[FIRST], 0, expect.stringContaining("circuit-open")]);
    one.placement.leaveEarly(0);
    expect(left()).toBe(0);
    one.placement.end();
    one.placement.end();
    expect([left(), held()]).toEqual([1, [0, 0, 0]]);
  });

  test("is still one when whoever has it seeks anew", () => {
    const { asker, left } = halfOpen(1);
    const one = asker().seek();
    one.placement.leaveEarly(0);
    one.seek();
    expect([one.told, left()]).toEqual([[FIRST, `${FIRST} in time`], 0]);
    one.answered();
    expect(left()).toBe(0);
  });
});

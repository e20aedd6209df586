/** Who speaks HTTP/2 in a world, and how: drawn from dice of its own, so that worlds without it stay as they are. */
import type { Dice } from "../support/random.ts";
import type { H2Manners } from "./h2-backend.ts";
import type { H2ClientPlan } from "./h2-client.ts";
import type { H2Habits } from "./h2-endpoint.ts";
import type { RequestPlan } from "./ledger.ts";
import type { TunnelPlan } from "./tunnel-client.ts";

/** Which clients of a plan speak it, by their number; the others speak HTTP/1. */
export type H2Clients = readonly (H2ClientPlan | undefined)[];

/** Longer than this nobody in calm weather keeps a window shut, in ms. */
const CALM_WITHHELD = 300;

function habits(dice: Dice, calm: boolean, maxStreams: number | undefined): H2Habits {
  const dribbles = dice.chance(0.25) ? dice.one([1, 10, 60]) : 0;
  return {
    // Many small windows, and long pauses besides, would take longer than anybody waits.
    initialWindow: dice.one(dribbles > 0 ? [10_000, 65_535] : [0, 1, 700, 10_000, 65_535, 65_535, 300_000]),
    maxStreams,
    creditPause: dice.one([0, 1, 10, calm ? 50 : 150]),
    withholds: dice.chance(0.4) ? dice.random() * 0.5 : 0,
    withheldFor: calm ? dice.random() * CALM_WITHHELD : dice.one([50, 300, 1_500]),
    changes: dice.chance(0.3) ? 1 + dice.below(3) : 0,
    pings: dice.chance(0.3) ? 1 + dice.below(4) : 0,
    frameBytes: calm ? 2_000 : dice.one([100, 2_000, 16_384]),
    splits: dice.chance(0.3) ? dice.random() : 0,
    pads: dice.chance(0.3) ? dice.random() * 0.5 : 0,
    dribbles,
  };
}

function client(dice: Dice, calm: boolean, request: (id: number, largest: number) => RequestPlan, nextId: () => number): H2ClientPlan {
  const hurried = dice.chance(0.07);
  const largest = hurried ? 2_000 : dice.one([500, 5_000, 40_000]);
  const count = hurried ? 15 + dice.below(20) : 1 + dice.below(5);
  return {
    at: dice.random() * 400,
    requests: Array.from({ length: count }, () => ({ ...request(nextId(), largest), minor: 1 as const, closes: false })),
    streams: dice.one([1, 3, 10, 100]),
    patient: dice.chance(0.4),
    habits: habits(dice, calm, undefined),
    slowReads: dice.chance(0.25) ? dice.one([2, 20, 100]) : 0,
    slowWrites: dice.chance(0.3) ? dice.one([2, 30, 150]) : 0,
    cancels: !calm && dice.chance(0.4) ? dice.random() * 0.6 : 0,
    cancelsWithin: dice.one([2, 30, 300]),
    goesAwayAfter: dice.chance(0.2) ? 1 + dice.below(count) : Infinity,
    leaves: !calm && dice.chance(0.2) ? { after: dice.one(["bytes", "time"]), amount: dice.below(dice.one([300, 5_000])), how: dice.one(["reset", "close", "fin"]) } : undefined,
    goodbye: dice.one(["goaway", "close", "reset", "wait"]),
  };
}

/** What a listener lets clients of HTTP/2 do. */
export function listenerLimits(dice: Dice): object {
  return { max_concurrent_streams: dice.one([1, 3, 100]), stream_window: dice.one([65_535, 100_000]), connection_window: dice.one([65_535, 200_000, 1_048_576]) };
}

export function h2Clients(dice: Dice, calm: boolean, count: number, request: (id: number, largest: number) => RequestPlan, nextId: () => number): H2Clients {
  return Array.from({ length: count }, () => (dice.chance(0.75) ? client(dice, calm, request, nextId) : undefined));
}

/** @param modern some speak HTTP/2 */
export function tunnelPlans(dice: Dice, calm: boolean, modern: boolean, nextId: () => number): readonly TunnelPlan[] {
  return Array.from({ length: dice.chance(0.25) ? 1 + dice.below(3) : 0 }, () => ({
    id: nextId(),
    at: dice.random() * 400,
    length: dice.below(dice.one([50, 3_000, 60_000])),
    eager: dice.chance(0.3),
    slowWrites: dice.chance(0.3) ? 20 : 0,
    slowReads: dice.chance(0.3) ? 20 : 0,
    leavesAfter: !calm && dice.chance(0.15) ? dice.below(3_000) : Infinity,
    habits: modern && dice.chance(0.6) ? habits(dice, calm, undefined) : undefined,
  }));
}

export function h2Manners(dice: Dice, calm: boolean): H2Manners {
  const some = (most: number): number => (!calm && dice.chance(0.35) ? dice.random() * most : 0);
  return {
    habits: habits(dice, calm, dice.one([1, 3, 20, 100, undefined])),
    refuses: some(0.3),
    looksLate: dice.chance(0.4) ? dice.random() * 0.5 : 0,
    abrupt: some(1),
    closed: some(0.05),
    refusesConnect: some(0.2),
  };
}

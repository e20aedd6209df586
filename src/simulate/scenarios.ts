/** What may happen to targets and traffic, as a share of the simulated time from 0 to 1. A new scenario is one entry here. */

/** What one target does besides serving. */
export interface Behaviour {
  /** It takes this many times as long as the others. */
  readonly slowness?: (time: number) => number;
  /** It refuses connections and cuts what is open from `from` to `to`. */
  readonly dead?: readonly { readonly from: number; readonly to: number }[];
  /** It is not in rotation before this. */
  readonly joins?: number;
}

export interface Scenario {
  readonly says: string;
  /** Of what all targets could serve at most, when nothing is wrong with them. */
  readonly load: number;
  /** Of those who ask: how uneven they are (Zipf's exponent), and the share of the first. */
  readonly skew: number;
  readonly hot: number;
  /** What the n-th of so many targets does. */
  readonly behaviour: (index: number, count: number) => Behaviour;
}

const STEADY = { load: 0.6, skew: 0.5, hot: 0 } as const;
const NOTHING: Behaviour = {};

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  "slow-target": {
    ...STEADY,
    load: 0.5,
    says: "one target takes ten times as long as the others, and no check sees it",
    behaviour: (index) => (index === 0 ? { slowness: () => 10 } : NOTHING),
  },
  "dead-target": {
    ...STEADY,
    says: "one target dies at a third of the time and stays dead",
    behaviour: (index) => (index === 0 ? { dead: [{ from: 1 / 3, to: 2 }] } : NOTHING),
  },
  flapping: {
    ...STEADY,
    says: "one target dies and comes back five times",
    behaviour: (index) => (index === 0 ? { dead: Array.from({ length: 5 }, (_, n) => ({ from: 0.1 + n * 0.18, to: 0.16 + n * 0.18 })) } : NOTHING),
  },
  "scale-out": {
    ...STEADY,
    says: "the last third of the targets joins at half of the time",
    load: 0.4,
    behaviour: (index, count) => (index >= Math.ceil((count * 2) / 3) ? { joins: 0.5 } : NOTHING),
  },
  "hot-key": {
    ...STEADY,
    says: "a quarter of all requests come from one client",
    skew: 0.8,
    hot: 0.25,
    load: 0.5,
    behaviour: () => NOTHING,
  },
  "cold-start": {
    ...STEADY,
    says: "one target is started anew at a third of the time: at first it takes ten times as long, and less and less",
    behaviour: (index) => (index === 0 ? { dead: [{ from: 0.3, to: 1 / 3 }], slowness: (time) => (time < 1 / 3 ? 1 : 1 + 9 * Math.exp(-(time - 1 / 3) * 15)) } : NOTHING),
  },
};

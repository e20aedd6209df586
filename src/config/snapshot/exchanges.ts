/** Which exchanges are kept for people to look at. */
import type { Bytes, Milliseconds } from "./units.ts";

export interface ExchangesConfig {
  /** How many, and in how many bytes. */
  readonly keep: number;
  readonly memory: Bytes;
  /** 0: none is kept for it. */
  readonly slow: Milliseconds;
  /** The part of all others, from 0 to 1. */
  readonly sample: number;
  readonly query: "keep" | "drop";
}

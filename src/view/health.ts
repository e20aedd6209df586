/** How well something is: a level that colour and shape stand for, and the word that goes with it. */
import type { Rates, RouteView, TargetView, UpstreamView } from "./shapes.ts";

/** "off": taken out of service by somebody who meant it. */
export type Level = "ok" | "warn" | "bad" | "off";
const WORST: readonly Level[] = ["bad", "warn", "off", "ok"];

export interface Health {
  readonly level: Level;
  /** Short. */
  readonly word: string;
}

/** Parts of the exchanges, above which they are worth a look, and trouble. */
const SOME_ERRORS = 0.01;
const MANY_ERRORS = 0.05;
/** Below so many a second, one in the 5 s that a rate is taken over, a part says nothing. */
const FEW = 0.3;

export function worse(one: Level, other: Level): Level {
  return WORST[Math.min(WORST.indexOf(one), WORST.indexOf(other))]!;
}

/** Worst first. */
export function byLevel(one: Level, other: Level): number {
  return WORST.indexOf(one) - WORST.indexOf(other);
}

/** Replies of 5xx, and none at all, per second. */
export function errorRate({ rate_by_class: by }: Rates): number {
  return (by["5xx"] ?? 0) + (by.failed ?? 0);
}

/** Of all exchanges, 0 to 1. */
export function errorShare(rates: Rates): number {
  const errors = errorRate(rates);
  const all = Math.max(rates.rate, errors);
  return all === 0 ? 0 : errors / all;
}

export function errorLevel(rates: Rates): Level {
  if (errorRate(rates) < FEW) return "ok";
  const share = errorShare(rates);
  return share >= MANY_ERRORS ? "bad" : share >= SOME_ERRORS ? "warn" : "ok";
}

/** A target's state alone, whatever it answers. */
export function stateLevel(state: string): Level {
  return isWithdrawn(state) ? "off" : state === "up" ? "ok" : "bad";
}

function isWithdrawn(state: string): boolean {
  return state.includes("draining") || state.includes("maintenance");
}

/** How many of its targets take requests. What is withdrawn stands first in an overview that has not all of them. */
export function inRotation({ healthy_count: healthy, targets }: UpstreamView): number {
  return Math.max(0, healthy - targets.filter(({ state }) => state.split("+").every((word) => isWithdrawn(word))).length);
}

/** How many are out that nobody took out. */
export function outCount({ target_count: all, healthy_count: healthy, targets }: UpstreamView): number {
  return Math.max(0, all - healthy - targets.filter(({ state }) => isWithdrawn(state) && !state.split("+").every((word) => isWithdrawn(word))).length);
}

export function targetHealth(target: TargetView): Health {
  const level = stateLevel(target.state);
  if (level !== "ok") return { level, word: target.state.replaceAll("+", ", ") };
  const errors = errorLevel(target);
  return errors === "ok" ? { level, word: "up" } : { level: errors, word: "errors" };
}

export function upstreamHealth(upstream: UpstreamView): Health {
  const { target_count: all, breaker, panic } = upstream;
  if (all > 0 && inRotation(upstream) === 0 && !panic) return { level: "bad", word: "no target" };
  if (breaker !== null && breaker !== "closed") return { level: breaker === "open" ? "bad" : "warn", word: `breaker ${breaker}` };
  if (panic) return { level: "bad", word: "panic" };
  const errors = errorLevel(upstream);
  if (errors === "bad") return { level: "bad", word: "errors" };
  if (outCount(upstream) > 0) return { level: "warn", word: "degraded" };
  return errors === "ok" ? { level: "ok", word: "ok" } : { level: errors, word: "errors" };
}

/** Certificates that end within so many days are worth a look, and trouble. */
const DAYS_TO_LOOK = 14;
const DAYS_OF_TROUBLE = 3;

export function certificateLevel(daysLeft: number): Level {
  return daysLeft <= DAYS_OF_TROUBLE ? "bad" : daysLeft <= DAYS_TO_LOOK ? "warn" : "ok";
}

export function routeHealth(route: RouteView | Rates): Health {
  const level = errorLevel(route);
  return { level, word: level === "ok" ? "ok" : "errors" };
}

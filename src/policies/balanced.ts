/** What the built-in policies know of targets beyond the public interface, and what their host gives them. */
import type { HashConfig } from "../config/snapshot.ts";
import type { PolicyContext, RoutingPolicy, RoutingTarget } from "./policy.ts";

export interface BalancedTarget extends RoutingTarget {
  /** Its row in the scoreboard. */
  readonly slot: number;
  /** As configured, whatever its state. */
  readonly configuredWeight: number;
  /** Of 1000: how much of its configured weight it gets now. */
  readonly share: number;
  /** It is among the targets that picks are made from now. */
  readonly isUsable: boolean;
  /** Open requests that it may have; 0: any number. */
  readonly limit: number;
  /** It has as many as it may. */
  readonly isFull: boolean;
}

/** Open requests of targets as numbers in one array: a scan of ten thousand objects would take far longer. */
export interface OpenRequests {
  readonly words: Int32Array;
  /** Index of a target's number. */
  openRequestsAt(slot: number): number;
}

export interface BalancerContext extends PolicyContext {
  readonly open: OpenRequests;
  /** Open requests of the whole upstream. */
  openTotal(): number;
  readonly hash: HashConfig;
}

/** A built-in policy may keep tables over all targets of a tier, usable or not: they hold until the configuration changes. */
export interface Balancer extends RoutingPolicy<BalancedTarget> {
  readonly skipsTried: true;
  /** These are the targets from now on. */
  prepare?(all: readonly BalancedTarget[]): void;
}

export type BalancerFactory = (context: BalancerContext) => Balancer;

const NONE: readonly never[] = [];

/** Nobody was tried before. */
export function none<T>(): readonly T[] {
  return NONE;
}

/** The first that was not tried, from `start` on and round. */
export function firstUntried<Target>(targets: readonly Target[], tried: readonly Target[], start = 0): Target | undefined {
  for (let i = 0; i < targets.length; i++) {
    const target = targets[(start + i) % targets.length]!;
    if (!tried.includes(target)) return target;
  }
  return undefined;
}

/** What is done about requests that fail, wait or take long. */
import type { Bytes, Milliseconds } from "./units.ts";

export interface RetryConfig {
  /** Further attempts after the first, each on another target if one is there. */
  readonly retries: number;
  /** A connect that failed. */
  readonly onConnectFailure: boolean;
  /** A connection that closed or was reset before a reply. */
  readonly onReset: boolean;
  /** No reply within the attempt's time. */
  readonly onTimeout: boolean;
  readonly statuses: readonly number[];
  /** gRPC's; they hold for every call, whatever its method does. */
  readonly grpcStatuses: readonly number[];
  /** Before the second attempt on a live target, at random between 0 and this; doubles with each attempt. */
  readonly backoff: Milliseconds;
  readonly backoffMax: Milliseconds;
  /** Of a request's body this much is kept to be sent once more. */
  readonly buffer: Bytes;
  /** Percent of the open requests that may be retries or hedges at a time. */
  readonly budget: number;
  /** So many may be at any rate. */
  readonly budgetMin: number;
}

export interface QueueConfig {
  /** Requests of this upstream that wait for a place, over all workers; 0: none waits. */
  readonly size: number;
  readonly timeout: Milliseconds;
}

export interface HedgeConfig {
  /** The share of requests, in percent, that are answered before a hedge is sent. */
  readonly percentile: number;
  /** Never sooner than this. */
  readonly minDelay: Milliseconds;
}

export interface CircuitBreakerConfig {
  /** Percent of failures that opens it. */
  readonly failureRate: number;
  /** Of at least so many requests in one window. */
  readonly minRequests: number;
  readonly window: Milliseconds;
  /** How long it stays open before it tries again. */
  readonly openFor: Milliseconds;
  /** Requests that are let through to try. */
  readonly probes: number;
}

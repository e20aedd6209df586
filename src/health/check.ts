/**
 * What a kind of health check is: the interface that http.ts, tcp.ts and further kinds implement.
 *
 * Adding a kind takes one new file with a `CheckKind` and one line in kinds.ts. A kind knows how to ask one target
 * once; when to ask and what follows from the answers is decided in checker.ts and health.ts.
 */
import type { Address, HealthCheckConfig, TargetConfig } from "../config/snapshot.ts";
import type { Network } from "../net/network.ts";
import type { TlsClient } from "../net/tls.ts";
import type { HangingConnects } from "./hanging.ts";

/** What one check found out. */
export interface Verdict {
  readonly ok: boolean;
  /** A few words for people: `status 200`, `connect refused`, `timeout after 2s`. */
  readonly reason: string;
  /** False when the check could not be made for a reason on our side: that says nothing about the target. */
  readonly conclusive: boolean;
  /** What an agent asks for besides up and down; only kind agent gives it. */
  readonly orders?: AgentOrders;
}

/** What a target's own agent may ask for, as in HAProxy's agent-check. What is absent stays as it is. */
export interface AgentOrders {
  /** Percent of the configured weight, 0 to 256 × 100; 0 takes no new requests. */
  readonly weight?: number;
  /** ready: normal; drain: no new requests but sticky ones; maint: none at all. */
  readonly mode?: "ready" | "drain" | "maint";
}

export function passed(reason: string): Verdict {
  return { ok: true, reason, conclusive: true };
}

export function failed(reason: string): Verdict {
  return { ok: false, reason, conclusive: true };
}

export function inconclusive(reason: string): Verdict {
  return { ok: false, reason, conclusive: false };
}

/** What a check works with. */
export interface CheckContext {
  readonly network: Network;
  /** Connects that outlived their checks. */
  readonly hanging: HangingConnects;
  /** How the target is spoken to over TLS; absent: it is not. */
  readonly tls?: TlsClient;
  /** What a connection to the target begins with. */
  readonly preface?: Buffer;
  /** Words that stand before those of a program that a check runs, as things are now. */
  readonly starter?: () => readonly string[];
}

/** A check of one target, made ready once and run again and again. */
export interface PreparedCheck {
  /**
   * Run once. Tells `done` exactly once, within the check's timeout, later than this call returns or during it.
   * The returned function gives up: `done` is not called after it.
   */
  run(context: CheckContext, done: (verdict: Verdict) => void): () => void;
}

export interface CheckKind {
  /** As in the config: `type = "http"`. */
  readonly name: string;
  prepare(target: TargetConfig, config: HealthCheckConfig): PreparedCheck;
}

/** Where a check connects: the target, on another port if the config names one. */
export function checkAddress(target: TargetConfig, config: HealthCheckConfig): Address {
  const { address } = target;
  return address.kind === "tcp" && config.port !== undefined ? { ...address, port: config.port } : address;
}

/** Milliseconds as they are written in the config: `250ms`, `2s`, `1m`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds >= 60_000 && milliseconds % 60_000 === 0) return `${milliseconds / 60_000}m`;
  if (milliseconds >= 1000 && milliseconds % 100 === 0) return `${milliseconds / 1000}s`;
  return `${milliseconds}ms`;
}

/** What a person may change while the instance runs, without a reload; whoever keeps that implements it. */
import type { PolicyKeys, TargetKeys } from "../config/overrides.ts";

/** `null`: as the file says. */
export type TargetChange = { readonly [K in keyof TargetKeys]: TargetKeys[K] | null };

/** Something that was said, and is in force over what the file says, or would be. */
export interface Override {
  readonly upstream: string;
  /** Null: about the upstream. */
  readonly target: string | null;
  readonly what: "added" | "changed" | "removed" | "state" | "policy";
  /** As in the file; of a state `{ state }`. */
  readonly keys: Readonly<Record<string, unknown>>;
  /** Null: it is in force; else why it is not. */
  readonly aside: string | null;
  /** ISO 8601. */
  readonly at: string;
  readonly by: string;
}

export interface OverrideList {
  readonly overrides: readonly Override[];
  /** Null: what was said is forgotten when the instance stops. */
  readonly stateFile: { readonly path: string; readonly problem: string | null } | null;
}

/** Each call resolves when it is in force on all workers. @throws Problem; then nothing has changed */
export interface Steering {
  /** @returns whether it was no target before */
  setTarget(upstream: string, target: string, change: TargetChange, by: string): Promise<{ readonly added: boolean }>;
  /** @param drain let what is open to it end first; then this resolves at once */
  removeTarget(upstream: string, target: string, drain: boolean, by: string): Promise<void>;
  setState(upstream: string, target: string, state: "ready" | "drain" | "maint", by: string): Promise<void>;
  /** @param policy undefined: as the file says */
  setPolicy(upstream: string, policy: PolicyKeys | undefined, by: string): Promise<void>;
  /** As if nothing had been said, of one upstream or of all. @returns how much that was */
  clear(upstream: string | undefined, by: string): Promise<number>;
  list(): OverrideList;
}

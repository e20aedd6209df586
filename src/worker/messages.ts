/** What supervisor and worker say to each other over IPC. Nothing else crosses. */
import type { Snapshot } from "../config/snapshot.ts";

export type ToWorker =
  /** First message: run this. `descriptors` maps a listener's name to the inherited descriptor; `alone` says what to do when the supervisor is gone. */
  | { readonly type: "start"; readonly snapshot: Snapshot; readonly descriptors: Readonly<Record<string, number>>; readonly scoreboard: string; readonly slot: number; readonly controlSocket: string | undefined; readonly alone: "serve" | "end" }
  /** Apply in place; listeners are the same as before. */
  | { readonly type: "apply"; readonly snapshot: Snapshot }
  /** Stop accepting, let exchanges end, exit 0 when the last one has or the timeout (ms) is over. */
  | { readonly type: "drain"; readonly timeout: number };

export type FromWorker =
  | { readonly type: "ready"; readonly generation: number }
  | { readonly type: "applied"; readonly generation: number }
  | { readonly type: "failed"; readonly generation: number; readonly reason: string };

/** What supervisor and worker say to each other over IPC. Nothing else crosses. */

import type { Challenges } from "../acme/challenges.ts";
import type { FaultOverlay } from "../faults/faults.ts";
import type { LogLevels } from "../observability/log.ts";
import type { Explained, NotExplained, RequestToExplain } from "../admin/explained.ts";
import type { Batch } from "../observability/exchange-witness.ts";
import type { BreakerChange } from "../upstream/circuit-breaker.ts";
import type { OutlierReport } from "../upstream/outliers.ts";

/** A Snapshot as JSON: made once for all workers, and read in a fifth of the time that a structured clone of 10,000 targets takes. */
export type EncodedSnapshot = string;

export type ToWorker =
  /** First message: run this. */
  | {
      readonly type: "start";
      readonly generation: number;
      readonly snapshot: EncodedSnapshot;
      /** A listener's name to the inherited descriptor on which this worker serves it. */
      readonly descriptors: Readonly<Record<string, number>>;
      /** How many sockets it has inherited, from 3 on: those of other workers' udp sockets too, for a supervisor that comes after this one. */
      readonly inherited: number;
      /** Inherited descriptor of the mapped file, with the supervisor's lock on it. */
      readonly scoreboard: number;
      readonly slot: number;
      /** Where to answer a supervisor that comes after this one. */
      readonly controlSocket: string;
      /** What to do when the supervisor is gone. */
      readonly alone: "serve" | "end";
      readonly levels: LogLevels;
      readonly faults: FaultOverlay;
    }
  /** Log this much from now on. */
  | { readonly type: "levels"; readonly levels: LogLevels }
  /** The files of the logs have other names now: go on in those that have their names. */
  | { readonly type: "reopen" }
  /** Read from its udp sockets, each of which one worker at a time reads: nobody else does any more. */
  | { readonly type: "receive" }
  /** Apply in place; listeners are the same as before. */
  | { readonly type: "apply"; readonly generation: number; readonly snapshot: EncodedSnapshot }
  /** Show these to whoever validates, and no others. `sequence` counts up by one each time. */
  | { readonly type: "challenges"; readonly sequence: number; readonly challenges: Challenges }
  /** Inject these over what the configuration says. `sequence` counts up by one each time. */
  | { readonly type: "faults"; readonly sequence: number; readonly faults: FaultOverlay }
  /** Answer this, with what is here now. `sequence` counts up by one each time. */
  | { readonly type: "ask"; readonly sequence: number; readonly question: Question }
  /** It has the last exchanges: there may be more. */
  | { readonly type: "taken" }
  /** Stop accepting, let exchanges end, exit 0 when the last one has or the timeout (ms) is over. */
  | { readonly type: "drain"; readonly timeout: number };

/** What a worker can be asked beyond its orders: by what each question is called. */
export interface Questions {
  /** Which way would this request go? */
  readonly explain: { readonly question: RequestToExplain; readonly answer: Explained | NotExplained };
}

export type QuestionKind = keyof Questions;
export type Question = { readonly [Kind in QuestionKind]: { readonly kind: Kind; readonly question: Questions[Kind]["question"] } }[QuestionKind];

/** Answers say which generation they are for. */
export type FromWorker =
  /** A target fails too much. */
  | { readonly type: "outlier"; readonly outlier: OutlierReport }
  /** It has turned an upstream's circuit, for all workers. */
  | { readonly type: "circuit"; readonly change: BreakerChange }
  /** Exchanges to be kept; the next ones wait until these are taken. */
  | { readonly type: "exchanges"; readonly batch: Batch }
  /** The challenges of that sequence number are shown. */
  | { readonly type: "shown"; readonly generation: number }
  /** The faults of that sequence number are injected. */
  | { readonly type: "injected"; readonly generation: number }
  /** What was asked under that sequence number: its answer, or why there is none. */
  | { readonly type: "answer"; readonly generation: number; readonly answer: unknown }
  | { readonly type: "unanswered"; readonly generation: number; readonly reason: string }
  | { readonly type: "ready"; readonly generation: number }
  | { readonly type: "applied"; readonly generation: number }
  | { readonly type: "failed"; readonly generation: number; readonly reason: string };

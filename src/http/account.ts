/** Makes the account of an exchange that has ended, out of the numbers and references that it kept. */
import { type Account, type Attempt, candidateNames, type Trace } from "../observability/account.ts";
import { type Cause, CAUSES } from "../observability/cause.ts";
import type { Match } from "../routing/router.ts";
import type { Target } from "../upstream/target.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { grpcStatusFor } from "./grpc.ts";
import type { RequestDescription } from "./request-view.ts";
import type { Downstream } from "./sides.ts";

/** What an exchange keeps to tell of itself. Times in exact clock ms, 0 where it did not come to that. */
export interface Kept {
  readonly match: Match<Upstream> | undefined;
  readonly upstream: Upstream | undefined;
  /** Made by us. */
  readonly requestId: string | undefined;
  readonly fields: readonly string[];
  /** Undefined: the request has yet to be asked. */
  readonly described: RequestDescription | undefined;
  readonly startedAt: number;
  /** In ms. */
  readonly queued: number;
  /** Usable when the first was picked. */
  readonly candidates: readonly Target[];
  /** Those that ended before the exchange did. */
  readonly tries: readonly Attempt[] | undefined;
  readonly attempts: number;
  /** Of the last attempt: its target, … */
  readonly lastTarget: Target | undefined;
  /** … that it is not among `tries`, … */
  readonly attempting: boolean;
  readonly attemptAt: number;
  /** … how long it was being connected, in ms, … */
  readonly connect: number;
  readonly answeredAt: number;
  readonly isHedge: boolean;
  /** … and that its reply had begun. */
  readonly hasReply: boolean;
  readonly status: number;
  readonly isCall: boolean;
  /** -1: it does not say. */
  readonly grpcStatus: number;
  readonly detail: string;
  readonly bytesOut: number;
  readonly trace: Trace | undefined;
  readonly span: string;
}

/** @param at when it began, in wall-clock ms @param milliseconds that it took */
export function accountOf(kept: Kept, client: Downstream, cause: Cause, status: number, at: number, milliseconds: number): Account {
  const { startedAt, queued, connect, answeredAt, candidates, match, upstream, lastTarget, fields, detail, attempts, bytesOut } = kept;
  const described = kept.described ?? client.describe();
  return {
    client: described.client,
    method: described.method,
    host: described.host,
    path: described.path,
    protocol: client.protocol,
    at,
    listener: client.listener.config.name,
    route: match?.label ?? "",
    upstream: upstream?.name ?? "",
    target: lastTarget?.name ?? "",
    fields,
    requestId: kept.requestId ?? described.requestId,
    status,
    grpcStatus: kept.isCall ? callStatus(kept, cause, status) : undefined,
    cause,
    detail,
    milliseconds,
    queued,
    connect,
    firstByte: answeredAt === 0 ? 0 : answeredAt - startedAt,
    bytesIn: client.bytesIn,
    bytesOut,
    attempts,
    tries: triesOf(kept, cause, milliseconds),
    candidates: candidateNames(candidates),
    candidateCount: candidates.length,
    trace: kept.trace,
  };
}

/** What the client of a call was told; undefined: nothing. */
function callStatus({ grpcStatus, hasReply }: Kept, cause: Cause, status: number): number | undefined {
  if (grpcStatus >= 0) return grpcStatus;
  return hasReply || CAUSES[cause].side === "client" ? undefined : grpcStatusFor(cause, status);
}

const NO_TRIES: readonly Attempt[] = [];

/** With the last one, which ended with the exchange. */
function triesOf(kept: Kept, cause: Cause, milliseconds: number): readonly Attempt[] {
  const { tries, attempting, lastTarget, startedAt, attemptAt, answeredAt, connect, hasReply, status, detail, isHedge, span } = kept;
  if (!attempting || lastTarget === undefined) return tries ?? NO_TRIES;
  const at = attemptAt - startedAt;
  const last = { target: lastTarget.name, at, connect, firstByte: answeredAt === 0 ? 0 : answeredAt - attemptAt, milliseconds: milliseconds - at, status: hasReply ? status : 0, cause, detail, hedge: isHedge, span: span === "" ? undefined : span };
  if (tries === undefined) return [last];
  // A hedge that lost began after the one that won.
  return [...tries, last].toSorted((a, b) => a.at - b.at);
}

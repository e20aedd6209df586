/** What every connection of one worker shares: made once, handed down, never global. */
import type { Faults } from "../faults/faults.ts";
import type { Cork } from "../net/cork.ts";
import type { Network } from "../net/network.ts";
import type { OpenFiles } from "../net/open-files.ts";
import type { Output } from "../net/output.ts";
import type { TimerWheel } from "../net/timers.ts";
import type { LimitedLog } from "../observability/limited-log.ts";
import type { Witnesses } from "../observability/witnesses.ts";
import type { Target } from "../upstream/target.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { Scoreboard } from "../scoreboard/scoreboard.ts";
import type { HeadArena } from "./h2/head-arena.ts";
import type { HeaderBlock } from "./h2/hpack/header-block.ts";
import type { LineSink } from "./h1/writer.ts";
import type { RequestHead } from "./h1/request-head.ts";
import type { ReplyHead } from "./h1/reply-head.ts";
import type { UpstreamStream } from "./sides.ts";
import type { Tracing } from "./tracing.ts";

export interface Services {
  readonly network: Network;
  readonly openFiles: OpenFiles;
  readonly wheel: TimerWheel;
  readonly output: Output;
  /** Writes HTTP/1 fields to `output`. */
  readonly lines: LineSink;
  readonly board: Scoreboard;
  /** This worker's row of the scoreboard. */
  readonly slot: number;
  /** Of http; the others have theirs. */
  readonly log: LimitedLog;
  readonly tcpLog: LimitedLog;
  readonly udpLog: LimitedLog;
  readonly tlsLog: LimitedLog;
  /** Undefined: nobody wants to know of exchanges. */
  witnesses: Witnesses | undefined;
  /** Undefined: what clients say of traces goes on as it came. */
  tracing: Tracing | undefined;
  /** Undefined: none is in force. */
  faults: Faults | undefined;
  /** Fields of each request whose values its account has; in lower case. */
  accountFields: readonly string[];
  /** Gathers what HTTP/2 connections write. */
  readonly cork: Cork;
  /** Scratch for decoding. */
  readonly block: HeaderBlock;
  /** Heads of HTTP/2 requests; and one of a reply, good until the next. */
  readonly requestArena: HeadArena;
  readonly replyArena: HeadArena;
  /** Scratch for parsing; what it holds is good until the next parse. */
  readonly requestHead: RequestHead;
  readonly replyHead: ReplyHead;
  /** Another, for telling of a request in the middle of whatever goes on. */
  readonly toldHead: RequestHead;
  /** A way to a target, over a connection of its own that is not yet open or over one that others share; undefined: no descriptor is left. */
  readonly openStream: (target: Target, upstream: Upstream) => UpstreamStream | undefined;
  /** http-01 challenges that are pending, a token to its key authorization; undefined: none. */
  challenges: ReadonlyMap<string, string> | undefined;
  /** The worker is going: replies say `Connection: close`. */
  draining: boolean;
  /** Files run low: who is idle is let go soon. */
  short: boolean;
}

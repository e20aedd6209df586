/** What an exchange stands between: the client's side and the target's. Each codec implements one of them; neither knows the other. */
import type { Duplex } from "../net/duplex.ts";
import type { Account } from "../observability/account.ts";
import type { Cause } from "../observability/cause.ts";
import type { Listener } from "../routing/listener.ts";
import type { Pooled, Target } from "../upstream/target.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { RequestForward } from "./forward.ts";
import type { FramingKind, Head } from "./h1/head.ts";
import type { ReplyHead } from "./h1/reply-head.ts";
import type { OwnConnections } from "./own-connections.ts";
import type { RequestHead } from "./h1/request-head.ts";
import type { RequestView } from "./request-view.ts";

/** What a client is told that gets no reply of a target. */
export interface ErrorReply {
  readonly status: number;
  /** What a gRPC call is told; undefined: what goes with the status. */
  readonly grpcStatus: number | undefined;
  /** For people. */
  readonly text: string;
}

/** The client's side of an exchange, whatever it speaks. */
export interface Downstream {
  /** Write the request to the exchange's connection, from its beginning. */
  sendRequest(connection: UpstreamStream): void;
  /** All bytes of the request so far are still here, so it can be written once more. */
  readonly canReplay: boolean;
  /** It has come in whole, and gone out. */
  readonly requestDone: boolean;
  /** The connection can take more of the request's body. */
  requestWritable(): void;
  /** 1xx but 101. */
  interim(head: ReplyHead): void;
  /** @param lines field lines of our own */
  replyHead(head: ReplyHead, framing: FramingKind, lines: string): void;
  /** 101: from now on bytes go both ways untouched. */
  switchProtocols(head: ReplyHead, connection: UpstreamStream, lines: string): void;
  replyData(buffer: Buffer, start: number, end: number): void;
  /** The reply is whole. `connection` still takes the rest of the request, if it is given. */
  replyEnd(trailers: Head | undefined, connection: UpstreamStream | undefined): void;
  /** After an early reply the client will go on sending its request. */
  readonly wantsMore: boolean;
  /** After an early reply the target is gone: the rest of the request has no taker. */
  requestUnwanted(): void;
  /** The client takes no more for now: the target must wait. */
  readonly replyCongested: boolean;
  /** A byte went through the tunnel. */
  tunnelActive(): void;
  /** The target has sent its last byte into the tunnel. */
  tunnelTargetEnded(): void;
  /** The target's side of the tunnel is gone. */
  tunnelClosed(broken: boolean): void;
  /** Nothing of a reply was sent: say this instead. @param retryAfter in ms; 0: not said @param saying absent: what goes with the cause */
  replyError(cause: Cause, retryAfter: number, saying?: ErrorReply): void;
  /** Break off the connection, or what is the request's part of it, without a word. */
  abort(): void;
  /** What was written while nobody was reading from the network leaves now. */
  flush(): void;
  /** Something of a reply was sent and the rest will not come: the client must notice. */
  replyAbort(): void;
  /** For targets that want to know who it is. */
  readonly own: OwnConnections;
  readonly listener: Listener;
  readonly protocol: Account["protocol"];
  /** Bytes of the request's body, or of its tunnel, that were read. */
  readonly bytesIn: number;
  /** The request, until its exchange has ended. */
  readonly view: RequestView;
  /** The client's address and port, for people. */
  readonly clientName: string;
}

/** The target's side of an exchange: one request out, one reply in, on a connection that may serve others after it. */
export interface UpstreamStream extends Duplex, Pooled {
  readonly target: Target;
  /** The connection was there before this exchange. */
  readonly reused: boolean;
  /** Work for this exchange from now on. */
  attach(owner: StreamOwner): void;
  /** From now on another owner hears what happens. */
  reassign(owner: StreamOwner): void;
  /** Open the connection; the owner hears `connected` or `attemptFailed`. */
  connect(): void;
  /** Write the request's head. @param framing how its body follows */
  requestHead(head: RequestHead, forward: RequestForward, framing: FramingKind): void;
  requestData(buffer: Buffer, start: number, end: number): void;
  requestEnd(trailers: Head | undefined): void;
  /** What was given last did not go out whole. */
  requestStalled(): void;
  /** The exchange is over for the client: nobody reads the rest. */
  abandon(): void;
  joinTunnel(peer: Duplex): void;
  tunnelPeerEnded(): void;
  leaveTunnel(broken: boolean): void;
}

/** What the target's side reports to. */
export interface StreamOwner {
  readonly upstream: Upstream | undefined;
  readonly own: OwnConnections;
  readonly toHead: boolean;
  readonly asksUpgrade: boolean;
  /** A gRPC call: its reply may pause, for the client's side knows how long. */
  readonly isCall: boolean;
  readonly wantsMore: boolean;
  readonly replyCongested: boolean;
  /** This stream stands for the one that was to connect, which is no more: what its target speaks shows only then. */
  replaced(stream: UpstreamStream): void;
  connected(stream: UpstreamStream): void;
  requestWritable(): void;
  interim(head: ReplyHead): void;
  /** A reply begins: who takes it; undefined: nobody, the connection is to be closed. */
  claim(head: ReplyHead, stream: UpstreamStream): StreamOwner | undefined;
  replyHead(head: ReplyHead, framing: FramingKind): void;
  switchProtocols(head: ReplyHead, stream: UpstreamStream): void;
  replyData(buffer: Buffer, start: number, end: number): void;
  /** `stream` still takes the rest of the request, if it is given. */
  replyEnd(trailers: Head | undefined, stream: UpstreamStream | undefined): void;
  /** @param reused the connection had served an exchange before, so that its end may say nothing about the target */
  attemptFailed(cause: Cause, detail: string, reused: boolean): void;
  /** @param length bytes that came from the target */
  tunnelActive(length: number): void;
  tunnelTargetEnded(): void;
  tunnelClosed(broken: boolean): void;
}

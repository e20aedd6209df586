/**
 * One connection of one check: connect, say something, read until there is a verdict, all within the timeout.
 *
 * For the kinds of check that talk over a stream socket. What is said and how the answer is judged is the dialogue's.
 */
import type { Address, Milliseconds } from "../config/snapshot.ts";
import { NOBODY } from "../net/leaving.ts";
import type { Clock, ConnectOwner, NetSocket } from "../net/network.ts";
import { OUR_SHORTAGES } from "../observability/cause.ts";
import { type CheckContext, failed, formatDuration, inconclusive, type Verdict } from "./check.ts";
import type { HangingConnects } from "./hanging.ts";

/** One side's view of a conversation; each method may end it with a verdict. */
export interface Dialogue {
  /** Sent as soon as the connection stands; may be empty. */
  readonly opening: Uint8Array;
  /** The connection stands. */
  opened(): Verdict | undefined;
  /** @param say sends something more */
  read(chunk: Buffer, say: (bytes: Uint8Array) => void): Verdict | undefined;
  /** The target sends no more, and there is no verdict yet. */
  ended(): Verdict;
}

/** Hold one conversation; see `PreparedCheck.run`. */
export function converse(context: CheckContext, address: Address, timeout: Milliseconds, dialogue: Dialogue, done: (verdict: Verdict) => void): () => void {
  const { network, hanging } = context;
  const place = address.kind === "unix" ? address.path : `${address.host} ${address.port}`;
  if (!hanging.mayConnect(place)) {
    done(connectTimeout(timeout));
    return () => {};
  }
  const conversation = new Conversation(dialogue, done, hanging, place, network.clock);
  conversation.cancelTimer = network.clock.after(timeout, () => conversation.timeOut(timeout));
  network.connect(address, conversation, context.tls, context.preface);
  return () => conversation.giveUp();
}

function connectTimeout(timeout: Milliseconds): Verdict {
  return failed(`connect timeout after ${formatDuration(timeout)}`);
}

/** How long a target may take to end a connection that we have ended, in ms. */
const GOODBYE = 2_000;

class Conversation implements ConnectOwner {
  cancelTimer: () => void = () => {};
  private readonly dialogue: Dialogue;
  private readonly done: (verdict: Verdict) => void;
  private readonly hanging: HangingConnects;
  private readonly place: string;
  private readonly clock: Clock;
  private socket: NetSocket | undefined = undefined;
  /** What has not been sent yet. */
  private unsent: Uint8Array;
  private connecting = true;
  private over = false;

  constructor(dialogue: Dialogue, done: (verdict: Verdict) => void, hanging: HangingConnects, place: string, clock: Clock) {
    this.dialogue = dialogue;
    this.unsent = dialogue.opening;
    this.done = done;
    this.hanging = hanging;
    this.place = place;
    this.clock = clock;
  }

  timeOut(timeout: Milliseconds): void {
    this.settle(this.connecting ? connectTimeout(timeout) : failed(`timeout after ${formatDuration(timeout)}`));
  }

  giveUp(): void {
    if (!this.over) this.leave(false);
  }

  onSecuring(socket: NetSocket): void {
    this.connected();
    this.socket = socket;
    if (this.over) this.cut();
  }

  onOpen(socket: NetSocket): void {
    this.connected();
    this.socket = socket;
    if (this.over) return this.cut();
    this.send();
    if (!this.over) this.judge(this.dialogue.opened());
  }

  onData(chunk: Buffer): void {
    if (!this.over) this.judge(this.dialogue.read(chunk, this.say));
  }

  onDrain(): void {
    if (!this.over) this.send();
  }

  onEnd(): void {
    if (!this.over) this.settle(this.dialogue.ended());
  }

  onClose(error: Error | undefined): void {
    this.socket = undefined;
    if (this.over) return this.cancelTimer();
    this.settle(error === undefined ? this.dialogue.ended() : failed(describeClose(error)));
  }

  onConnectError(code: string, reason?: string): void {
    this.connected();
    if (this.over) return;
    if (OUR_SHORTAGES.has(code)) this.settle(inconclusive(`not checked: ${code}`));
    else if (reason !== undefined) this.settle(failed(`TLS: ${reason}`));
    else this.settle(failed(CONNECT_ERRORS[code] ?? `connect failed: ${code}`));
  }

  private connected(): void {
    if (this.connecting && this.over) this.hanging.remove(this.place);
    this.connecting = false;
  }

  private cut(): void {
    this.socket!.data = NOBODY;
    this.socket!.terminate();
  }

  private readonly say = (bytes: Uint8Array): void => {
    this.unsent = Buffer.concat([this.unsent, bytes]);
    this.send();
  };

  private send(): void {
    const { unsent } = this;
    if (unsent.length === 0) return;
    const taken = this.socket!.write(unsent, 0, unsent.length);
    // A closed socket says so in onClose, with the reason.
    if (taken > 0) this.unsent = unsent.subarray(taken);
  }

  private judge(verdict: Verdict | undefined): void {
    if (verdict !== undefined) this.settle(verdict);
  }

  private settle(verdict: Verdict): void {
    this.leave(verdict.ok);
    this.done(verdict);
  }

  /** A target that answered is left politely: a reset would show up as an error in its log. */
  private leave(politely: boolean): void {
    this.over = true;
    this.cancelTimer();
    if (this.connecting) this.hanging.add(this.place);
    else if (politely) this.end();
    else if (this.socket !== undefined) this.cut();
  }

  private end(): void {
    this.socket?.end();
    // With TLS it stays until the target ends it too.
    if (this.socket !== undefined) this.cancelTimer = this.clock.after(GOODBYE, () => this.cut());
  }
}

const CONNECT_ERRORS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connect refused",
  ECONNRESET: "reset",
  ETIMEDOUT: "connect timeout of the system",
  EHOSTUNREACH: "host unreachable",
  ENETUNREACH: "network unreachable",
  ENOTFOUND: "name not found",
  EAI_AGAIN: "name lookup failed",
  ENOENT: "no such socket file",
  EACCES: "connect not permitted",
  EPERM: "connect not permitted",
};

function describeClose(error: Error): string {
  const code = (error as Error & { code?: unknown }).code;
  if (code === "ECONNRESET" || code === "EPIPE") return "reset";
  return `connection broke: ${typeof code === "string" ? code : error.message}`;
}

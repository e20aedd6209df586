/**
 * The way to a place at a target, and where an exchange (a request, a tcp client, a udp flow) stands on it: the circuit breaker is asked, a
 * target picked, the queue entered while all are full, and after a failure the next one tried, at once or after a pause. It holds whatever
 * is to be given back. What is done at the target, and whether a failure is one to repeat, is for whoever has the place to say.
 */
import type { Clock } from "../net/network.ts";
import type { Cause } from "../observability/cause.ts";
import type { RoutingOutcome, RoutingRequest } from "../policies/policy.ts";
import type { Waiter } from "./queue.ts";
import { backoff } from "./retry.ts";
import type { Target } from "./target.ts";
import type { Upstream } from "./upstream.ts";

/** Whose place it is. */
export interface Applicant {
  /** It has a place at this target. @param atOnce without having waited for anything, and for the first time */
  placed(target: Target, atOnce: boolean): void;
  /** There is no place for it. @param retryAfter what its client may be told to wait, in ms; 0: nothing */
  turnedAway(cause: Cause, detail: string, retryAfter: number): void;
  /** One of both was told while nobody was reading from the network: what was written is to leave now. */
  flush(): void;
}

/** Time and chance. */
export interface PlacementHost {
  readonly clock: Clock;
  random(): number;
}

/** `offered`: there may be room, and its policy is thinking of a target; its place in the queue is kept meanwhile. */
type Standing = "new" | "picking" | "queued" | "offered" | "placed" | "left" | "pausing" | "over";

const NOBODY: readonly Target[] = [];
/** What a client that is turned away is told to wait, in ms. */
export const RETRY_AFTER = 1_000;

export class Placement implements Waiter, RoutingOutcome {
  upstream: Upstream | undefined = undefined;
  /** Where its place is; undefined: it has none. */
  target: Target | undefined = undefined;
  /** How often it got one. */
  attempts = 0;
  /** Usable when the first was picked. */
  candidates = NOBODY;
  /** How long it has waited in the queue, in ms. */
  queued = 0;
  // How it went at the place that was left last.
  failed = false;
  milliseconds = 0;
  status = 0;
  private readonly owner: Applicant;
  /** Speaks for the exchange: its owner, unless somebody came between. */
  private applicant: Applicant;
  private readonly host: PlacementHost;
  private readonly waits: boolean;
  private standing: Standing = "new";
  private request: RoutingRequest | undefined = undefined;
  /** Where not to go again. */
  private tried = NOBODY;
  private queuedAt = 0;
  /** The circuit breaker let it through to try, and no target has had a say yet. */
  private probe = false;
  /** It holds a place of the retry budget. */
  private retrying = false;
  private cancelPause: (() => void) | undefined = undefined;
  /** Tells what a policy answers to an exchange that is over from what it answers to the next one. */
  private serial = 0;

  /** @param waits in the queue, where all are full */
  constructor(applicant: Applicant, host: PlacementHost, waits = true) {
    this.owner = applicant;
    this.applicant = applicant;
    this.host = host;
    this.waits = waits;
  }

  /** For another exchange; the one before is over. */
  begin(): void {
    if (this.standing === "new") return;
    this.applicant = this.owner;
    this.upstream = undefined;
    this.target = undefined;
    this.attempts = 0;
    this.candidates = NOBODY;
    this.queued = 0;
    this.standing = "new";
    this.request = undefined;
    this.tried = NOBODY;
  }

  /** Somebody else is told what becomes of it, until it begins anew. */
  tellInstead(applicant: Applicant): void {
    this.applicant = applicant;
  }

  // The way there.

  /** Find a place at a target of this upstream. */
  seek(upstream: Upstream, request: RoutingRequest): void {
    this.returnProbe();
    this.upstream = upstream;
    this.request = request;
    const admission = upstream.admits();
    this.probe = admission === "probe";
    if (this.tried.length > 0 && !upstream.hasOther(this.tried)) this.tried = NOBODY;
    if (admission === "no") this.applicant.turnedAway("circuit-open", "", upstream.breaker!.retryAfter);
    // Who came before goes before.
    else if (upstream.isWaitedFor) this.wait();
    else this.pick();
  }

  private pick(): void {
    const upstream = this.upstream!;
    const picked = upstream.pick(this.request!, this.tried);
    if (this.attempts === 0) this.candidates = upstream.candidates;
    if (!(picked instanceof Promise)) {
      this.enter(picked);
      return;
    }
    const { serial } = this;
    this.standing = this.isQueued ? "offered" : "picking";
    void picked.then((target) => {
      // Its client may have gone meanwhile.
      if (this.serial !== serial) return;
      this.enter(target);
      this.applicant.flush();
    });
  }

  private enter(target: Target | undefined): void {
    const upstream = this.upstream!;
    if (target === undefined || !upstream.enter(target)) {
      if (upstream.isFull(this.tried)) this.wait();
      else this.applicant.turnedAway("no-target", "", 0);
      return;
    }
    if (this.isQueued) this.leaveQueue();
    const atOnce = this.standing === "new";
    this.standing = "placed";
    this.target = target;
    this.attempts++;
    this.applicant.placed(target, atOnce);
  }

  // The queue.

  private get isQueued(): boolean {
    return this.standing === "queued" || this.standing === "offered";
  }

  private wait(): void {
    // Whoever waits keeps its place.
    if (this.isQueued) this.standing = "queued";
    else if (this.waits && this.upstream!.queue.enter(this)) {
      this.standing = "queued";
      this.queuedAt = this.host.clock.precise();
    } else this.applicant.turnedAway("queue-full", "", RETRY_AFTER);
  }

  private leaveQueue(): void {
    this.upstream!.queue.leave(this);
    this.queued += this.host.clock.precise() - this.queuedAt;
    this.standing = "left";
  }

  /** There may be room. */
  goOn(): boolean {
    if (this.standing === "offered") return false;
    // A reload may have brought other targets, or other limits.
    this.upstream = this.upstream!.current;
    // Better one that failed than none, and than to hold up who waits behind.
    if (this.tried.length > 0 && !this.upstream.hasRoom(this.tried)) this.tried = NOBODY;
    this.pick();
    this.applicant.flush();
    return !this.isQueued;
  }

  timedOut(): void {
    this.leaveQueue();
    this.applicant.turnedAway("queue-timeout", `no place within ${this.upstream!.config.queue.timeout} ms`, RETRY_AFTER);
    this.applicant.flush();
  }

  // Once more.

  /** Not to this target again, as long as there is another. */
  avoid(target: Target): void {
    if (!this.tried.includes(target)) this.tried = [...this.tried, target];
  }

  /** All are as good as new. */
  forgive(): void {
    this.tried = NOBODY;
  }

  /** How many it avoids. */
  get avoided(): number {
    return this.tried.length;
  }

  /** Some target is left that it does not avoid. */
  get hasOther(): boolean {
    return this.upstream!.hasOther(this.tried);
  }

  /** Try elsewhere, at once. */
  again(): void {
    this.pick();
  }

  /** Try elsewhere, if there is another target, after a while. */
  againLater(): void {
    if (!this.hasOther) this.tried = NOBODY;
    const { clock } = this.host;
    const pause = backoff(this.upstream!.config.retry, this.attempts, this.host.random());
    if (pause === 0) {
      this.pick();
      return;
    }
    const upstream = this.upstream!;
    upstream.pauses();
    this.pause(
      (over) => {
        const cancel = clock.after(pause, over);
        return () => {
          cancel();
          upstream.pauseEnds();
        };
      },
      () => {
        upstream.pauseEnds();
        this.pick();
      },
    );
  }

  /** Nothing goes on until `wait` calls what it is given. @param wait gives what calls that off, should the exchange end before */
  pause(wait: (over: () => void) => () => void, goOn: () => void): void {
    this.standing = "pausing";
    this.cancelPause = wait(() => {
      this.cancelPause = undefined;
      this.standing = this.target === undefined ? "left" : "placed";
      goOn();
      this.applicant.flush();
    });
  }

  private endPause(): void {
    this.cancelPause?.();
    this.cancelPause = undefined;
  }

  /** The attempt that has ended was none. */
  uncount(): void {
    this.attempts--;
  }

  /** A place of the retry budget, held to the exchange's end. False: there is none. */
  takeBudget(): boolean {
    if (!this.retrying) this.retrying = this.upstream!.retryBegins(this.target === undefined ? 1 : 0);
    return this.retrying;
  }

  // Two at a time.

  /** A second place within the budget, at another target: whoever asks leaves it, or goes on there (`adopt`). Undefined: there is none, or it would take a while. */
  beside(): Target | undefined {
    const { upstream, target, tried } = this;
    if (!upstream!.usable.some((other) => other !== target && !tried.includes(other))) return undefined;
    const picked = upstream!.pick(this.request!, [...tried, target!]);
    if (picked === undefined || picked instanceof Promise || picked === target || !this.takeBudget()) return undefined;
    return upstream!.enter(picked) ? picked : undefined;
  }

  /** Its place is from now on the second one; the first is left. */
  adopt(target: Target): void {
    this.endPause();
    this.target = target;
    this.attempts++;
    this.standing = "placed";
  }

  /** A reload has made another object of its target. */
  renew(upstream: Upstream, target: Target): void {
    this.upstream = upstream;
    this.target = target;
  }

  // The way back.

  /** What its answer says about the target; the place is kept. @param milliseconds until it came */
  learn(milliseconds: number): void {
    this.upstream!.learn(this.target!, this.outcomeOf(false, 0, milliseconds), milliseconds, this.takeProbe());
  }

  /** Its target has had its say. @param status of its reply; 0: none came @param answered ms until that began */
  leave(failed: boolean, status: number, milliseconds: number, answered = milliseconds): void {
    this.upstream!.leave(this.away(), this.outcomeOf(failed, status, milliseconds), answered, this.takeProbe());
  }

  /** What was to be learnt of its target is learnt. */
  leaveLearnt(milliseconds: number): void {
    const target = this.away();
    this.upstream!.release(target);
    this.upstream!.tell(target, this.outcomeOf(false, 0, milliseconds));
  }

  /** Before its target had a say. @param waited ms without an answer; 0: that says nothing */
  leaveEarly(waited: number): void {
    this.upstream!.leaveEarly(this.away(), waited);
  }

  private away(): Target {
    const target = this.target!;
    this.target = undefined;
    this.standing = "left";
    return target;
  }

  /** An object less for each request. */
  private outcomeOf(failed: boolean, status: number, milliseconds: number): RoutingOutcome {
    this.failed = failed;
    this.status = status;
    this.milliseconds = milliseconds;
    return this;
  }

  /** The exchange is over. It waits for nothing any more, and has given back all but its place, which is left when its connection is. */
  end(): void {
    this.serial++;
    if (this.isQueued) this.leaveQueue();
    if (this.cancelPause !== undefined) {
      this.endPause();
      // There is no connection yet that could leave it.
      if (this.target !== undefined) this.leaveEarly(0);
    }
    if (this.retrying) {
      this.retrying = false;
      this.upstream!.retryEnds();
    }
    this.returnProbe();
    if (this.standing !== "placed") this.standing = "over";
  }

  /** Whether it is a probe whose end nobody has told yet; from now on it is told. */
  private takeProbe(): boolean {
    const { probe } = this;
    this.probe = false;
    return probe;
  }

  private returnProbe(): void {
    if (this.takeProbe()) this.upstream!.probeUnused();
  }
}

/** A group of targets at work: which of them are usable, and the policy's pick among those. */
import type { UpstreamConfig } from "../config/snapshot.ts";
import type { Clock } from "../net/network.ts";
import type { Log } from "../observability/log.ts";
import type { RoutingPolicy, RoutingRequest } from "../policies/policy.ts";
import { RoundRobinPolicy } from "../policies/round-robin.ts";
import type { Scoreboard } from "../scoreboard/scoreboard.ts";
import type { Target } from "./target.ts";

export class Upstream {
  readonly name: string;
  readonly config: UpstreamConfig;
  readonly targets: readonly Target[];
  readonly policy: RoutingPolicy<Target>;
  private readonly fallback: RoundRobinPolicy;
  private readonly board: Scoreboard;
  private readonly clock: Clock;
  private readonly log: Log;
  private usableNow: readonly Target[] = [];
  private epoch: number;

  constructor(config: UpstreamConfig, targets: readonly Target[], policy: RoutingPolicy, board: Scoreboard, clock: Clock, log: Log) {
    this.name = config.name;
    this.config = config;
    this.targets = targets;
    this.policy = policy as RoutingPolicy<Target>;
    this.fallback = new RoundRobinPolicy({ cursor: () => board.nextCursor(config.slot) });
    this.board = board;
    this.clock = clock;
    this.log = log;
    this.epoch = board.epoch - 1;
  }

  /** Targets that may be given work; the same array until some target's state changes. */
  get usable(): readonly Target[] {
    const { epoch } = this.board;
    if (epoch !== this.epoch) {
      // Epoch first, list after: a change in between is seen the next time.
      this.epoch = epoch;
      this.usableNow = this.targets.filter((target) => target.isUp && target.weight > 0);
    }
    return this.usableNow;
  }

  /** One usable target that is not among `tried`; undefined when none is left. A promise only if the policy gives one. */
  pick(request: RoutingRequest, tried: readonly Target[]): Target | undefined | Promise<Target | undefined> {
    const usable = this.usable;
    const candidates = tried.length === 0 ? usable : usable.filter((target) => !tried.includes(target));
    if (candidates.length === 0) return undefined;
    if (this.config.policy.kind === "builtin") return this.policy.pick(request, candidates, tried.length > 0) as Target | undefined;
    return this.guardedPick(request, candidates, tried.length > 0);
  }

  /** Tell the policy how an exchange ended. */
  ended(target: Target, failed: boolean, milliseconds: number): void {
    if (this.policy.ended === undefined) return;
    try {
      this.policy.ended(target, { failed, milliseconds });
    } catch (error) {
      this.log.warn({ upstream: this.name }, `Policy's ended threw ${String(error)}`);
    }
  }

  /** A user's policy may do anything: whatever it does, the request gets a target. */
  private guardedPick(request: RoutingRequest, candidates: readonly Target[], again: boolean): Target | undefined | Promise<Target | undefined> {
    const fallBack = (problem: string): Target | undefined => {
      this.log.warn({ upstream: this.name, policy: this.config.policy.kind === "module" ? this.config.policy.path : "" }, `Policy ${problem}; round robin decides for this request`);
      return this.fallback.pick(request, candidates, again);
    };
    const checked = (picked: unknown): Target | undefined => {
      if (picked === undefined || candidates.includes(picked as Target)) return picked as Target | undefined;
      return fallBack("returned something that is not one of the targets");
    };
    const failed = (error: unknown): Target | undefined => fallBack(`threw ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`);
    let picked: unknown;
    try {
      picked = this.policy.pick(request, candidates, again);
    } catch (error) {
      return failed(error);
    }
    if (!isThenable(picked)) return checked(picked);
    const timeout = this.config.policy.kind === "module" ? this.config.policy.timeout : 0;
    return new Promise((resolve) => {
      let settled = false;
      const settle = (result: () => Target | undefined): void => {
        if (settled) return;
        settled = true;
        cancel();
        resolve(result());
      };
      const cancel = this.clock.after(timeout, () => settle(() => fallBack(`did not answer within ${timeout} ms`)));
      picked.then(
        (value: unknown) => settle(() => checked(value)),
        (error: unknown) => settle(() => failed(error)),
      );
    });
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

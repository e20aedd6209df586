/** A user's policy may do anything: whatever it does, the request gets a target. */
import type { PolicyConfig } from "../config/snapshot.ts";
import type { Clock } from "../net/network.ts";
import type { Log } from "../observability/log.ts";
import type { PolicyContext, RoutingOutcome, RoutingPolicy, RoutingRequest } from "../policies/policy.ts";
import { RoundRobinPolicy } from "../policies/round-robin.ts";
import type { Target } from "./target.ts";

export class GuardedPolicy implements RoutingPolicy<Target> {
  readonly own: RoutingPolicy<Target>;
  private readonly config: PolicyConfig & { readonly kind: "module" };
  private readonly upstream: string;
  private readonly fallback: RoundRobinPolicy;
  private readonly clock: Clock;
  private readonly log: Log;

  constructor(own: RoutingPolicy<Target>, config: PolicyConfig & { readonly kind: "module" }, upstream: string, context: PolicyContext, host: { readonly clock: Clock; readonly log: Log }) {
    this.own = own;
    this.config = config;
    this.upstream = upstream;
    this.fallback = new RoundRobinPolicy(context);
    this.clock = host.clock;
    this.log = host.log;
  }

  get skipsTried(): boolean {
    return this.own.skipsTried === true;
  }

  pick(request: RoutingRequest, targets: readonly Target[], tried: readonly Target[]): Target | undefined | Promise<Target | undefined> {
    let picked: unknown;
    try {
      picked = this.own.pick(request, targets, tried);
    } catch (error) {
      return this.failed(error, request, targets, tried);
    }
    if (!isThenable(picked)) return this.checked(picked, request, targets, tried);
    return this.awaited(picked, request, targets, tried);
  }

  ended(target: Target, outcome: RoutingOutcome): void {
    if (this.own.ended === undefined) return;
    try {
      this.own.ended(target, outcome);
    } catch (error) {
      this.log.warn({ upstream: this.upstream }, `Policy's ended threw ${String(error)}`);
    }
  }

  private awaited(picked: PromiseLike<unknown>, request: RoutingRequest, targets: readonly Target[], tried: readonly Target[]): Promise<Target | undefined> {
    const { timeout } = this.config;
    return new Promise((resolve) => {
      let settled = false;
      const settle = (result: () => Target | undefined): void => {
        if (settled) return;
        settled = true;
        cancel();
        resolve(result());
      };
      const cancel = this.clock.after(timeout, () => settle(() => this.fallBack(`did not answer within ${timeout} ms`, request, targets, tried)));
      picked.then(
        (value: unknown) => settle(() => this.checked(value, request, targets, tried)),
        (error: unknown) => settle(() => this.failed(error, request, targets, tried)),
      );
    });
  }

  private checked(picked: unknown, request: RoutingRequest, targets: readonly Target[], tried: readonly Target[]): Target | undefined {
    if (picked === undefined) return undefined;
    if (targets.includes(picked as Target) && !tried.includes(picked as Target)) return picked as Target;
    return this.fallBack("returned something that is not one of the targets", request, targets, tried);
  }

  private failed(error: unknown, request: RoutingRequest, targets: readonly Target[], tried: readonly Target[]): Target | undefined {
    return this.fallBack(`threw ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`, request, targets, tried);
  }

  private fallBack(problem: string, request: RoutingRequest, targets: readonly Target[], tried: readonly Target[]): Target | undefined {
    this.log.warn({ upstream: this.upstream, policy: this.config.path }, `Policy ${problem}; round robin decides for this request`);
    return this.fallback.pick(request, targets, tried);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

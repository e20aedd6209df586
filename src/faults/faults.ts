/**
 * Faults at work in one worker: which rules are in force, which of them takes a request, and what waits because of one.
 *
 * A rule that ends, by its time, by a person or by a reload, lets go at once of whatever it holds.
 */
import type { ClientFault, FaultDelay, FaultRule, TargetFault } from "../config/snapshot.ts";
import type { Clock } from "../net/network.ts";
import type { RoutingRequest } from "../policies/policy.ts";
import { readChoice } from "./choice.ts";
import { FAULT_FIELD, type FaultMismatch, fits, matches, mismatch, type Passage, reaches } from "./conditions.ts";

/** What people say over what the file says. */
export interface FaultOverlay {
  /** In the place of the file's of the same names, and before all others. */
  readonly rules: readonly FaultRule[];
  /** Names of the file's that are not in force. */
  readonly stopped: readonly string[];
}

export const NO_OVERLAY: FaultOverlay = { rules: [], stopped: [] };

/** What befalls one exchange. */
export interface Injection {
  readonly rule: FaultRule;
  /** "invalid": its client said what cannot be understood. */
  readonly fault: ClientFault | "invalid";
}

/** A rule in force, as a request would find it. */
export interface FaultFinding {
  readonly rule: FaultRule;
  /** Why not; undefined: chance decides. */
  readonly failed: FaultMismatch | undefined;
  /** What would befall its client's side; undefined: nothing would, or only its attempts. */
  readonly fault: Injection["fault"] | undefined;
}

export interface FaultHost {
  readonly clock: Clock;
  random(): number;
  /** Hears what befalls whom. */
  injected(fault: ClientFault | TargetFault): void;
}

/** setTimeout's own limit, about 24.8 days. */
const LONGEST = 2 ** 31 - 1;

interface Held {
  readonly rule: FaultRule;
  readonly letGo: () => void;
}

export class Faults {
  /** A rule is in force: until then nobody need ask. */
  active = false;
  private readonly host: FaultHost;
  private readonly changed: () => void;
  /** Undefined: no fault may be injected. */
  private file: readonly FaultRule[] | undefined = undefined;
  private overlay = NO_OVERLAY;
  /** When those of people end, by their keys, in the clock's precise ms: somebody may set the time of day back. */
  private ends: ReadonlyMap<string, number> = new Map();
  private rules: readonly FaultRule[] = [];
  private readonly held = new Set<Held>();
  private cancelEnd: (() => void) | undefined = undefined;
  private over = false;

  /** @param changed hears when `active` may have changed */
  constructor(host: FaultHost, changed: () => void) {
    this.host = host;
    this.changed = changed;
  }

  /** The configuration says this. @param rules undefined: no fault may be injected */
  apply(rules: readonly FaultRule[] | undefined): void {
    this.file = rules;
    this.settle();
  }

  /** People say this. */
  override(overlay: FaultOverlay): void {
    this.overlay = overlay;
    const { clock } = this.host;
    this.ends = new Map(overlay.rules.map((rule) => [endKey(rule), this.ends.get(endKey(rule)) ?? clock.precise() + (rule.until ?? Number.POSITIVE_INFINITY) - clock.wall()]));
    this.settle();
  }

  /** No fault from now on: whoever is held goes on. */
  stop(): void {
    this.over = true;
    this.settle();
  }

  private settle(): void {
    const { file, overlay, rules: before, over } = this;
    const now = this.host.clock.precise();
    const said = file === undefined || over ? [] : overlay.rules.filter((rule) => this.ends.get(endKey(rule))! > now);
    const replaced = new Set([...said.map(({ name }) => name), ...overlay.stopped]);
    const own = file === undefined || over ? [] : file.filter(({ name }) => !replaced.has(name));
    // One that is said once more is the same to those that it holds.
    this.rules = [...said, ...own].map((rule) => before.find((other) => sameFault(other, rule)) ?? rule);
    this.active = this.rules.length > 0;
    this.awaitEnd(said, now);
    this.changed();
    for (const held of [...this.held]) {
      if (this.isInForce(held.rule)) continue;
      this.held.delete(held);
      held.letGo();
    }
  }

  private awaitEnd(rules: readonly FaultRule[], now: number): void {
    this.cancelEnd?.();
    const next = Math.min(...rules.map((rule) => this.ends.get(endKey(rule))!));
    // A timer may come a little early; then nothing has ended yet.
    this.cancelEnd = Number.isFinite(next) ? this.host.clock.after(Math.min(Math.ceil(next - now), LONGEST), () => this.settle()) : undefined;
  }

  // Who is taken.

  /** What befalls this exchange on its client's side; undefined: nothing. */
  forClient(passage: Passage, request: RoutingRequest, isCall: boolean): Injection | undefined {
    for (const rule of this.rules) {
      const { effect } = rule;
      if (effect.side === "target" || !matches(rule, passage, request)) continue;
      if (effect.side === "client") {
        if (fits(effect, request, isCall) && this.draws(rule)) return this.injected(rule, effect);
        continue;
      }
      const said = request.protocol === "http" ? request.header(FAULT_FIELD) : undefined;
      if (said !== undefined && this.draws(rule)) return this.injected(rule, readChoice(said) ?? "invalid");
    }
    return undefined;
  }

  /** Rules that may take attempts of this exchange. */
  forTargets(passage: Passage, request: RoutingRequest): readonly FaultRule[] {
    return this.rules.filter((rule) => rule.effect.side === "target" && reaches(rule.effect, request) && matches(rule, passage, request));
  }

  /** What befalls an attempt at this target; undefined: nothing. @param rules of `forTargets`; those that have ended since take nobody */
  atTarget(rules: readonly FaultRule[], target: string): { readonly rule: FaultRule; readonly fault: TargetFault } | undefined {
    for (const rule of rules) {
      const { effect } = rule;
      if (effect.side !== "target" || !this.isInForce(rule)) continue;
      if ((effect.targets.length === 0 || effect.targets.includes(target)) && this.draws(rule)) {
        this.host.injected(effect);
        return { rule, fault: effect };
      }
    }
    return undefined;
  }

  private injected(rule: FaultRule, fault: Injection["fault"]): Injection {
    if (fault !== "invalid") this.host.injected(fault);
    return { rule, fault };
  }

  /** What `forClient` and `forTargets` look at, in their order, with nothing drawn. */
  explain(passage: Passage, request: RoutingRequest, isCall: boolean): FaultFinding[] {
    return this.rules.map((rule) => {
      const { effect } = rule;
      const failed = mismatch(rule, passage, request, isCall);
      if (failed !== undefined || effect.side === "target") return { rule, failed, fault: undefined };
      return { rule, failed, fault: effect.side === "client" ? effect : (readChoice(request.header(FAULT_FIELD)!) ?? "invalid") };
    });
  }

  private draws({ percent }: FaultRule): boolean {
    return percent >= 100 || this.host.random() * 100 < percent;
  }

  isInForce(rule: FaultRule): boolean {
    return this.rules.includes(rule);
  }

  // Who is held.

  /** In ms. */
  lengthOf({ from, to }: FaultDelay): number {
    return from === to ? from : from + Math.round(this.host.random() * (to - from));
  }

  /** Goes on after so many ms, or when the rule ends. @returns what calls it off */
  wait(rule: FaultRule, milliseconds: number, goOn: () => void): () => void {
    const cancelTimer = this.host.clock.after(milliseconds, () => {
      release();
      goOn();
    });
    const release = this.hold(rule, () => {
      cancelTimer();
      goOn();
    });
    return () => {
      cancelTimer();
      release();
    };
  }

  /** @param letGo called once when the rule ends @returns what says that nothing is held any more */
  hold(rule: FaultRule, letGo: () => void): () => void {
    const held = { rule, letGo };
    this.held.add(held);
    return () => void this.held.delete(held);
  }

  /** Exchanges that are held now. */
  get holding(): number {
    return this.held.size;
  }
}

function endKey({ name, until }: FaultRule): string {
  return `${name} ${until}`;
}

/** Whenever they end. */
function sameFault({ until: _one, ...a }: FaultRule, { until: _other, ...b }: FaultRule): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

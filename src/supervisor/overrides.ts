/**
 * What people say of a running instance: targets added, removed, weighed, drained, other policies. The one owner of it.
 *
 * Targets' states go to the rotation at once. All else is laid over the configuration by compiling it once more; calls that come together are
 * one change. What was said stays over reloads, takeovers and upgrades, and with a state file over a stop.
 */
import type { Noted, Override, OverrideList, Steering, TargetChange } from "../admin/steering.ts";
import { Problem } from "../admin/problem.ts";
import { targetOf } from "../admin/named.ts";
import { withdraw } from "../admin/targets.ts";
import { diagnosticReason, type Loaded } from "../config/load.ts";
import type { Overrides as Laid, PolicyKeys } from "../config/overrides.ts";
import { targetAddress } from "../config/schema.ts";
import type { Snapshot } from "../config/snapshot.ts";
import type { Rotation } from "../health/rotation.ts";
import type { Clock } from "../net/network.ts";
import type { Log } from "../observability/log.ts";
import type { Scoreboard } from "../scoreboard/scoreboard.ts";
import { type Kept, kept, forgotten, policySaid, readKept, type Said, type SaidState, targetRemoved, targetSaid, type Told } from "./said.ts";
import { readStateFile, setDamagedAside, writeStateFile } from "./state-file.ts";

type Applicable = Loaded & { readonly ok: true };

/** Calls that come within this time are one change, in ms. */
const PAUSE = 5;
/** Between two looks at what is open to a target that leaves, in ms; so long workers have at the least to see that it does. */
const LEAVING_LOOK = 40;

export interface OverridesOptions {
  readonly rotation: Rotation;
  readonly board: Scoreboard;
  readonly clock: Clock;
  readonly log: Log;
  /** What runs now. */
  readonly loaded: () => Applicable;
  /** One change after another. */
  readonly take: (work: () => Promise<void>) => Promise<void>;
  /** The configuration that runs, with these over it. */
  readonly compile: (laid: Laid) => Loaded;
  /** Run it. @returns why that is not possible */
  readonly adopt: (loaded: Applicable) => Promise<string | undefined>;
  /** For a supervisor that comes after this one. @throws Error when the disk does not take it */
  readonly keep: (kept: Kept) => void;
  /** Why nothing can be changed now; undefined: it can. */
  readonly closed: () => string | undefined;
  readonly noted: (entry: Noted) => void;
}

interface Waiting {
  /** @throws Problem */
  readonly edit: (said: Said) => Said;
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

export class Overrides implements Steering {
  private readonly options: OverridesOptions;
  private said: Said = new Map();
  /** By upstream and target. */
  private readonly states = new Map<string, SaidState>();
  /** Upstreams of which what was said does not go with the file, and why. */
  private aside: ReadonlyMap<string, string> = new Map();
  private readonly waiting: Waiting[] = [];
  private timer: Timer | undefined = undefined;
  private readonly leaving = new Map<string, () => void>();
  private stateFile: string | undefined = undefined;
  private stateFileProblem: string | null = null;

  constructor(options: OverridesOptions) {
    this.options = options;
  }

  /** What a configuration is compiled with. */
  get laid(): Laid {
    return this.aside.size === 0 ? this.said : new Map([...this.said].filter(([upstream]) => !this.aside.has(upstream)));
  }

  /** Begin with what was kept. A damaged one is no reason not to serve. @param stateFile absolute path */
  restore(value: unknown, stateFile: string | undefined): void {
    this.stateFile = stateFile;
    const { log } = this.options;
    try {
      const found = value ?? (stateFile === undefined ? undefined : readStateFile(stateFile));
      if (found === undefined) return;
      const { said, states } = readKept(found);
      this.said = said;
      for (const state of states) this.states.set(keyOf(state.upstream, state.target), state);
      this.keep();
      log.info({ overrides: this.states.size + said.size, ...(value === undefined ? { stateFile } : {}) }, "Going on with what was said of targets and upstreams");
    } catch (error) {
      const reason = (error as Error).message;
      if (value !== undefined || stateFile === undefined) return log.error({ reason }, "What was said of targets and upstreams cannot be read: it is forgotten");
      this.stateFileProblem = `it was damaged at the start (${reason})`;
      log.error({ stateFile, reason, movedTo: setDamagedAside(stateFile) }, "THE STATE FILE IS DAMAGED: targets that were added, removed, weighed or taken out by the API are as the configuration file says");
    }
  }

  /**
   * `base` with all that was said and goes with it.
   * @param how what it is compiled with
   * @returns also what to call once it runs
   */
  lay(base: Applicable, how: (laid: Laid) => Loaded): { readonly loaded: Applicable; readonly laid: Laid; readonly applied: () => void } {
    const applied = (aside: ReadonlyMap<string, string>) => (): void => this.hasLaid(aside);
    if (this.said.size === 0) return { loaded: base, laid: new Map(), applied: applied(new Map()) };
    const all = how(this.said);
    if (all.ok) return { loaded: all, laid: this.said, applied: applied(new Map()) };
    const aside = new Map<string, string>();
    const fitting = new Map<string, Said extends ReadonlyMap<string, infer T> ? T : never>();
    for (const [upstream, override] of this.said) {
      const tried = how(new Map(fitting).set(upstream, override));
      if (tried.ok) fitting.set(upstream, override);
      else aside.set(upstream, reasonOf(tried));
    }
    const loaded = how(fitting);
    return { loaded: loaded.ok ? loaded : base, laid: fitting, applied: applied(aside) };
  }

  private hasLaid(aside: ReadonlyMap<string, string>): void {
    const before = new Set(this.list().overrides.filter(({ aside: reason }) => reason !== null).map(({ upstream }) => upstream));
    this.aside = aside;
    for (const { upstream, aside: reason } of this.list().overrides) {
      if (reason === null || before.has(upstream)) continue;
      before.add(upstream);
      this.options.log.warn({ upstream, reason }, "What was said of this upstream does not go with the configuration: it is set aside, and comes back when it does (DELETE /v1/overrides forgets it)");
      this.options.noted({ kind: "override-set-aside", upstream, summary: reason, by: "file" });
    }
  }

  /** The rotation knows these targets now: what was said of their states holds for those too that come back. */
  follow(snapshot: Snapshot): void {
    const { rotation } = this.options;
    if (this.states.size === 0) return;
    for (const { name, targets } of snapshot.upstreams) {
      for (const target of targets) {
        const state = this.states.get(keyOf(name, target.name));
        if (state !== undefined) withdraw(rotation, target.slot, state.state);
      }
    }
    for (const state of this.states.values()) if (state.leaving === true) this.awaitLeaving(state);
  }

  /** From now on it is kept here too. @param path absolute; undefined: nowhere */
  keepIn(path: string | undefined): void {
    if (path === this.stateFile) return;
    this.stateFile = path;
    this.stateFileProblem = null;
    if (path !== undefined && this.said.size + this.states.size > 0) this.writeStateFile();
  }

  stop(): void {
    clearTimeout(this.timer);
    for (const cancel of this.leaving.values()) cancel();
    for (const { reject } of this.waiting.splice(0)) reject(new Problem(503, "this instance is stopping"));
  }

  // What people do.

  async setTarget(upstream: string, target: string, change: TargetChange, by: string): Promise<{ readonly added: boolean }> {
    const address = targetAddress.safeParse(target);
    if (!address.success) throw new Problem(422, address.error.issues[0]!.message);
    let added = false;
    await this.change((said) => {
      const own = this.ownTargets(upstream);
      const known = said.get(upstream)?.targets.get(target)?.how;
      added = known === "removed" || (known !== "added" && !own.has(target));
      return targetSaid(said, upstream, target, change, own.has(target), toldBy(by));
    });
    const keys = Object.entries(change).map(([key, value]) => `${key} ${value === null ? "as the file says" : JSON.stringify(value)}`);
    this.note({ kind: added ? "target-added" : "target-changed", upstream, target, summary: `${added ? "added" : "changed"}${keys.length === 0 ? "" : `: ${keys.join(", ")}`}`, by });
    if (this.states.get(keyOf(upstream, target))?.leaving === true) await this.setState(upstream, target, "ready", by);
    return { added };
  }

  async removeTarget(upstream: string, target: string, drain: boolean, by: string): Promise<void> {
    targetOf(this.options.loaded().snapshot, upstream, target);
    this.refuseJoined(upstream, target);
    if (drain) return this.say({ upstream, target, state: "drain", leaving: true, ...toldBy(by) });
    await this.change((said) => {
      if (!this.ownTargets(upstream).has(target) && said.get(upstream)?.targets.get(target)?.how !== "added") throw new Problem(404, `${target} is no target of upstream "${upstream}"`);
      return targetRemoved(said, upstream, target, this.ownTargets(upstream).has(target), toldBy(by));
    });
    this.forgetState(upstream, target);
    this.save();
    this.note({ kind: "target-removed", upstream, target, summary: "removed", by });
  }

  async setState(upstream: string, target: string, state: "ready" | "drain" | "maint", by: string): Promise<void> {
    const { slot } = targetOf(this.options.loaded().snapshot, upstream, target);
    if (state !== "ready") return this.say({ upstream, target, state, ...toldBy(by) });
    this.refuseWhenClosed();
    this.forgetState(upstream, target);
    withdraw(this.options.rotation, slot, state);
    this.save();
    this.note({ kind: "state-set", upstream, target, summary: "ready", by });
    // Who was told to drain by its keys takes part again too.
    if (this.said.get(upstream)?.targets.get(target)?.keys.drain === true) await this.setTarget(upstream, target, { drain: null }, by);
  }

  async setPolicy(upstream: string, policy: PolicyKeys | undefined, by: string): Promise<void> {
    await this.change((said) => {
      this.ownTargets(upstream);
      return policySaid(said, upstream, policy, toldBy(by));
    });
    this.note({ kind: "policy-set", upstream, summary: policy === undefined ? "as the file says" : Object.entries(policy).map(([key, value]) => `${key} ${String(value)}`).join(", "), by });
  }

  async clear(upstream: string | undefined, by: string): Promise<number> {
    const isMeant = (name: string): boolean => upstream === undefined || name === upstream;
    const count = this.list().overrides.filter((override) => isMeant(override.upstream)).length;
    if (upstream !== undefined && count === 0) this.ownTargets(upstream);
    await this.change((said) => forgotten(said, upstream));
    const { snapshot } = this.options.loaded();
    for (const state of [...this.states.values()].filter((each) => isMeant(each.upstream))) {
      this.forgetState(state.upstream, state.target);
      const slot = snapshot.upstreams.find(({ name }) => name === state.upstream)?.targets.find(({ name }) => name === state.target)?.slot;
      if (slot !== undefined) withdraw(this.options.rotation, slot, "ready");
    }
    this.save();
    if (count > 0) this.note({ kind: "overrides-cleared", upstream, summary: `${count} forgotten`, by });
    return count;
  }

  list(): OverrideList {
    const { snapshot, listed } = this.options.loaded();
    const present = new Map(snapshot.upstreams.map(({ name, targets }) => [name, new Set(targets.map((target) => target.name))]));
    const overrides: Override[] = [];
    const whyAside = (upstream: string): string | null => this.aside.get(upstream) ?? (present.has(upstream) ? null : `there is no upstream "${upstream}"`);
    for (const [upstream, { policy, policyTold, targets }] of this.said) {
      const why = whyAside(upstream);
      if (policy !== undefined) overrides.push({ upstream, target: null, what: "policy", keys: policy, aside: why, ...policyTold! });
      for (const [target, { how, keys, at, by }] of targets) {
        const gone = how === "removed" ? listed.get(upstream)?.has(target) !== true : how === "changed" && present.get(upstream)?.has(target) !== true;
        overrides.push({ upstream, target, what: how, keys, aside: why ?? (gone ? `${target} is no target of upstream "${upstream}"` : null), at, by });
      }
    }
    for (const { upstream, target, state, leaving, at, by } of this.states.values()) {
      const why = whyAside(upstream) ?? (present.get(upstream)?.has(target) === true ? null : `${target} is no target of upstream "${upstream}"`);
      overrides.push({ upstream, target, what: "state", keys: { state, ...(leaving === true ? { leaving } : {}) }, aside: why, at, by });
    }
    return { overrides, stateFile: this.stateFile === undefined ? null : { path: this.stateFile, problem: this.stateFileProblem } };
  }

  /** Addresses that the file names. @throws Problem 404 */
  private ownTargets(upstream: string): ReadonlySet<string> {
    const { snapshot, listed } = this.options.loaded();
    const group = snapshot.upstreams.find(({ name }) => name === upstream);
    if (group === undefined) throw new Problem(404, `there is no upstream "${upstream}"`);
    const own = listed.get(upstream) ?? new Set();
    const said = this.said.get(upstream)?.targets;
    const joined = group.targets.filter(({ name }) => !own.has(name) && said?.get(name)?.how !== "added");
    return joined.length === 0 ? own : new Set([...own, ...joined.map(({ name }) => name)]);
  }

  /** Who brought them brings them back. @throws Problem 409 */
  private refuseJoined(upstream: string, target: string): void {
    const { listed } = this.options.loaded();
    if (listed.get(upstream)?.has(target) === true || this.said.get(upstream)?.targets.get(target)?.how === "added") return;
    throw new Problem(409, `${target} is in no file: it joined by its heartbeat, or was started by Fairlead; set its state to maint, or end it`);
  }

  // How it comes into force.

  /** @throws Problem 503 */
  private refuseWhenClosed(): void {
    const closed = this.options.closed();
    if (closed !== undefined) throw new Problem(503, closed);
  }

  private async change(edit: Waiting["edit"]): Promise<void> {
    this.refuseWhenClosed();
    await new Promise<void>((resolve, reject) => {
      this.waiting.push({ edit, resolve, reject });
      this.timer ??= setTimeout(() => {
        this.timer = undefined;
        void this.options.take(() => this.applyWaiting());
      }, PAUSE);
    });
  }

  /** All that wait, as one change; should that not be possible, as many of them as go together. */
  private async applyWaiting(): Promise<void> {
    const all = this.waiting.splice(0);
    const before = this.said;
    const { said, accepted } = edited(before, all);
    if (said === before) return settle(accepted);
    const { said: fitting, loaded, accepted: good } = this.fit(before, said, accepted);
    if (loaded === undefined) return settle(good);
    const asideBefore = this.aside;
    this.said = fitting;
    this.aside = this.asideWithout(before, fitting);
    const reason = await this.options.adopt(loaded);
    if (reason !== undefined) {
      this.said = before;
      this.aside = asideBefore;
      for (const { reject } of good) reject(new Problem(503, `this cannot be applied: ${reason}`));
      return;
    }
    this.save();
    settle(good);
  }

  private fit(before: Said, said: Said, accepted: readonly Waiting[]): { readonly said: Said; readonly loaded: Applicable | undefined; readonly accepted: readonly Waiting[] } {
    const compile = (candidate: Said): Loaded => {
      const aside = this.asideWithout(before, candidate);
      return this.options.compile(new Map([...candidate].filter(([upstream]) => !aside.has(upstream))));
    };
    const together = compile(said);
    if (together.ok) return { said, loaded: together, accepted };
    let fitting = before;
    const good: Waiting[] = [];
    for (const waiting of accepted) {
      const { said: next } = edited(fitting, [waiting]);
      const loaded = compile(next);
      if (!loaded.ok) {
        waiting.reject(new Problem(422, reasonOf(loaded), { errors: loaded.diagnostics.map(({ message, hint }) => ({ message, hint: hint ?? null })) }));
        continue;
      }
      fitting = next;
      good.push(waiting);
    }
    const last = fitting === before ? undefined : compile(fitting);
    return { said: fitting, loaded: last?.ok === true ? last : undefined, accepted: good };
  }

  /** An upstream of which something else is said now is tried again. */
  private asideWithout(before: Said, after: Said): ReadonlyMap<string, string> {
    return this.aside.size === 0 ? this.aside : new Map([...this.aside].filter(([upstream]) => before.get(upstream) === after.get(upstream) && after.has(upstream)));
  }

  /** It takes no part from now on. */
  private say(state: SaidState): void {
    this.refuseWhenClosed();
    const { snapshot } = this.options.loaded();
    const { slot } = targetOf(snapshot, state.upstream, state.target);
    this.forgetState(state.upstream, state.target);
    this.states.set(keyOf(state.upstream, state.target), state);
    withdraw(this.options.rotation, slot, state.state);
    this.save();
    this.note({ kind: "state-set", upstream: state.upstream, target: state.target, summary: state.leaving === true ? "drains, and is removed then" : state.state, by: state.by });
    if (state.leaving === true) this.awaitLeaving(state);
  }

  private forgetState(upstream: string, target: string): void {
    const key = keyOf(upstream, target);
    this.leaving.get(key)?.();
    this.leaving.delete(key);
    this.states.delete(key);
  }

  private awaitLeaving(state: SaidState): void {
    const { upstream, target, by } = state;
    const key = keyOf(upstream, target);
    if (this.leaving.has(key)) return;
    const { clock, board, log } = this.options;
    const began = clock.precise();
    const look = (): void => {
      const group = this.options.loaded().snapshot.upstreams.find(({ name }) => name === upstream);
      const found = group?.targets.find(({ name }) => name === target);
      const isOver = found === undefined || board.openRequests(found.slot) === 0 || clock.precise() - began > group!.drainTimeout;
      if (!isOver) return void this.leaving.set(key, clock.after(LEAVING_LOOK, look));
      this.leaving.delete(key);
      if (found === undefined) return;
      this.removeTarget(upstream, target, false, by).catch((error: Error) => {
        // Drained it stays: the last target of its upstream, say.
        log.error({ upstream, target, reason: error.message }, "Target has drained, but cannot be removed");
        const still = this.states.get(key);
        if (still !== undefined) this.states.set(key, { ...still, leaving: false });
        this.save();
      });
    };
    this.leaving.set(key, clock.after(LEAVING_LOOK, look));
  }

  private note(entry: Noted): void {
    const { kind, summary, ...fields } = entry;
    this.options.log.info({ ...fields, change: kind }, summary);
    this.options.noted(entry);
  }

  private keep(): void {
    try {
      this.options.keep(kept(this.said, this.states.values()));
    } catch (error) {
      this.options.log.error({ reason: (error as Error).message }, "State for a takeover cannot be written");
    }
  }

  private save(): void {
    this.keep();
    if (this.stateFile !== undefined) this.writeStateFile();
  }

  private writeStateFile(): void {
    try {
      writeStateFile(this.stateFile!, kept(this.said, this.states.values()));
      this.stateFileProblem = null;
    } catch (error) {
      this.stateFileProblem = (error as Error).message;
      this.options.log.error({ stateFile: this.stateFile, reason: this.stateFileProblem }, "The state file cannot be written: what is said now does not survive a stop");
    }
  }
}

/** Those that can be, one after another; the others are told why not. */
function edited(before: Said, all: readonly Waiting[]): { readonly said: Said; readonly accepted: readonly Waiting[] } {
  let said = before;
  const accepted = all.filter(({ edit, reject }) => {
    try {
      said = edit(said);
      return true;
    } catch (error) {
      reject(error as Error);
      return false;
    }
  });
  return { said, accepted };
}

function settle(waiting: readonly Waiting[]): void {
  for (const { resolve } of waiting) resolve();
}

function toldBy(by: string): Told {
  return { at: new Date().toISOString(), by };
}

function keyOf(upstream: string, target: string): string {
  return `${upstream} ${target}`;
}

function reasonOf({ diagnostics }: Loaded & { readonly ok: false }): string {
  return diagnostics.map(diagnosticReason).join("; ");
}

/**
 * What people say of a running instance: targets added, removed, weighed, drained, other policies. The one owner of it.
 *
 * Targets' states go to the rotation at once. All else is laid over the configuration by compiling it once more; calls that come together are
 * one change. What was said stays over reloads, takeovers and upgrades, and with a state file over a stop.
 */
import type { Override, OverrideList, Steering, TargetChange } from "../admin/steering.ts";
import { Problem } from "../admin/problem.ts";
import { targetOf, upstreamOf } from "../admin/named.ts";
import { withdraw } from "../admin/targets.ts";
import type { Loaded } from "../config/load.ts";
import type { Overrides as Laid, PolicyKeys } from "../config/overrides.ts";
import { forbiddenTarget } from "../config/forbidden-target.ts";
import { targetAddress } from "../config/schema.ts";
import type { Snapshot } from "../config/snapshot.ts";
import { parseAddress } from "../config/values.ts";
import type { Rotation } from "../health/rotation.ts";
import type { Clock } from "../net/network.ts";
import type { Log } from "../observability/log.ts";
import type { Chronicle } from "../observability/timeline.ts";
import type { Scoreboard } from "../scoreboard/scoreboard.ts";
import { type Edit, Edits, reasonOf } from "./edits.ts";
import { tellSteered } from "./instance-events.ts";
import { type Kept, kept, forgotten, OtherVersion, policySaid, readKept, type Said, type SaidState, targetRemoved, targetSaid, type Told } from "./said.ts";
import { readStateFile, setAside, writeStateFile } from "./state-file.ts";

type Applicable = Loaded & { readonly ok: true };

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
  readonly chronicle: Chronicle;
}

export class Overrides implements Steering {
  private readonly options: OverridesOptions;
  private said: Said = new Map();
  /** By upstream and target. */
  private readonly states = new Map<string, SaidState>();
  /** Upstreams of which what was said does not go with the file, and why. */
  private aside: ReadonlyMap<string, string> = new Map();
  private readonly edits: Edits;
  private readonly leaving = new Map<string, () => void>();
  private stateFile: string | undefined = undefined;
  private stateFileProblem: string | null = null;

  constructor(options: OverridesOptions) {
    this.options = options;
    this.edits = new Edits({
      said: () => this.said,
      take: options.take,
      compile: (candidate) => options.compile(laidOf(candidate, this.asideWith(candidate))),
      apply: (said, loaded, edits) => this.apply(said, loaded, edits),
    });
  }

  /** What a configuration is compiled with. */
  get laid(): Laid {
    return laidOf(this.said, this.aside);
  }

  /** Begin with what was kept. A damaged one is no reason not to serve. @param stateFile absolute path */
  restore(value: unknown, stateFile: string | undefined): void {
    this.stateFile = stateFile;
    const { log } = this.options;
    try {
      const found = value ?? (stateFile === undefined ? undefined : readStateFile(stateFile));
      // What somebody else has left here long ago is not what is said now.
      if (found === undefined) return this.keep();
      const { said, states } = readKept(found);
      this.said = said;
      for (const state of states) this.states.set(keyOf(state.upstream, state.target), state);
      this.keep();
      log.info({ overrides: this.states.size + said.size, ...(value === undefined ? { stateFile } : {}) }, "Going on with what was said of targets and upstreams");
    } catch (error) {
      const reason = (error as Error).message;
      if (value !== undefined || stateFile === undefined) return log.error({ reason }, "What was said of targets and upstreams cannot be read: it is forgotten");
      const version = error instanceof OtherVersion ? error.version : undefined;
      const movedTo = setAside(stateFile, version === undefined ? "damaged" : `version-${version}`);
      this.stateFileProblem = version === undefined ? `it was damaged at the start (${reason})` : `${reason}: it was not read at the start${movedTo === undefined ? "" : `, and is ${movedTo} now`}`;
      log.error({ stateFile, reason, movedTo }, `THE STATE FILE IS ${version === undefined ? "DAMAGED" : "ANOTHER VERSION'S"}: targets that were added, removed, weighed or taken out by the API are as the configuration file says`);
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
      this.options.chronicle.record({ kind: "set-aside", upstream, summary: `What was said of it is set aside: ${reason}`, by: "config" });
    }
  }

  /** The rotation knows these targets now: what was said of their states holds for those too that come back. */
  follow(snapshot: Snapshot): void {
    const { rotation } = this.options;
    if (this.states.size === 0) return;
    for (const { name, targets } of snapshot.upstreams) {
      for (const target of targets) {
        const state = this.states.get(keyOf(name, target.name));
        if (state !== undefined) withdraw(rotation, target.slot, state.state, state.by);
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
    for (const cancel of this.leaving.values()) cancel();
    this.edits.stop(new Problem(503, "this instance is stopping"));
  }

  // What people do.

  async setTarget(upstream: string, target: string, change: TargetChange, by: string): Promise<{ readonly added: boolean }> {
    const address = targetAddress.safeParse(target);
    if (!address.success) throw new Problem(422, address.error.issues[0]!.message);
    if (!this.ownTargets(upstream).has(target)) {
      const forbidden = forbiddenTarget(parseAddress(target, false)!, upstream, this.options.loaded().snapshot);
      if (forbidden !== undefined) throw new Problem(403, forbidden);
    }
    let added = false;
    const told = toldBy(by);
    await this.change({
      upstream,
      target,
      by,
      edit: (said) => {
        const own = this.ownTargets(upstream);
        const known = said.get(upstream)?.targets.get(target)?.how;
        added = known === "removed" || (known !== "added" && !own.has(target));
        return targetSaid(said, upstream, target, change, own.has(target), told);
      },
    });
    const keys = Object.entries(change).map(([key, value]) => `${key} ${value === null ? "as the file says" : JSON.stringify(value)}`);
    this.options.log.info({ upstream, target, by, keys: change }, added ? "Target added by the API" : "Target changed by the API");
    if (!added && keys.some((key) => !key.startsWith("weight "))) this.options.chronicle.record({ kind: "changed", upstream, target, summary: `It is said of it: ${keys.join(", ")}`, by });
    if (this.states.get(keyOf(upstream, target))?.leaving === true) await this.setState(upstream, target, "ready", by);
    return { added };
  }

  async removeTarget(upstream: string, target: string, drain: boolean, by: string): Promise<void> {
    targetOf(this.options.loaded().snapshot, upstream, target);
    this.refuseJoined(upstream, target);
    if (drain && this.mustStay(upstream, target)) throw new Problem(422, `${target} is the last target of upstream "${upstream}", which needs one: set its state to maint, or add another one first`);
    if (drain) return this.say({ upstream, target, state: "drain", leaving: true, ...toldBy(by) });
    const told = toldBy(by);
    await this.change({
      upstream,
      target,
      by,
      edit: (said) => {
        const own = this.ownTargets(upstream).has(target);
        if (!own && said.get(upstream)?.targets.get(target)?.how !== "added") throw new Problem(404, `${target} is no target of upstream "${upstream}"`);
        return targetRemoved(said, upstream, target, own, told);
      },
    });
    this.forgetState(upstream, target);
    this.save();
    this.options.log.info({ upstream, target, by }, "Target removed by the API");
  }

  async setState(upstream: string, target: string, state: "ready" | "drain" | "maint", by: string): Promise<void> {
    const { slot } = targetOf(this.options.loaded().snapshot, upstream, target);
    if (state !== "ready") return this.say({ upstream, target, state, ...toldBy(by) });
    this.refuseWhenClosed();
    this.forgetState(upstream, target);
    withdraw(this.options.rotation, slot, state, by);
    this.save();
    // Who was told to drain by its keys takes part again too.
    if (this.said.get(upstream)?.targets.get(target)?.keys.drain === true) await this.setTarget(upstream, target, { drain: null }, by);
  }

  async setPolicy(upstream: string, policy: PolicyKeys | undefined, by: string): Promise<void> {
    const told = toldBy(by);
    await this.change({
      upstream,
      by,
      edit: (said) => {
        this.ownTargets(upstream);
        return policySaid(said, upstream, policy, told);
      },
    });
    const summary = policy === undefined ? "Targets are chosen as the file says" : `Targets are chosen by ${Object.entries(policy).map(([key, value]) => `${key} ${String(value)}`).join(", ")}`;
    this.options.log.info({ upstream, by, ...(policy === undefined ? {} : { keys: policy }) }, "Policy changed by the API");
    this.options.chronicle.record({ kind: "policy", upstream, summary, by });
  }

  async clear(upstream: string | undefined, by: string): Promise<number> {
    const isMeant = (name: string): boolean => upstream === undefined || name === upstream;
    const count = this.list().overrides.filter((override) => isMeant(override.upstream)).length;
    if (upstream !== undefined && count === 0) this.ownTargets(upstream);
    await this.change({ upstream, by, edit: (said) => forgotten(said, upstream) });
    const { snapshot } = this.options.loaded();
    for (const state of [...this.states.values()].filter((each) => isMeant(each.upstream))) {
      this.forgetState(state.upstream, state.target);
      const slot = snapshot.upstreams.find(({ name }) => name === state.upstream)?.targets.find(({ name }) => name === state.target)?.slot;
      if (slot !== undefined) withdraw(this.options.rotation, slot, "ready", by);
    }
    this.save();
    if (count === 0) return 0;
    this.options.log.info({ upstream, by, cleared: count }, "Overrides cleared by the API");
    this.options.chronicle.record({ kind: "cleared", ...(upstream === undefined ? {} : { upstream }), summary: `${count} of what was said is forgotten: it is as the file says`, by });
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
      // A state goes with every configuration that has the target.
      const gone = present.get(upstream)?.has(target) === true ? null : (whyAside(upstream) ?? `${target} is no target of upstream "${upstream}"`);
      overrides.push({ upstream, target, what: "state", keys: { state, ...(leaving === true ? { leaving } : {}) }, aside: gone, at, by });
    }
    return { overrides, stateFile: this.stateFile === undefined ? null : { path: this.stateFile, problem: this.stateFileProblem } };
  }

  /** Addresses that the file names. @throws Problem 404 */
  private ownTargets(upstream: string): ReadonlySet<string> {
    const { snapshot, listed } = this.options.loaded();
    const group = upstreamOf(snapshot, upstream);
    const own = listed.get(upstream) ?? new Set();
    const said = this.said.get(upstream)?.targets;
    const joined = group.targets.filter(({ name }) => !own.has(name) && said?.get(name)?.how !== "added");
    return joined.length === 0 ? own : new Set([...own, ...joined.map(({ name }) => name)]);
  }

  /** All others are about to be removed, and none comes by itself. */
  private mustStay(upstream: string, target: string): boolean {
    const { targets, heartbeat, supervised } = upstreamOf(this.options.loaded().snapshot, upstream);
    return heartbeat === undefined && supervised === undefined && targets.every(({ name }) => name === target || this.states.get(keyOf(upstream, name))?.leaving === true);
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

  private async change(edit: Edit): Promise<void> {
    this.refuseWhenClosed();
    await this.edits.change(edit);
  }

  private async apply(said: Said, loaded: Applicable, edits: readonly Edit[]): Promise<string | undefined> {
    const before = { said: this.said, aside: this.aside, snapshot: this.options.loaded().snapshot };
    this.aside = this.asideWith(said);
    this.said = said;
    const reason = await this.options.adopt(loaded);
    if (reason !== undefined) {
      this.said = before.said;
      this.aside = before.aside;
      return reason;
    }
    this.save();
    const by = (upstream: string, target: string): string => edits.findLast((edit) => (edit.upstream ?? upstream) === upstream && (edit.target ?? target) === target)?.by ?? "";
    tellSteered(this.options.chronicle, before.snapshot, loaded.snapshot, (upstream, target) => ({ cause: 0, by: by(upstream, target) }));
    return undefined;
  }

  /** An upstream of which something else is said is tried again. */
  private asideWith(said: Said): ReadonlyMap<string, string> {
    return this.aside.size === 0 ? this.aside : new Map([...this.aside].filter(([upstream]) => this.said.get(upstream) === said.get(upstream)));
  }

  /** It takes no part from now on. */
  private say(state: SaidState): void {
    this.refuseWhenClosed();
    const { snapshot } = this.options.loaded();
    const { slot } = targetOf(snapshot, state.upstream, state.target);
    this.forgetState(state.upstream, state.target);
    this.states.set(keyOf(state.upstream, state.target), state);
    withdraw(this.options.rotation, slot, state.state, state.by);
    this.save();
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
      // Another supervisor may be about to go on with it.
      if (!isOver || this.options.closed() !== undefined) return void this.leaving.set(key, clock.after(LEAVING_LOOK, look));
      this.leaving.delete(key);
      if (found === undefined) return;
      this.removeTarget(upstream, target, false, by).catch((error: Error) => {
        // Somebody else has removed it.
        if (error instanceof Problem && error.status === 404) return;
        // Drained it stays: the last target of its upstream, say.
        log.error({ upstream, target, reason: error.message }, "Target has drained, but cannot be removed");
        const still = this.states.get(key);
        if (still !== undefined) this.states.set(key, { ...still, leaving: false });
        this.save();
      });
    };
    this.leaving.set(key, clock.after(LEAVING_LOOK, look));
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

function laidOf(said: Said, aside: ReadonlyMap<string, string>): Laid {
  return aside.size === 0 ? said : new Map([...said].filter(([upstream]) => !aside.has(upstream)));
}

function toldBy(by: string): Told {
  return { at: new Date().toISOString(), by };
}

function keyOf(upstream: string, target: string): string {
  return `${upstream} ${target}`;
}

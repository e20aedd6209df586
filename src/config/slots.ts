/** Gives each listener, route, upstream and target its row in the scoreboard, the same one over all reloads. */
import { LISTENER_ROWS, OTHER_ROUTES } from "../scoreboard/words.ts";

export interface SlotCapacity {
  readonly targets: number;
  readonly upstreams: number;
}

/** So many numbers rest before one of them is given again: what was open under it shall have ended by then. */
const QUARANTINE = 1_024;

/** Names to numbers; freed numbers are given again. */
class Slots {
  private readonly byName = new Map<string, number>();
  private readonly free: number[] = [];
  private next = 0;
  private readonly capacity: number;
  /** What those get for whom nothing is left. */
  private readonly rest: number | undefined;

  constructor(capacity: number, rest?: number) {
    this.capacity = capacity;
    this.rest = rest;
  }

  /** Slots for exactly these names; undefined when there are too many. Nothing is taken until commit. */
  plan(names: ReadonlySet<string>): { readonly slots: ReadonlyMap<string, number>; readonly fresh: number[]; commit(): void } | undefined {
    const slots = new Map<string, number>();
    const fresh: number[] = [];
    const gone: string[] = [];
    const shared: string[] = [];
    for (const name of this.byName.keys()) if (!names.has(name)) gone.push(name);
    // A slot that is given up now may still be written to by exchanges of the old snapshot: it is given again last.
    const available = [...this.free];
    let { next } = this;
    for (const name of names) {
      const kept = this.byName.get(name);
      if (kept !== undefined) {
        slots.set(name, kept);
        continue;
      }
      const slot = available.length > QUARANTINE || next === this.capacity ? available.shift() : next++;
      if (slot === undefined) {
        if (this.rest === undefined) return undefined;
        shared.push(name);
        continue;
      }
      slots.set(name, slot);
      fresh.push(slot);
    }
    for (const name of shared) slots.set(name, this.rest!);
    const commit = (): void => {
      for (const name of gone) {
        available.push(this.byName.get(name)!);
        this.byName.delete(name);
      }
      for (const [name, slot] of slots) if (slot !== this.rest) this.byName.set(name, slot);
      this.free.splice(0, this.free.length, ...available);
      this.next = next;
    };
    return { slots, fresh, commit };
  }
}

/** What wants rows, by the names that stay the same over reloads. */
export interface SlotWishes {
  readonly upstreams: readonly { readonly name: string; readonly targets: readonly { readonly name: string }[] }[];
  readonly listeners?: readonly string[];
  /** Labels; two routes with the same share a row. */
  readonly routes?: readonly string[];
}

export interface SlotPlan {
  readonly listener: (name: string) => number;
  readonly route: (label: string) => number;
  readonly upstream: (name: string) => number;
  readonly target: (upstream: string, target: string) => number;
  /** Slots that were not in use before: their counters must be cleared. */
  readonly freshTargets: readonly number[];
  readonly freshUpstreams: readonly number[];
  readonly freshListeners: readonly number[];
  readonly freshRoutes: readonly number[];
  /** Take them: call once the snapshot is accepted. */
  commit(): void;
}

export class SlotAllocator {
  readonly capacity: SlotCapacity;
  private readonly upstreams: Slots;
  private readonly targets: Slots;
  private readonly listeners = new Slots(LISTENER_ROWS);
  private readonly routes = new Slots(OTHER_ROUTES, OTHER_ROUTES);

  constructor(capacity: SlotCapacity) {
    this.capacity = capacity;
    this.upstreams = new Slots(capacity.upstreams);
    this.targets = new Slots(capacity.targets);
  }

  /** Undefined: the scoreboard is too small for this many targets, upstreams or listeners. */
  plan({ upstreams: groups, listeners: names = [], routes: labels = [] }: SlotWishes): SlotPlan | undefined {
    const upstreams = this.upstreams.plan(new Set(groups.map((group) => group.name)));
    const targets = this.targets.plan(new Set(groups.flatMap((group) => group.targets.map((target) => `${group.name} ${target.name}`))));
    const listeners = this.listeners.plan(new Set(names));
    const routes = this.routes.plan(new Set(labels))!;
    if (upstreams === undefined || targets === undefined || listeners === undefined) return undefined;
    return {
      upstream: (name) => upstreams.slots.get(name)!,
      target: (upstream, target) => targets.slots.get(`${upstream} ${target}`)!,
      listener: (name) => listeners.slots.get(name)!,
      route: (label) => routes.slots.get(label)!,
      freshTargets: targets.fresh,
      freshUpstreams: upstreams.fresh,
      freshListeners: listeners.fresh,
      freshRoutes: routes.fresh,
      commit: () => {
        upstreams.commit();
        targets.commit();
        listeners.commit();
        routes.commit();
      },
    };
  }
}

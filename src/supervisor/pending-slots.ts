/** Rows of the scoreboard for a configuration that may yet be refused: taken once it runs, not when it is read. */
import { SlotAllocator, type SlotPlan, type SlotWishes } from "../config/slots.ts";
import { OTHER_ROUTES, type UsedRows } from "../scoreboard/scoreboard.ts";

export class PendingSlots extends SlotAllocator {
  private pending: SlotPlan | undefined = undefined;
  private readonly highest = { targets: 0, upstreams: 0, listeners: 0, routes: OTHER_ROUTES + 1 };

  override plan(wishes: SlotWishes): SlotPlan | undefined {
    const plan = super.plan(wishes);
    this.pending = undefined;
    if (plan === undefined) return undefined;
    return {
      ...plan,
      commit: () => {
        this.pending = plan;
        for (const slot of plan.freshTargets) this.highest.targets = Math.max(this.highest.targets, slot + 1);
        for (const slot of plan.freshListeners) this.highest.listeners = Math.max(this.highest.listeners, slot + 1);
        for (const { name } of wishes.upstreams) this.highest.upstreams = Math.max(this.highest.upstreams, plan.upstream(name) + 1);
      },
    };
  }

  /** The configuration that was read last is run now. What was read before and is not taken is forgotten. */
  take(): void {
    this.pending?.commit();
    this.pending = undefined;
  }

  /** Rows from here on were never used. */
  get used(): UsedRows {
    return this.highest;
  }
}

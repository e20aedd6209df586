/** Rows of the scoreboard for a configuration that may yet be refused: taken once it runs, not when it is read. */
import { SlotAllocator, type SlotPlan } from "../config/slots.ts";

export class PendingSlots extends SlotAllocator {
  private pending: SlotPlan | undefined = undefined;
  private readonly highest = { targets: 0, upstreams: 0 };

  override plan(groups: Parameters<SlotAllocator["plan"]>[0]): SlotPlan | undefined {
    const plan = super.plan(groups);
    this.pending = undefined;
    if (plan === undefined) return undefined;
    return {
      ...plan,
      commit: () => {
        this.pending = plan;
        for (const slot of plan.freshTargets) this.highest.targets = Math.max(this.highest.targets, slot + 1);
        for (const { name } of groups) this.highest.upstreams = Math.max(this.highest.upstreams, plan.upstream(name) + 1);
      },
    };
  }

  /** The configuration that was read last is run now. What was read before and is not taken is forgotten. */
  take(): void {
    this.pending?.commit();
    this.pending = undefined;
  }

  /** Rows from here on were never used. */
  get used(): { readonly targets: number; readonly upstreams: number } {
    return this.highest;
  }
}

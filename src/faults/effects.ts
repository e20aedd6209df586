/** What a fault does, one by one, for those who count. */
import type { ClientFault, TargetFault } from "../config/snapshot.ts";
import type { FaultEffectName } from "../scoreboard/scoreboard.ts";

export function effectsOf(fault: ClientFault | TargetFault): FaultEffectName[] {
  const does: Partial<Record<FaultEffectName, boolean>> =
    "targets" in fault
      ? { "target-delay": fault.delay !== undefined, "target-error": fault.error !== undefined }
      : { delay: fault.delay !== undefined, abort: fault.abort !== undefined || fault.grpcStatus !== undefined, reset: fault.reset, throttle: fault.throttle > 0, truncate: fault.truncate !== undefined };
  return (Object.keys(does) as FaultEffectName[]).filter((effect) => does[effect]);
}

/** `fairlead weigh`: give a target more of the traffic, or less. */
import { withAdmin, json as asJson } from "./admin-client.ts";
import { findTarget, pathOf } from "./find-target.ts";
import type { TargetOptions } from "./target-state.ts";

/** @param weight undefined: as the file says */
export async function weighCommand(address: string, weight: number | undefined, options: TargetOptions): Promise<void> {
  await withAdmin(options, async (admin) => {
    const target = await findTarget(admin, address, options.upstream);
    const told = await admin.call<{ readonly weight: number }>("PUT", pathOf(target), { weight: weight ?? null });
    process.stdout.write(options.json === true ? `${asJson(told)}\n` : `${target.upstream} ${target.address} has weight ${told.weight}\n`);
  });
}

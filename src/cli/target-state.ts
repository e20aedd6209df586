/** `fairlead drain`, `fairlead ready` and `fairlead maint`: take a target out, or bring it back. */
import { percent } from "../view/format.ts";
import { type AdminOptions, withAdmin, json as asJson } from "./admin-client.ts";
import { findTarget, pathOf } from "./find-target.ts";

export interface TargetOptions extends AdminOptions {
  readonly upstream?: string;
  readonly json?: boolean;
}

export async function targetStateCommand(state: "ready" | "drain" | "maint", address: string, options: TargetOptions): Promise<void> {
  await withAdmin(options, async (admin) => {
    const target = await findTarget(admin, address, options.upstream);
    const told = await admin.call<{ readonly state: string; readonly share: number }>("PUT", `${pathOf(target)}/state`, { state });
    if (options.json === true) process.stdout.write(`${asJson({ upstream: target.upstream, ...told })}\n`);
    else process.stdout.write(`${target.upstream} ${target.address} is ${told.state.replaceAll("+", ", ")}${told.share === 1 ? "" : `, with ${percent(told.share)} of its weight`}\n`);
  });
}

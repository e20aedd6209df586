/** Which target a person means by its address. */
import type { UpstreamDetail, UpstreamSummary } from "../admin/resources.ts";
import { type AdminClient, AdminRefused } from "./admin-client.ts";

export interface FoundTarget {
  readonly upstream: string;
  readonly address: string;
}

/** All targets, by upstream. @throws AdminRefused */
export async function allTargets(admin: AdminClient, upstream?: string): Promise<FoundTarget[]> {
  const names = upstream === undefined ? (await admin.call<{ readonly upstreams: readonly UpstreamSummary[] }>("GET", "/v1/upstreams")).upstreams.map(({ name }) => name) : [upstream];
  const details = await Promise.all(names.map((name) => admin.call<UpstreamDetail>("GET", `/v1/upstreams/${encodeURIComponent(name)}`)));
  return details.flatMap(({ name, targets }) => targets.map(({ address }) => ({ upstream: name, address })));
}

/** @throws AdminRefused when it is none, or several upstreams' */
export async function findTarget(admin: AdminClient, address: string, upstream: string | undefined): Promise<FoundTarget> {
  const all = await allTargets(admin, upstream);
  const found = all.filter((target) => target.address === address);
  if (found.length === 1) return found[0]!;
  if (found.length > 1) throw new AdminRefused(`${address} is a target of ${found.map((target) => `"${target.upstream}"`).join(" and ")}: say which with --upstream`);
  const like = all.filter((target) => target.address.includes(address)).slice(0, 3);
  throw new AdminRefused(`${address} is no target${upstream === undefined ? "" : ` of upstream "${upstream}"`}${like.length === 0 ? "; fairlead top --once --targets has them all" : ` (did you mean ${like.map((target) => target.address).join(" or ")}?)`}`);
}

export function pathOf({ upstream, address }: FoundTarget): string {
  return `/v1/upstreams/${encodeURIComponent(upstream)}/targets/${encodeURIComponent(address)}`;
}

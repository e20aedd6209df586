/**
 * What nobody can make a target while the instance runs: a token that may steer, or send heartbeats, is not to open by the listeners what only
 * processes of this machine can reach. What the configuration itself names is its own affair.
 */
import { networkInterfaces } from "node:os";
import ipaddr from "ipaddr.js";
import type { Address, Snapshot } from "./snapshot.ts";
import { formatAddress } from "./values.ts";

/** @param upstream its name, for the words @returns why not; undefined: it may be one */
export function forbiddenTarget(address: Address, upstream: string, { admin }: Pick<Snapshot, "admin">): string | undefined {
  if (address.kind === "unix") return `${formatAddress(address)} is a unix socket, and those are made targets by the configuration only: name it in upstream "${upstream}" there`;
  if (admin?.address.kind !== "tcp" || admin.address.port !== address.port) return undefined;
  if (!ipaddr.isValid(address.host)) return `${formatAddress(address)} may lead to the admin address of this instance, whose port it has: say the target's address by its number, or name it in upstream "${upstream}" of the configuration`;
  return leadsTo(address.host, admin.address.host) ? `${formatAddress(address)} is the admin address of this instance` : undefined;
}

/** Does who connects to this number reach who listens there? */
function leadsTo(number: string, listening: string): boolean {
  const to = ipaddr.process(number);
  // Whoever connects to no address in particular is connected to a loopback one.
  const isHere = to.range() === "unspecified";
  if (!ipaddr.isValid(listening)) return isHere || isOwn(to);
  const at = ipaddr.process(listening);
  if (at.range() === "unspecified") return isHere || isOwn(to);
  return (isHere && at.range() === "loopback") || to.toNormalizedString() === at.toNormalizedString();
}

function isOwn(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (address.range() === "loopback") return true;
  const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return own.some(({ address: each }) => ipaddr.isValid(each) && ipaddr.process(each).toNormalizedString() === address.toNormalizedString());
}

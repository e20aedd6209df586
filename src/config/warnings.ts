/** What is allowed, but probably not meant. */
import { networkInterfaces, type NetworkInterfaceInfo } from "node:os";
import { missingTargets } from "./faults.ts";
import type { ListenerConfig, Snapshot } from "./snapshot.ts";

/** From so many days before the end of a certificate on it is warned of. */
const WARN_DAYS = 21;
const DAY = 86_400_000;

/** One line for each. @param now wall-clock ms */
export function warningsOf(snapshot: Snapshot, now: number): string[] {
  const used = new Set([...snapshot.listeners.map(({ upstream }) => upstream), ...snapshot.routes.map(({ upstream }) => upstream)]);
  const warnings = snapshot.upstreams.filter(({ name }) => !used.has(name)).map(({ name }) => `upstream "${name}" is used by no listener and no route`);
  for (const { name, targets } of snapshot.upstreams) if (targets.length > 0 && targets.every(({ weight }) => weight === 0)) warnings.push(`every target of upstream "${name}" has weight 0: all requests get 503`);
  warnings.push(...snapshot.listeners.map((listener) => wildcardWarning(listener)).filter((warning) => warning !== undefined));
  for (const { name, tls } of snapshot.listeners) if (tls?.selfSigned === true) warnings.push(`listener "${name}" shows a self-signed certificate (${tls.certificates[0]!.file}): good for development only`);
  for (const rule of snapshot.faults ?? []) for (const address of missingTargets(rule, snapshot.upstreams)) warnings.push(`fault "${rule.name}" names target "${address}", which is not there: it waits for it to join`);
  warnings.push(...hiddenWarnings(snapshot), ...expiryWarnings(snapshot, now));
  return warnings;
}

/** One line for each certificate that is about to expire, apart from those that renew themselves and tell of it. @param now wall-clock ms */
export function expiryWarnings({ listeners }: Snapshot, now: number): string[] {
  return listeners.flatMap(({ name, tls }) =>
    (tls?.certificates ?? [])
      .filter(({ file, notAfter }) => notAfter - now < WARN_DAYS * DAY && file !== tls?.acme?.file)
      .map(({ file, notAfter }) => `certificate ${file} of listener "${name}" ${notAfter > now ? `expires in ${Math.floor((notAfter - now) / DAY)} days` : "has expired"} (${new Date(notAfter).toISOString()})`),
  );
}

/** One line for each certificate that no client gets to see: an earlier one has all of its names. Those that renew themselves may stand beside what came before them. */
function hiddenWarnings({ listeners }: Snapshot): string[] {
  return listeners.flatMap(({ name, tls }) => {
    const taken = new Set<string>();
    return (tls?.acme === undefined ? (tls?.certificates ?? []) : []).flatMap(({ file, names }, index) => {
      const hidden = index > 0 && names.every((each) => taken.has(each));
      for (const each of names) taken.add(each);
      return hidden ? [`certificate ${file} of listener "${name}" is never shown: ${names.length === 0 ? "it is for no host name" : `those before it are for ${names.join(", ")} too`}`] : [];
    });
  });
}

/**
 * Bun does not say to which of our addresses a datagram came: on a wildcard address replies go out with the one that the system prefers for
 * that client. Where there are several, some clients get replies from an address that they did not write to, and drop them.
 * @returns a warning; undefined: there is no such danger
 */
export function wildcardWarning({ name, protocol, address }: ListenerConfig, interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>> = networkInterfaces()): string | undefined {
  if (protocol !== "udp" || address.kind !== "tcp") return undefined;
  const families = address.host === "0.0.0.0" ? ["IPv4"] : /^[0:]+$/.test(address.host) ? ["IPv4", "IPv6"] : [];
  const addresses = Object.values(interfaces).flatMap((of) => of ?? []);
  for (const family of families) {
    // Whom a link-local address writes to is answered from that link.
    const own = addresses.filter((each) => each.family === family && !each.internal && !each.address.startsWith("fe80:"));
    if (own.length > 1) return `udp listener "${name}" listens on every address, and this machine has several (${own.map(({ address: each }) => each).join(", ")}): replies go out with the one that the system prefers, not with the one that a client wrote to; give each address that clients use a listener of its own`;
  }
  return undefined;
}

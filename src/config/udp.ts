/** What a udp listener may say, and what only it may. */
import { networkInterfaces, type NetworkInterfaceInfo } from "node:os";
import ipaddr from "ipaddr.js";
import type { Problem } from "./compile.ts";
import type { RawListener, RawUpstream } from "./schema.ts";
import type { ListenAddress, ListenerConfig } from "./snapshot.ts";
import { formatAddress } from "./values.ts";

/** They speak of streams, or of what is said on them. */
const MEANINGLESS = ["health_path", "proxy_protocol", "tcp_unavailable", "tls", "underscore_names", "limits", "http2", "forwarding"] as const;
const MEANINGLESS_TIMEOUTS = ["tls_handshake", "client_header", "client_body", "client_idle", "request", "tunnel_idle"] as const;

/** The same for two listeners that cannot both have their address: a port of UDP and one of TCP are different ones. */
export function addressKey(protocol: RawListener["protocol"], address: ListenAddress): string {
  return `${protocol === "udp" ? "udp " : ""}${formatAddress(address)}`;
}

export function checkUdp(listeners: readonly RawListener[], upstreams: readonly RawUpstream[], problems: Problem[]): void {
  for (const [index, listener] of listeners.entries()) {
    const at = ["listeners", index];
    if (listener.protocol === "udp") checkListener(listener, at, upstreams, problems);
    else {
      if (listener.udp_responses !== undefined) problems.push({ path: [...at, "udp_responses"], about: "key", message: 'udp_responses goes with protocol = "udp"', hint: "set the protocol, or leave it out" });
      if (listener.timeouts?.udp_idle !== undefined) problems.push({ path: [...at, "timeouts", "udp_idle"], about: "key", message: 'udp_idle goes with protocol = "udp"', hint: "set the protocol, or leave it out" });
    }
  }
}

function checkListener(listener: RawListener, at: readonly (string | number)[], upstreams: readonly RawUpstream[], problems: Problem[]): void {
  for (const key of MEANINGLESS) if (listener[key] !== undefined) problems.push({ path: [...at, key], about: "key", message: `${key} means nothing to a udp listener`, hint: "leave it out" });
  for (const key of MEANINGLESS_TIMEOUTS) if (listener.timeouts?.[key] !== undefined) problems.push({ path: [...at, "timeouts", key], about: "key", message: `${key} means nothing to a udp listener`, hint: "its timeout is udp_idle" });
  const { address } = listener;
  if (address.kind === "unix") problems.push({ path: [...at, "address"], about: "value", message: "a udp listener has no unix socket", hint: 'write an IP address, as "0.0.0.0:53" or "[::]:53"' });
  else if (address.kind === "tcp" && !ipaddr.isValid(address.host)) problems.push({ path: [...at, "address"], about: "value", message: `a udp listener needs an IP address, not the name "${address.host}"`, hint: "write the address that the name stands for" });
  const upstream = upstreams.find(({ name }) => name === listener.upstream);
  const unix = upstream?.targets?.find((target) => target.address.startsWith("unix:"));
  if (unix !== undefined) problems.push({ path: [...at, "upstream"], about: "value", message: `target ${unix.address} of upstream "${upstream!.name}" is a unix socket: it takes no datagrams`, hint: "a udp listener needs an upstream whose targets are all host:port" });
  const cannot = (message: string, hint: string): void => void problems.push({ path: [...at, "upstream"], about: "value", message, hint });
  if (upstream?.proxy_protocol !== undefined) cannot(`upstream "${upstream.name}" says who the client is at the start of a connection (proxy_protocol), and udp has none`, "give udp an upstream of its own, without proxy_protocol");
  if (upstream?.tls !== undefined && upstream.tls !== false) cannot(`the targets of upstream "${upstream.name}" are spoken to over TLS, and datagrams would go there in the clear`, "give udp an upstream of its own, without tls");
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

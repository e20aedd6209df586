/** What a udp listener may say, and what only it may. */
import ipaddr from "ipaddr.js";
import type { Problem } from "../problem.ts";
import type { RawListener, RawUpstream } from "../schema.ts";
import type { ListenAddress } from "../snapshot.ts";
import { formatAddress } from "../values.ts";

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

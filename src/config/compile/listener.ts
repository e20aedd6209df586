/** `[[listeners]]`: what they mean together with the defaults for all of them, and what of it does not fit together. */
import { MAX_LISTENERS } from "../../scoreboard/words.ts";
import type { Problem } from "../problem.ts";
import { DEFAULTS, type RawConfig, type RawListener, type RawRoute } from "../schema.ts";
import type { ListenerConfig, ListenerTls } from "../snapshot.ts";
import { formatAddress } from "../values.ts";
import { inherit } from "./inherit.ts";
import { checkNames, listenerName } from "./names.ts";
import { isRouteFor } from "./route.ts";
import { addressKey } from "./udp.ts";

/** Of listeners that read requests. */
const HTTP_KEYS = ["health_path", "http2", "underscore_names", "forwarding"] as const;

export function checkListeners(listeners: readonly RawListener[], routes: readonly RawRoute[], problems: Problem[]): void {
  checkNames(listeners, "listener", problems);
  if (listeners.length > MAX_LISTENERS) problems.push({ path: ["listeners", MAX_LISTENERS], about: "key", message: `more than ${MAX_LISTENERS} listeners` });
  const addresses = new Map<string, number>();
  for (const [index, listener] of listeners.entries()) {
    const address = formatAddress(listener.address);
    const key = addressKey(listener.protocol, listener.address);
    const other = addresses.get(key);
    if (other !== undefined && !address.endsWith(":0")) problems.push({ path: ["listeners", index, "address"], about: "value", message: `${address} is taken by listener ${other + 1}`, hint: "each listener has an address of its own" });
    addresses.set(key, index);
    const { address: at } = listener;
    // The system refuses two sockets for one address, and this says why.
    const dual = at.kind !== "tcp" || at.port === 0 ? undefined : at.host === "0.0.0.0" ? { ...at, host: "::" } : at.host === "::" ? { ...at, host: "0.0.0.0" } : undefined;
    const both = dual === undefined ? undefined : addresses.get(addressKey(listener.protocol, dual));
    if (dual !== undefined && both !== undefined) problems.push({ path: ["listeners", index, "address"], about: "value", message: `${address} and ${formatAddress(dual)} of listener ${both + 1} are the same: [::] takes IPv4 clients too`, hint: "leave out the listener on 0.0.0.0" });
    if (listener.protocol === "tls-passthrough" && listener.tls !== undefined) problems.push({ path: ["listeners", index, "tls"], about: "key", message: "on a tls-passthrough listener TLS ends at the targets", hint: 'leave it out, or set protocol = "http" or "tcp"' });
    if (listener.protocol === "tls-passthrough" && listener.tcp_unavailable === "http-503") problems.push({ path: ["listeners", index, "tcp_unavailable"], about: "value", message: "a client that speaks TLS cannot read an HTTP answer", hint: 'set "close", or leave it out' });
    if (listener.redirect_https !== undefined && listener.redirect_https !== false && (listener.tls !== undefined || (listener.protocol ?? "http") !== "http")) {
      problems.push({ path: ["listeners", index, "redirect_https"], about: "key", message: "only http in the clear can be sent to https", hint: "leave it out here, and set it on the listener of port 80" });
    }
    if (listener.protocol === "tcp" || listener.protocol === "tls-passthrough") {
      for (const key of HTTP_KEYS) if (listener[key] !== undefined) problems.push({ path: ["listeners", index, key], about: "key", message: `${key} goes with protocol = "http"`, hint: "leave it out" });
    }
    if (listener.upstream !== undefined) continue;
    if (listener.protocol === "tcp" || listener.protocol === "udp") problems.push({ path: ["listeners", index], about: "key", message: `a ${listener.protocol} listener needs an upstream`, hint: 'add upstream = "…"' });
    else if ((listener.redirect_https ?? false) === false && !routes.some((route) => isRouteFor(route, listenerName(listener, index)))) problems.push({ path: ["listeners", index], about: "key", message: "this listener has no upstream, and there are no routes", hint: 'add upstream = "…" or [[routes]]' });
  }
}

export function http2Of(raw: RawListener, config: RawConfig): typeof DEFAULTS.http2 {
  return inherit(DEFAULTS.http2, config.http2, typeof raw.http2 === "boolean" ? { enabled: raw.http2 } : raw.http2);
}

export function listenerOf(raw: RawListener, index: number, slot: number, config: RawConfig, tls: ListenerTls | undefined): ListenerConfig {
  const timeouts = inherit(DEFAULTS.timeouts, config.timeouts, raw.timeouts);
  const limits = inherit(DEFAULTS.limits, config.limits, raw.limits);
  const forwarding = inherit(DEFAULTS.forwarding, config.forwarding, raw.forwarding);
  const http2 = http2Of(raw, config);
  return {
    name: listenerName(raw, index),
    slot,
    address: raw.address,
    protocol: raw.protocol ?? "http",
    ...(raw.upstream === undefined ? {} : { upstream: raw.upstream }),
    ...(raw.health_path === undefined ? {} : { healthPath: raw.health_path }),
    ...(raw.proxy_protocol === undefined ? {} : { proxyProtocol: { from: raw.proxy_protocol.from, timeout: raw.proxy_protocol.timeout ?? 5_000, headerBytes: raw.proxy_protocol.header_bytes ?? 4096 } }),
    tcpUnavailable: raw.tcp_unavailable ?? "close",
    ...(raw.udp_responses === undefined ? {} : { udpResponses: raw.udp_responses }),
    maxClients: raw.max_clients ?? 10_000,
    maxClientsPerIp: raw.max_clients_per_ip ?? 0,
    http2: {
      enabled: http2.enabled,
      maxStreams: http2.max_concurrent_streams,
      streamWindow: http2.stream_window,
      connectionWindow: http2.connection_window,
      continuations: http2.continuations,
      resets: http2.resets,
      resetsPerSecond: http2.resets_per_second,
      glitches: http2.glitches,
      glitchesPerSecond: http2.glitches_per_second,
    },
    accessLog: raw.access_log ?? true,
    underscoreNames: raw.underscore_names ?? "reject",
    ...(tls === undefined ? {} : { tls }),
    ...(raw.redirect_https === undefined || raw.redirect_https === false ? {} : { redirectHttps: raw.redirect_https === true ? 443 : raw.redirect_https }),
    timeouts: {
      tlsHandshake: timeouts.tls_handshake,
      clientHeader: timeouts.client_header,
      clientBody: timeouts.client_body,
      clientIdle: timeouts.client_idle,
      request: timeouts.request,
      tunnelIdle: timeouts.tunnel_idle,
      udpIdle: timeouts.udp_idle,
    },
    limits: { headerBytes: limits.header_bytes, headerCount: limits.header_count, requestLineBytes: limits.request_line_bytes, bodyBytes: limits.body_bytes, clientHelloBytes: limits.client_hello_bytes },
    forwarding: {
      xForwarded: forwarding.x_forwarded,
      forwarded: forwarding.forwarded,
      via: forwarding.via,
      requestId: forwarding.request_id,
      trustedProxies: forwarding.trusted_proxies,
    },
  };
}

/** Metrics of listeners and routes. */
import { CAUSE_NUMBERS } from "../observability/cause.ts";
import { routeLabel } from "../routing/router.ts";
import { BYTES_RECEIVED, BYTES_SENT, CAUSES_OF_END, OTHER_ROUTES, TOTAL_CLIENTS, TOTAL_H2_CONNECTIONS, TOTAL_H2_GOAWAYS_RECEIVED, TOTAL_H2_GOAWAYS_SENT, TOTAL_H2_RESETS_RECEIVED, TOTAL_H2_RESETS_SENT, TOTAL_H2_STREAMS, TOTAL_TLS_FULL, TOTAL_TLS_RESUMED } from "../scoreboard/scoreboard.ts";
import { causes, durations, ended, gauge, type Kind, type Row, total, totals } from "./counted.ts";
import type { Family } from "./family.ts";

const LISTENERS: Kind = {
  prefix: "listener",
  labels: ["listener"],
  table: ({ scoreboard }) => scoreboard.listeners,
  rows: ({ snapshot }) => snapshot().listeners.map(({ name, slot }) => ({ slot, labels: { listener: name } })),
};

const ROUTES: Kind = {
  prefix: "route",
  labels: ["route"],
  table: ({ scoreboard }) => scoreboard.routes,
  rows: ({ snapshot }) => {
    const rows: Row[] = [];
    let others = false;
    for (const route of snapshot().routes) {
      if (route.slot === OTHER_ROUTES) others = true;
      else rows.push({ slot: route.slot, labels: { route: routeLabel(route) } });
    }
    if (others) rows.push({ slot: OTHER_ROUTES, labels: { route: "(others)" } });
    return rows;
  },
};

const ofEnd = (cause: keyof typeof CAUSE_NUMBERS): number => CAUSES_OF_END + CAUSE_NUMBERS[cause];

export const LISTENER_FAMILIES: readonly Family[] = [
  ended(LISTENERS, "Requests (tcp: connections, udp: flows) that have ended, by class of the status that the client got; failed: without one; done: well, where there are no statuses."),
  durations(LISTENERS, "request_duration", "From a request's head (tcp: a connection's begin) to the last byte for its client."),
  causes(LISTENERS, "failures", "Requests, connections and handshakes that ended otherwise than they should, by cause.", CAUSES_OF_END),
  gauge(LISTENERS, "open_clients", "Client connections that are open.", (slot, { scoreboard }) => scoreboard.clientsOf(slot)),
  total(LISTENERS, "clients", "Client connections (udp: clients) that were accepted, those that were turned away at once too.", TOTAL_CLIENTS),
  total(LISTENERS, "received_bytes", "Bytes from clients, as they are without TLS.", BYTES_RECEIVED),
  total(LISTENERS, "sent_bytes", "Bytes to clients, as they are without TLS.", BYTES_SENT),
  totals(LISTENERS, "tls_handshakes", "TLS handshakes with clients that succeeded: full, or resumed from a session before.", "kind", { full: TOTAL_TLS_FULL, resumed: TOTAL_TLS_RESUMED }),
  totals(LISTENERS, "tls_handshake_failures", "TLS handshakes with clients that failed, by cause.", "cause", Object.fromEntries((["tls-handshake-failed", "tls-handshake-timeout", "client-certificate-missing", "client-certificate-refused"] as const).map((cause) => [cause, ofEnd(cause)]))),
  total(LISTENERS, "h2_connections", "HTTP/2 connections of clients.", TOTAL_H2_CONNECTIONS),
  total(LISTENERS, "h2_streams", "HTTP/2 streams of clients.", TOTAL_H2_STREAMS),
  totals(LISTENERS, "h2_resets", "RST_STREAM frames from clients and to them.", "direction", { received: TOTAL_H2_RESETS_RECEIVED, sent: TOTAL_H2_RESETS_SENT }),
  totals(LISTENERS, "h2_goaways", "GOAWAY frames from clients and to them.", "direction", { received: TOTAL_H2_GOAWAYS_RECEIVED, sent: TOTAL_H2_GOAWAYS_SENT }),
  {
    name: "fairlead_listener_certificate_expiry_timestamp_seconds",
    type: "gauge",
    help: "When a certificate that a listener shows expires, in seconds since 1970; of several with the same first name the one that expires first.",
    labels: ["listener", "certificate"],
    read: ({ snapshot }) =>
      snapshot().listeners.flatMap(({ name, tls }) => {
        const first = new Map<string, number>();
        for (const { names, notAfter } of tls?.certificates ?? []) first.set(names[0] ?? "", Math.min(first.get(names[0] ?? "") ?? Infinity, notAfter));
        return [...first].map(([certificate, notAfter]) => ({ labels: { listener: name, certificate }, value: notAfter / 1000 }));
      }),
  },
];

export const ROUTE_FAMILIES: readonly Family[] = [
  ended(ROUTES, "Requests that a route matched and that have ended, by class of the status that the client got."),
  durations(ROUTES, "request_duration", "From a request's head to the last byte for its client."),
];

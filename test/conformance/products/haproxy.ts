/** HAProxy with kept connections to back ends and the fields that say who asked. Everything else is as it comes. */
import type { Product } from "./product.ts";
import { firstLine, startPeer } from "./peer-process.ts";

export const haproxy: Product = {
  name: "HAProxy",
  protocols: ["h1", "h2c"],
  version: () => firstLine(["haproxy", "-v"])?.replace(/^(HAProxy) version (\S+).*$/, "$1 $2"),
  install: "apt-get install haproxy",
  start: (lanes, protocol) =>
    startPeer(
      lanes,
      () => `global
  nbthread 1
  maxconn 1000
  no strict-limits
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 5s
  timeout tunnel 10s
  http-reuse safe
${lanes
  .map(
    ({ port, backend }, i) => `frontend f${i}
  bind 127.0.0.1:${port}
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request add-header Via "1.1 haproxy"
  default_backend b${i}
backend b${i}
  server s ${backend}${protocol === "h2c" ? " proto h2" : ""}
`,
  )
  .join("")}`,
      (file) => ["haproxy", "-db", "-f", file],
    ),
};

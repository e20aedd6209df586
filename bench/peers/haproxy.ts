/** HAProxy with one thread: connections to the back ends always reused. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { accepts, startPinned, waitUntil } from "../processes.ts";
import { CERTIFICATE, firstLine, type Peer } from "./peer.ts";

export const haproxy: Peer = {
  name: "HAProxy",
  version: () => firstLine(["haproxy", "-v"]),
  install: "apt-get install haproxy",
  async start(directory, ports, backends) {
    const servers = backends.ports.map((port, index) => `  server b${index} 127.0.0.1:${port}`).join("\n");
    const file = join(directory, "haproxy.cfg");
    writeFileSync(
      file,
      `global
  nbthread 1
  maxconn 12000
  no strict-limits
defaults
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  timeout http-keep-alive 600s
frontend web
  mode http
  bind 127.0.0.1:${ports.http} backlog 4096
  bind 127.0.0.1:${ports.https} backlog 4096 ssl crt ${join(directory, CERTIFICATE.both)} alpn h2,http/1.1
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  default_backend web
backend web
  mode http
  balance roundrobin
  http-reuse always
${servers}
frontend multiplexed
  mode http
  bind 127.0.0.1:${ports.h2c} backlog 4096 proto h2
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  default_backend multiplexed
backend multiplexed
  mode http
  balance roundrobin
  http-reuse always
${backends.h2c.map((port, index) => `  server m${index} 127.0.0.1:${port} proto h2`).join("\n")}
frontend held
  mode http
  bind 127.0.0.1:${ports.held} backlog 4096 proto h2
  default_backend held
backend held
  mode http
  http-reuse always
  server h0 127.0.0.1:${backends.silent} proto h2
frontend raw
  mode tcp
  bind 127.0.0.1:${ports.tcp} backlog 4096
  default_backend raw
backend raw
  mode tcp
  balance roundrobin
${servers}
`,
    );
    const child = startPinned(0, ["haproxy", "-db", "-f", file], directory);
    await waitUntil("HAProxy", () => accepts(ports.http));
    return child.pid!;
  },
};

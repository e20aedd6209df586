/** nginx with one worker: keep-alive to the back ends, unbuffered uploads, buffers that hold a 1 MiB reply's pace. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { accepts, childrenOf, startPinned, waitUntil } from "../processes.ts";
import { CERTIFICATE, firstLine, type Peer } from "./peer.ts";

const STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so";

export const nginx: Peer = {
  name: "nginx",
  // It speaks HTTP/1 to back ends only.
  lacks: ["h2c", "held"],
  version: () => firstLine(["nginx", "-v"]),
  install: "apt-get install nginx-light libnginx-mod-stream",
  async start(directory, ports, backends) {
    const servers = backends.ports.map((port) => `server 127.0.0.1:${port};`).join(" ");
    const file = join(directory, "nginx.conf");
    const stream = existsSync(STREAM);
    writeFileSync(
      file,
      `${stream ? `load_module ${STREAM};` : ""}
user root; daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid ${directory}/nginx.pid; error_log ${directory}/nginx.err;
events { worker_connections 20000; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s; client_max_body_size 0; http2_max_concurrent_streams 100;
  client_body_temp_path ${directory}/nginx-body; proxy_temp_path ${directory}/nginx-proxy;
  upstream backends { ${servers} keepalive 256; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${ports.http} backlog=4096;
    listen 127.0.0.1:${ports.https} ssl http2 backlog=4096;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate ${join(directory, CERTIFICATE.certificate)}; ssl_certificate_key ${join(directory, CERTIFICATE.key)};
    location / {
      proxy_pass http://backends; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host;
      proxy_request_buffering off; proxy_buffers 16 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 512k; proxy_max_temp_file_size 0;
    }
  }
}
${stream ? `stream { upstream backends { ${servers} } server { listen 127.0.0.1:${ports.tcp} backlog=4096; proxy_pass backends; proxy_buffer_size 64k; } }` : ""}
`,
    );
    const child = startPinned(0, ["nginx", "-c", file], directory);
    await waitUntil("nginx", async () => (await accepts(ports.http)) && childrenOf(child.pid!).length > 0);
    return childrenOf(child.pid!)[0]!;
  },
};

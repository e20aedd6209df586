/**
 * nginx as its documentation sets up a reverse proxy: kept connections to back ends, WebSocket (nginx.org, "WebSocket proxying"), the fields that say
 * who asked. Everything else is as it comes.
 */
import type { Product } from "./product.ts";
import { firstLine, startPeer } from "./peer-process.ts";

export const nginx: Product = {
  name: "nginx",
  protocols: ["h1"],
  version: () => firstLine(["nginx", "-v"])?.replace(/^nginx version: nginx\//, "nginx "),
  install: "apt-get install nginx-light",
  start: (lanes) =>
    startPeer(
      lanes,
      (directory) => `${process.getuid?.() === 0 ? "user root;" : ""} daemon off; worker_processes 1; pid ${directory}/nginx.pid; error_log ${directory}/error.log;
events { worker_connections 1024; }
http {
  access_log off; client_body_temp_path ${directory}/body; proxy_temp_path ${directory}/proxy; fastcgi_temp_path ${directory}/fastcgi; uwsgi_temp_path ${directory}/uwsgi; scgi_temp_path ${directory}/scgi;
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  map $http_via $via { default "$http_via, 1.1 nginx"; '' "1.1 nginx"; }
  proxy_http_version 1.1; proxy_set_header Host $http_host;
  proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; proxy_set_header Via $via;
  proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
${lanes.map(({ port, backend }, i) => `  upstream u${i} { server ${backend} max_fails=0; keepalive 8; }\n  server { listen 127.0.0.1:${port}; location / { proxy_pass http://u${i}; } }`).join("\n")}
}
`,
      (file) => ["nginx", "-c", file],
    ),
};

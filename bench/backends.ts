/** The back ends of every case: one nginx on core 1 that listens on several ports. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentBackend } from "./held.ts";
import type { Backends } from "./peers/peer.ts";
import { accepts, startPinned, waitUntil } from "./processes.ts";

/** @param h2c ports on which it speaks HTTP/2 @param silent where nobody answers */
export async function startBackends(directory: string, ports: readonly number[], h2c: readonly number[], silent: number): Promise<Backends> {
  mkdirSync(join(directory, "f"));
  writeFileSync(join(directory, "f/100k"), Buffer.alloc(100 * 1024, "x"));
  writeFileSync(join(directory, "f/1m"), Buffer.alloc(1024 * 1024, "x"));
  const file = join(directory, "backends.conf");
  writeFileSync(
    file,
    `user root; daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid ${directory}/backends.pid; error_log ${directory}/backends.err;
events { worker_connections 20000; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s; client_max_body_size 0; client_body_temp_path ${directory}/backends-body;
  server {
    ${ports.map((port) => `listen 127.0.0.1:${port} backlog=4096;`).join(" ")} ${h2c.map((port) => `listen 127.0.0.1:${port} http2 backlog=4096;`).join(" ")}
    location / { return 200 "hello from a back end\\n"; }
    location /f/ { alias ${directory}/f/; }
  }
}
`,
  );
  startPinned(1, ["nginx", "-c", file], directory);
  await waitUntil("the back ends", () => accepts(ports[0]!));
  silentBackend(silent);
  return { ports, h2c, silent };
}

/** Fairlead with one worker, everything on that is on by default. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import packageJson from "../../package.json";
import { accepts, childrenOf, startPinned, waitUntil } from "../processes.ts";
import { CERTIFICATE, type Peer } from "./peer.ts";

const BINARY = join(import.meta.dir, "../../bin/fairlead");

export const fairlead: Peer = {
  name: "Fairlead",
  version: () => `Fairlead ${packageJson.version} on Bun ${Bun.version}`,
  install: "npm ci",
  async start(directory, ports, backends) {
    const targets = (of: readonly number[]): string => of.map((port) => `{ address = "127.0.0.1:${port}" }`).join(", ");
    const file = join(directory, "fairlead.toml");
    writeFileSync(
      file,
      `workers = 1
[[listeners]]
name = "http"
address = "127.0.0.1:${ports.http}"
upstream = "backends"
max_clients = 20000
[[listeners]]
name = "https"
address = "127.0.0.1:${ports.https}"
upstream = "backends"
tls = { certificates = [{ certificate = "${CERTIFICATE.certificate}", key = "${CERTIFICATE.key}" }] }
[[listeners]]
name = "h2c"
address = "127.0.0.1:${ports.h2c}"
upstream = "multiplexed"
[[listeners]]
name = "held"
address = "127.0.0.1:${ports.held}"
upstream = "silent"
[[listeners]]
name = "tcp"
address = "127.0.0.1:${ports.tcp}"
protocol = "tcp"
upstream = "backends"
[[upstreams]]
name = "backends"
targets = [${targets(backends.ports)}]
[[upstreams]]
name = "multiplexed"
protocol = "h2c"
targets = [${targets(backends.h2c)}]
[[upstreams]]
name = "silent"
protocol = "h2c"
targets = [${targets([backends.silent])}]
`,
    );
    const child = startPinned(0, [BINARY, "run", "--config", file, "--runtime-dir", join(directory, "run")], directory);
    await waitUntil("Fairlead", async () => (await accepts(ports.http)) && childrenOf(child.pid!).length > 0);
    return childrenOf(child.pid!)[0]!;
  },
};

/** The demo's balancer: the real supervisor and a real worker, in front of the demo's back ends. */
import { loadConfigText } from "../../config/load.ts";
import { ServiceLog } from "../../observability/log.ts";
import { Supervisor } from "../../supervisor/supervisor.ts";
import { selfCommand } from "../self.ts";

export interface Balancer {
  stop(): Promise<void>;
}

/** @param targets addresses of the back ends @throws AdminUnavailable when another has taken that port meanwhile */
export async function startBalancer(port: number, adminPort: number, targets: readonly string[]): Promise<Balancer> {
  const config = `
workers = 1
drain_timeout = "2s"
[admin]
address = "127.0.0.1:${adminPort}"
[[listeners]]
name = "demo"
address = "127.0.0.1:${port}"
upstream = "spells"
health_path = "/health"
[[upstreams]]
name = "spells"
retries = 2
[upstreams.health_check]
path = "/healthz"
interval = "250ms"
timeout = "500ms"
rise = 1
fall = 1
${targets.map((address) => `[[upstreams.targets]]\naddress = "${address}"`).join("\n")}
`;
  const supervisor = await Supervisor.start({
    load: (options) => loadConfigText(config, "demo", options),
    identity: `demo ${process.pid}`,
    self: selfCommand(),
    args: [],
    logs: new ServiceLog("text"),
    logFormat: "text",
    // However the demo ends, nothing of it stays.
    alone: "end",
  });
  return { stop: () => supervisor.stop() };
}

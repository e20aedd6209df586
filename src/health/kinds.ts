/** The kinds of health check that there are. A new kind is a file of its own and a line here. */
import type { HealthCheckConfig, TargetConfig } from "../config/snapshot.ts";
import { agentCheck } from "./agent.ts";
import type { CheckKind } from "./check.ts";
import { commandCheck } from "./command.ts";
import { grpcCheck } from "./grpc.ts";
import { httpCheck, httpCheckPath } from "./http.ts";
import { tcpCheck } from "./tcp.ts";

const KINDS: Readonly<Record<HealthCheckConfig["type"], CheckKind>> = {
  http: httpCheck,
  tcp: tcpCheck,
  grpc: grpcCheck,
  command: commandCheck,
  agent: agentCheck,
};

/** The kind of a target's check. An http check without a path to ask for (short form) is a tcp check. */
export function kindOf(target: TargetConfig, config: HealthCheckConfig): CheckKind {
  if (config.type === "http" && httpCheckPath(target, config) === "") return KINDS.tcp;
  return KINDS[config.type];
}

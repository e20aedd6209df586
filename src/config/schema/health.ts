/** How it is known who can serve. */
import { z } from "zod";
import { key } from "./key.ts";
import { duration, fieldValue, headerName, path, percent, whole } from "./types.ts";

export const healthCheck = z.strictObject({
  type: key(z.enum(["http", "tcp", "grpc", "command", "agent"]), "http asks for a path; tcp only connects; grpc asks grpc.health.v1; command runs a program; agent reads a line of HAProxy's agent-check.", "http"),
  interval: key(duration, "Between two checks of a target, ± 10 %.", "5s"),
  timeout: key(duration, "A check that takes longer has failed.", "2s"),
  rise: key(whole(1, 100), "Successes in a row that bring a target back.", 2),
  fall: key(whole(1, 100), "Failures in a row that take it out.", 3),
  initial: key(z.enum(["up", "down"]), "Before its first check a target is in rotation, or not.", "up"),
  path: key(path, "What is asked for.", "/"),
  method: key(z.enum(["GET", "HEAD", "OPTIONS"]), "How it is asked.", "GET"),
  host: key(fieldValue, "The Host header; absent: the target's address."),
  headers: key(z.record(headerName, fieldValue), "Further headers."),
  statuses: key(z.array(whole(100, 599)), "Statuses that pass; absent: every 2xx and 3xx."),
  body_contains: key(z.string().min(1), "Text that the first 64 KiB of the body must contain."),
  port: key(whole(1, 65_535), "Another port to check than the one that is balanced to."),
  service: key(z.string(), "grpc: the service that is asked for; absent: the server as a whole."),
  command: key(z.array(z.string().min(1)).min(1), "command: program and arguments; exit code 0 passes. FAIRLEAD_HOST, FAIRLEAD_PORT and FAIRLEAD_TARGET are in its environment."),
  tls: key(z.boolean(), "http, tcp and grpc: over TLS; absent: as the upstream."),
  send: key(z.string(), "agent: text to send before the line is read."),
});

export const outlierDetection = z.strictObject({
  consecutive_5xx: key(whole(0, 1000), "Statuses 500 to 599 and failures in a row that eject a target; 0: off.", "5 (off without this table)"),
  consecutive_gateway: key(whole(0, 1000), "Statuses 502, 503 and 504 and failures in a row; 0: off.", 5),
  consecutive_local: key(whole(0, 1000), "Failed connects, resets and timeouts in a row; 0: off.", 5),
  success_rate_factor: key(z.number().min(0).max(10), "Ejects below mean − factor × standard deviation of all targets' success rates; 0: off.", "1.9 (off without this table)"),
  success_rate_min_targets: key(whole(2, 10_000), "Targets with enough requests that it takes.", 5),
  success_rate_min_requests: key(whole(1, 1_000_000), "Requests in an interval that are enough.", 100),
  interval: key(duration, "Between two looks at success rates, and before an ejection is forgotten.", "10s"),
  base_ejection: key(duration, "The first ejection's time; the n-th takes n times as long.", "30s"),
  max_ejection: key(duration, "The longest ejection.", "300s"),
  max_ejected: key(percent, "Of an upstream's targets; one may be ejected in any case, the last one never.", "10%"),
});

export const heartbeat = z.strictObject({
  ttl: key(duration, "How long a beat is good for when it does not say.", "15s"),
  register: key(z.boolean(), "Back ends that are not in this file may join by beating.", true),
});

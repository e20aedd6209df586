/** The configuration of a soak: much of what there is at once, in variants that reloads go back and forth between. */

export interface Ports {
  readonly http: number;
  readonly https: number;
  readonly tcp: number;
  readonly udp: number;
  readonly admin: number;
  /** Of the two processes of targets, by what they speak. */
  readonly targets: Readonly<Record<"http" | "h2c" | "tcp" | "udp", readonly number[]>>;
}

/** `wrong` is refused. */
export type Variant = "first" | "second" | "wrong";

function targets(ports: readonly number[], weight: number): string {
  return `targets = [${ports.map((port, index) => `{ address = "127.0.0.1:${port}", weight = ${index === 0 ? weight : 1} }`).join(", ")}]`;
}

/** What is kept is let go after seconds, so that it comes and goes all the time and is gone soon after the last request. */
export function configuration({ http, https, tcp, udp, admin, targets: of }: Ports, variant: Variant): string {
  const second = variant === "second";
  return `
workers = ${variant === "wrong" ? '"none"' : 2}
timeouts = { client_idle = "${second ? 4 : 3}s", udp_idle = "1s" }

[admin]
address = "127.0.0.1:${admin}"

# What clients do wrong is in the access log.
[log.modules]
http = "error"
tcp = "error"
tls = "error"

[access_log]
format = "json"
path = "access.log"
rotate_size = "2MiB"
keep = 2

[exchanges]
slow = "${second ? 400 : 300}ms"
keep = 100

[[listeners]]
name = "http"
address = "127.0.0.1:${http}"

[[listeners]]
name = "https"
address = "127.0.0.1:${https}"
[listeners.tls]
hsts = "1d"
[[listeners.tls.certificates]]
certificate = "server.pem"
key = "server.key"

[[listeners]]
name = "tcp"
address = "127.0.0.1:${tcp}"
protocol = "tcp"
upstream = "tcp"

[[listeners]]
name = "udp"
address = "127.0.0.1:${udp}"
protocol = "udp"
upstream = "udp"

[[routes]]
name = "web"
path_prefix = "/w"
upstream = "web"

[[routes]]
name = "sticky"
path_prefix = "/s"
upstream = "sticky"

[[routes]]
name = "to-h2"
path_prefix = "/h"
upstream = "h2"
${second ? '\n[[routes]]\nname = "more"\npath_prefix = "/more"\nupstream = "web"\n' : ""}
[[upstreams]]
name = "web"
policy = "${second ? "p2c" : "least-connections"}"
retries = 3
retry_budget_min = 20
timeouts = { idle = "1s" }
health_check = { path = "/w/", interval = "500ms", rise = 1, fall = 2 }
circuit_breaker = { failure_rate = "95%" }
hedge = { percentile = 99 }
${targets(of.http, second ? 3 : 1)}

[[upstreams]]
name = "sticky"
policy = "hash"
hash_key = "uri"
timeouts = { idle = "1s" }
health_check = { path = "/s/", interval = "500ms", rise = 1, fall = 2 }
sticky = { secret = "of a soak, nothing to hide" }
${targets(of.http, 1)}

[[upstreams]]
name = "h2"
policy = "peak-ewma"
protocol = "h2c"
retries = 3
retry_budget_min = 20
timeouts = { idle = "1s" }
health_check = { type = "tcp", interval = "500ms", rise = 1, fall = 2 }
${targets(of.h2c, second ? 2 : 1)}

[[upstreams]]
name = "tcp"
policy = "ip-hash"
health_check = { type = "tcp", interval = "500ms", rise = 1, fall = 2 }
${targets(of.tcp, 1)}

[[upstreams]]
name = "udp"
policy = "random"
${targets(of.udp, 1)}
`;
}

/** `[[upstreams]]`. */
import { z } from "zod";
import { parseHashKey } from "../values.ts";
import { healthCheck, heartbeat, outlierDetection } from "./health.ts";
import { key } from "./key.ts";
import { supervised } from "./supervised.ts";
import { target } from "./target.ts";
import { upstreamTls } from "./tls.ts";
import { duration, name, optionalDuration, parsed, path, percent, size, someSize, token, whole } from "./types.ts";

const upstreamTimeouts = z.strictObject({
  connect: key(duration, "To connect to a target; then the next one, else 504.", "5s"),
  response: key(optionalDuration, "From a request's last byte to the reply's first; then 504.", "60s"),
  attempt: key(optionalDuration, "The same for one attempt: then an idempotent request is tried on another target.", "off"),
  body: key(optionalDuration, "Between two reads of a reply's body, and between two writes of a request that the target does not read.", "30s"),
  idle: key(duration, "A pooled connection without a request; keep it below the target's own.", "30s"),
});

const upstreamLimits = z.strictObject({
  header_bytes: key(someSize, "All of a reply's head; more is 502.", "64KiB"),
  header_count: key(whole(1, 1000), "Fields in a reply's head; more is 502.", 200),
});

const sticky = z.strictObject({
  cookie: key(z.string().regex(token, { error: "a cookie's name is a token: no spaces, no separators" }), "The cookie's name.", "fairlead"),
  path: key(path, "Its Path.", "/"),
  domain: key(z.string().regex(/^[A-Za-z0-9.-]+$/, { error: "a domain is a host name" }), "Its Domain; absent: the host that was asked."),
  max_age: key(optionalDuration, "Its Max-Age, in whole seconds; off: until the browser closes.", "off"),
  secure: key(z.boolean(), "Sent over TLS only.", false),
  http_only: key(z.boolean(), "Hidden from scripts.", true),
  same_site: key(z.enum(["strict", "lax", "none"]), "Its SameSite; none needs secure.", "lax"),
  secret: key(z.string().min(16, { error: "a secret has at least 16 characters" }), "Signs the cookie; the same on every node of a fleet. Absent: made once and kept by this machine."),
  while_draining: key(z.enum(["stay", "move"]), "Clients of a draining target stay until its deadline, or move at once.", "stay"),
});

const hedge = z.strictObject({
  percentile: key(z.number().min(50).max(99.9), "Sent when an idempotent request takes longer than so many percent of this upstream's.", 95),
  min_delay: key(duration, "Never sooner than this.", "2ms"),
});

const circuitBreaker = z.strictObject({
  failure_rate: key(percent, "Of the requests in a window: opens the circuit.", "50%"),
  min_requests: key(whole(1, 1_000_000), "A window with fewer requests opens nothing.", 20),
  window: key(duration, "Over which failures are counted.", "10s"),
  open_for: key(duration, "Requests are answered 503 for this long; then some are let through.", "5s"),
  probes: key(whole(1, 1000), "So many must succeed to close it again.", 3),
});

export const upstream = z.strictObject({
  name: name.meta({ description: "How listeners and routes call it." }),
  policy: key(z.string(), 'A built-in policy, or a file of your own ("./my-policy.ts").', "round-robin"),
  policy_timeout: key(duration, "How long a policy of your own may take; then round robin decides.", "1s"),
  hash_key: key(parsed(parseHashKey, '"client-ip", "uri", "path", "header:NAME", "cookie:NAME" or "query:NAME"'), "What policy hash goes by.", "client-ip"),
  hash_method: key(z.enum(["ketama", "maglev", "rendezvous"]), "How hash and ip-hash choose, so that few clients move when targets come and go.", "ketama"),
  bounded_load: key(z.union([z.number().min(1.01).max(100), z.literal(0)]), "With hash and ip-hash: no target gets more than this many times its share of the open requests; 0: no bound.", 0),
  sticky: key(sticky, "Clients stay with a target, by a signed cookie; absent: they do not."),
  prefer_zone: key(z.boolean(), "Use the targets of this instance's zone first, as long as enough of them are healthy.", false),
  overprovisioning: key(z.number().min(1).max(10), "A tier takes this many times its healthy share; what is left spills over to the next one.", 1.4),
  panic_threshold: key(percent, "When fewer of a tier's targets are healthy, all are used; none healthy is 503 all the same.", "50%, with fewer than 4 targets off"),
  slow_start: key(optionalDuration, "How long a target that comes back takes from a tenth of its weight to all of it.", "off"),
  drain_timeout: key(duration, "How long a draining target may keep what is open, and its sticky clients.", "30s"),
  host_header: key(z.string().min(1), 'The Host that targets see: "client", "target" (its address) or a fixed text.', "client"),
  protocol: key(z.enum(["h1", "h2", "h2c", "auto"]), "What http requests are sent as: HTTP/1.1; HTTP/2 over TLS; HTTP/2 in the clear by prior knowledge; or, over TLS, whichever of the two the target chooses (ALPN).", "h1"),
  max_concurrent_streams: key(whole(1, 10_000), "With HTTP/2: requests on one connection at a time; the target may allow fewer. More open another connection.", 100),
  pool_size: key(whole(0, 100_000), "Idle connections kept for each target and worker.", 256),
  retries: key(whole(0, 10), "Further attempts after the first; 0: none. Requests that may have had an effect are never sent twice.", 1),
  retry_on: key(
    z.array(z.union([z.enum(["connect-failure", "reset", "timeout", "grpc-cancelled", "grpc-deadline-exceeded", "grpc-internal", "grpc-resource-exhausted", "grpc-unavailable"]), whole(400, 599)])),
    "What is tried again: connects that fail, connections that end before a reply, no reply in timeouts.attempt, statuses; and gRPC calls, whatever they do, that are answered with such a status and nothing else.",
    ["connect-failure", "reset", "timeout"],
  ),
  retry_backoff: key(optionalDuration, "Before another attempt: at random from 0 to this, doubled with each; a target that refused is left at once.", "25ms"),
  retry_backoff_max: key(duration, "The longest of those pauses.", "250ms"),
  retry_buffer: key(size, "So much of a request's body is kept to be sent once more.", "64KiB"),
  retry_budget: key(percent, "So many of the open requests may be retries and hedges at a time.", "20%"),
  retry_budget_min: key(whole(0, 10_000), "So many may be at any rate.", 3),
  hedge: key(hedge, "Send slow idempotent requests to a second target too, and take the first answer; absent: never."),
  max_connections: key(whole(0, 1_000_000), "Open connections to each target over all workers; 0: no limit.", 0),
  max_requests: key(whole(0, 1_000_000), "Open requests to each target over all workers; 0: no limit.", 0),
  queue_size: key(whole(0, 1_000_000), "Requests that may wait while all targets are full; more are told 503.", 1024),
  queue_timeout: key(duration, "How long they wait; then 503.", "15s"),
  circuit_breaker: key(circuitBreaker, "Answers 503 while too many requests fail; absent: never."),
  timeouts: key(upstreamTimeouts, "Timeouts towards targets."),
  limits: key(upstreamLimits, "Limits on replies."),
  tls: key(z.union([upstreamTls, z.boolean()]), "Targets are spoken to over TLS; true: with what is usual; absent: in the clear."),
  proxy_protocol: key(z.enum(["v1", "v2"]), "Each connection to a target begins with a PROXY protocol header that names the client; absent: none does."),
  health_check: key(healthCheck, "How targets are watched; absent: they are not."),
  outlier_detection: key(z.union([outlierDetection, z.literal(false)]), "Takes targets out that fail real requests; absent: in a mild form; false: never."),
  heartbeat: key(heartbeat, "Back ends report themselves on the admin address; absent: they cannot."),
  supervised: key(supervised, "Back ends that Fairlead starts, watches and replaces."),
  targets: key(z.array(target), "The addresses that it balances over."),
});

/** How an upstream chooses: what is said of that is said all at once. */
export const policyKeys = upstream.pick({ policy: true, policy_timeout: true, hash_key: true, hash_method: true, bounded_load: true });

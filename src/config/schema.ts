/**
 * Every key of the config with its type, range, default and explanation. The JSON Schema for editors is made from this,
 * and so are the defaults: what is not written here does not exist.
 */
import { z } from "zod";
import { isBlock, parseAddress, parseDuration, parseSize } from "./values.ts";

/** Defaults as people write them, for the JSON Schema; kept apart from zod's own so that tables can inherit. */
const written = new WeakMap<z.core.$ZodType, unknown>();

/** A key that may be absent: then `fallback` applies. */
function key<T extends z.ZodType>(type: T, description: string, fallback?: unknown): z.ZodOptional<T> {
  const optional = type.optional().meta({ description });
  if (fallback !== undefined) written.set(optional, fallback);
  return optional;
}

/** A text that `parse` turns into something else; undefined is refused with what was expected. */
function parsed<T>(parse: (text: string) => T | undefined, expected: string, pattern?: string): z.ZodPipe<z.ZodString, z.ZodTransform<T, string>> {
  return z
    .string()
    .meta(pattern === undefined ? {} : { pattern })
    .transform((text, context): T => {
      const value = parse(text);
      if (value !== undefined) return value;
      context.addIssue({ code: "custom", message: `"${text}" is not ${expected}` });
      return z.NEVER;
    });
}

const DURATION = String.raw`^(off|0|(\d+(\.\d+)?(ms|s|m|h|d))+)$`;
const SIZE = String.raw`^(off|\d+(\.\d+)?\s?(B|KiB|MiB|GiB|KB|MB|GB)?)$`;
const optionalDuration = parsed(parseDuration, 'a duration, as "250ms", "5s", "1m" or "off"', DURATION);
const duration = parsed((text) => parseDuration(text) || undefined, 'a duration above zero, as "250ms", "5s" or "1m"', DURATION);
const size = z.union([parsed(parseSize, 'a size, as "64KiB", "1MiB" or "off"', SIZE), z.number().int().min(0)]);
const someSize = z.union([parsed((text) => parseSize(text) || undefined, 'a size above zero, as "64KiB" or "1MiB"', SIZE), z.number().int().min(1)]);
const listenAddress = parsed((text) => parseAddress(text, true), 'an address, as "0.0.0.0:8080", ":8080", "[::]:8080" or "unix:/run/x.sock"');
const targetAddress = z.string().refine((text) => parseAddress(text, false) !== undefined && !text.startsWith(":"), {
  error: (issue) => `"${String(issue.input)}" is not an address, as "127.0.0.1:9001", "host:80", "[::1]:9001" or "unix:/run/x.sock"`,
});
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, { error: "a name has letters, digits, dots, dashes and underscores, and starts with a letter or digit" });
const path = z.string().regex(/^\/[\x21-\x7e]*$/, { error: 'a path starts with "/" and has no spaces' });
const whole = (from: number, to: number): z.ZodNumber => z.number().int().min(from).max(to);
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const fieldValue = z.string().regex(/^[\t\x20-\x7e]*$/, { error: "a header value has printable characters only" });

/** In ms and bytes; the texts beside the keys below say the same to people, and a test holds them together. */
export const DEFAULTS: {
  readonly timeouts: Record<"client_header" | "client_body" | "client_idle" | "request" | "tunnel_idle", number>;
  readonly limits: Record<"header_bytes" | "header_count" | "request_line_bytes" | "body_bytes", number>;
  readonly forwarding: { x_forwarded: boolean; forwarded: boolean; via: boolean; request_id: "off" | "missing" | "always"; trusted_proxies: readonly string[] };
  readonly upstreamTimeouts: Record<"connect" | "response" | "body" | "idle", number>;
  readonly upstreamLimits: Record<"header_bytes" | "header_count", number>;
} = {
  timeouts: { client_header: 10_000, client_body: 30_000, client_idle: 60_000, request: 0, tunnel_idle: 3_600_000 },
  limits: { header_bytes: 32 * 1024, header_count: 100, request_line_bytes: 8 * 1024, body_bytes: 0 },
  forwarding: { x_forwarded: true, forwarded: false, via: true, request_id: "off", trusted_proxies: [] },
  upstreamTimeouts: { connect: 5_000, response: 60_000, body: 30_000, idle: 30_000 },
  upstreamLimits: { header_bytes: 64 * 1024, header_count: 200 },
};

const timeouts = z.strictObject({
  client_header: key(duration, "From the first byte of a request head to its last; then 408.", "10s"),
  client_body: key(duration, "Between two reads of a request body, and between two writes of a reply that the client does not read.", "30s"),
  client_idle: key(optionalDuration, "A keep-alive connection without a request.", "60s"),
  request: key(optionalDuration, "A whole request, from its head to the last byte of its reply; then 504.", "off"),
  tunnel_idle: key(optionalDuration, "A tunnel (WebSocket) or tcp connection without a byte either way.", "1h"),
});

const limits = z.strictObject({
  header_bytes: key(someSize, "All of a request head, and of trailers; more is 431.", "32KiB"),
  header_count: key(whole(1, 1000), "Fields in a head or in trailers; more is 431.", 100),
  request_line_bytes: key(someSize, "The request line; more is 414.", "8KiB"),
  body_bytes: key(size, "A request body; more is 413.", "off"),
});

const forwarding = z.strictObject({
  x_forwarded: key(z.boolean(), "Set X-Forwarded-For, -Proto and -Host.", true),
  forwarded: key(z.boolean(), "Set Forwarded (RFC 7239).", false),
  via: key(z.boolean(), "Add Via to requests.", true),
  request_id: key(z.enum(["off", "missing", "always"]), "X-Request-ID: leave it alone, make one where none is, or always make one.", "off"),
  trusted_proxies: key(
    z.array(z.string().refine(isBlock, { error: (issue) => `"${String(issue.input)}" is not an address or a CIDR block, as "10.0.0.0/8"` })),
    "Proxies before this one whose X-Forwarded-*, Forwarded and X-Request-ID are believed and appended to.",
    [],
  ),
});

const listener = z.strictObject({
  name: key(name, "How logs, metrics and the API call it.", "listener-1, listener-2, …"),
  address: listenAddress.meta({ description: "Where clients connect." }),
  protocol: key(z.enum(["http", "tcp"]), "What clients speak.", "http"),
  upstream: key(z.string(), "Where goes what matches no route; without one that is answered 404."),
  health_path: key(path, "Answered 200 here, without an upstream; 503 while draining."),
  tcp_unavailable: key(z.enum(["close", "http-503"]), "What a tcp client is told when no target is usable.", "close"),
  max_connections: key(whole(1, 10_000_000), "Client connections of this listener over all workers.", 10_000),
  underscore_names: key(z.enum(["allow", "drop", "reject"]), "Header names with an underscore: pass on, leave out, or answer 400.", "reject"),
  timeouts: key(timeouts, "Timeouts of this listener; what is absent is as in the top-level [timeouts]."),
  limits: key(limits, "Limits of this listener; what is absent is as in the top-level [limits]."),
  forwarding: key(forwarding, "What targets are told of the client; what is absent is as in the top-level [forwarding]."),
});

const route = z.strictObject({
  hosts: key(z.array(z.string().regex(/^(\*|(\*\.)?[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])$/, { error: 'a host is a name or "*.name", without scheme, port or path' })), "Any of these; absent: every host."),
  path_prefix: key(path, "Whole segments from the start of the path: /v1 matches /v1 and /v1/x, not /v10."),
  methods: key(z.array(z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Z]+$/, { error: "methods are written in upper case" })), "Any of these; absent: every method."),
  headers: key(z.record(z.string().regex(token), z.union([fieldValue, z.literal(true)])), "All of these: a value, or true for any value."),
  upstream: z.string().meta({ description: "Where to." }),
});

const healthCheck = z.strictObject({
  type: key(z.enum(["http", "tcp"]), "http asks for a path; tcp only connects.", "http"),
  interval: key(duration, "Between two checks of a target, ± 10 %.", "5s"),
  timeout: key(duration, "A check that takes longer has failed.", "2s"),
  rise: key(whole(1, 100), "Successes in a row that bring a target back.", 2),
  fall: key(whole(1, 100), "Failures in a row that take it out.", 3),
  initial: key(z.enum(["up", "down"]), "Before its first check a target is in rotation, or not.", "up"),
  path: key(path, "What is asked for.", "/"),
  method: key(z.enum(["GET", "HEAD", "OPTIONS"]), "How it is asked.", "GET"),
  host: key(fieldValue, "The Host header; absent: the target's address."),
  headers: key(z.record(z.string().regex(token), fieldValue), "Further headers."),
  statuses: key(z.array(whole(100, 599)), "Statuses that pass; absent: every 2xx and 3xx."),
  body_contains: key(z.string().min(1), "Text that the first 64 KiB of the body must contain."),
  port: key(whole(1, 65_535), "Another port to check than the one that is balanced to."),
});

const target = z.strictObject({
  address: targetAddress.meta({ description: "host:port, [v6]:port or unix:/path" }),
  weight: key(whole(0, 1000), "Its share; 0: none.", 1),
});

const upstreamLimits = z.strictObject({
  header_bytes: key(someSize, "All of a reply's head; more is 502.", "64KiB"),
  header_count: key(whole(1, 1000), "Fields in a reply's head; more is 502.", 200),
});

const upstreamTimeouts = z.strictObject({
  connect: key(duration, "To connect to a target; then the next one, else 504.", "5s"),
  response: key(optionalDuration, "From a request's last byte to the reply's first; then 504.", "60s"),
  body: key(optionalDuration, "Between two reads of a reply's body, and between two writes of a request that the target does not read.", "30s"),
  idle: key(duration, "A pooled connection without a request; keep it below the target's own.", "30s"),
});

const upstream = z.strictObject({
  name: name.meta({ description: "How listeners and routes call it." }),
  policy: key(z.string(), 'A built-in policy, or a file of your own ("./my-policy.ts").', "round-robin"),
  policy_timeout: key(duration, "How long a policy of your own may take; then round robin decides.", "1s"),
  host_header: key(z.string().min(1), 'The Host that targets see: "client", "target" (its address) or a fixed text.', "client"),
  pool_size: key(whole(0, 100_000), "Idle connections kept for each target and worker.", 256),
  retries: key(whole(0, 10), "Further attempts after the first; 0: none.", 1),
  timeouts: key(upstreamTimeouts, "Timeouts towards targets."),
  limits: key(upstreamLimits, "Limits on replies."),
  health_check: key(healthCheck, "How targets are watched; absent: they are not."),
  targets: z.array(target).min(1, { error: "an upstream needs at least one target" }).meta({ description: "The addresses that it balances over." }),
});

const shortTarget = z.strictObject({
  address: targetAddress.meta({ description: "host:port, [v6]:port or unix:/path" }),
  weight: key(whole(0, 1000), "Its share; 0: none.", 1),
  health_check_endpoint: key(path, "Asked every 5 s; a 2xx or 3xx passes. Absent: a connect is enough."),
});

export const configSchema = z
  .strictObject({
    workers: key(z.union([z.literal("auto"), whole(1, 256)]), "Data-plane processes; auto: one a core.", "auto"),
    drain_timeout: key(duration, "How long open requests may go on when Fairlead stops.", "30s"),
    max_connections: key(whole(1, 10_000_000), "Client connections over all listeners.", 50_000),
    log: key(
      z.strictObject({
        level: key(z.enum(["debug", "info", "warn", "error"]), "The least that is logged.", "info"),
        access: key(z.boolean(), "One line a request on standard error.", false),
      }),
      "What is logged.",
    ),
    admin: key(z.strictObject({ address: listenAddress.meta({ description: "Where the admin API listens." }) }), "The admin API; absent: off."),
    timeouts: key(timeouts, "Defaults for every listener."),
    limits: key(limits, "Defaults for every listener."),
    forwarding: key(forwarding, "Defaults for every listener."),
    listeners: key(z.array(listener), "Where clients connect."),
    routes: key(z.array(route), "Which upstream a request goes to; the first match wins."),
    upstreams: key(z.array(upstream), "Groups of targets."),
    address: key(listenAddress, "Short form: where clients connect.", "0.0.0.0:80"),
    protocol: key(z.enum(["http", "tcp"]), "Short form: what clients speak.", "http"),
    targets: key(z.array(shortTarget).min(1, { error: "at least one target is needed" }), "Short form: the addresses to balance over, round robin."),
  })
  .meta({ title: "Fairlead configuration", description: "fairlead.toml: listeners, routes and upstreams; or the short form with [[targets]] only." });

export type RawConfig = z.output<typeof configSchema>;
export type RawListener = z.output<typeof listener>;
export type RawUpstream = z.output<typeof upstream>;

/** The published JSON Schema, for editors. */
export function jsonSchema(): object {
  const override = ({ zodSchema, jsonSchema: json }: { zodSchema: z.core.$ZodType; jsonSchema: { default?: unknown } }): void => {
    if (written.has(zodSchema)) json.default = written.get(zodSchema);
  };
  return { ...z.toJSONSchema(configSchema, { io: "input", target: "draft-7", override }), $id: "fairlead.schema.json" };
}

/** The keys that are known at a path of the config; empty where there is no table. */
export function knownKeys(at: readonly PropertyKey[]): readonly string[] {
  let type: z.core.$ZodType = configSchema;
  for (const step of at) {
    type = unwrapped(type);
    if (type instanceof z.ZodArray) type = type.element;
    else if (type instanceof z.ZodObject) {
      const next = (type.shape as Record<string, z.core.$ZodType>)[String(step)];
      if (next === undefined) return [];
      type = next;
    } else return [];
  }
  type = unwrapped(type);
  return type instanceof z.ZodObject ? Object.keys(type.shape as object) : [];
}

function unwrapped(type: z.core.$ZodType): z.core.$ZodType {
  return type instanceof z.ZodOptional ? unwrapped(type.unwrap()) : type;
}

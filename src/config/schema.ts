/**
 * Every key of the config with its type, range, default and explanation. The JSON Schema for editors is made from this,
 * and so are the defaults: what is not written here does not exist.
 */
import { z } from "zod";
import { LOG_LEVELS, LOG_MODULES, type LogModule } from "../observability/log.ts";
import { MAX_BOUNDS } from "../scoreboard/columns.ts";
import { isBlock, parseAddress, parseDuration, parseExactDuration, parseHashKey, parseListenAddress, parseLongDuration, parsePercent, parseSize } from "./values.ts";

/** Defaults as people write them, for the JSON Schema; kept apart from zod's own so that tables can inherit. */
const written = new WeakMap<z.core.$ZodType, unknown>();

/** Shorter ones are guessed, and others cannot be written in a header. */
const MIN_TOKEN = 8;
const TOKEN = /^[\x20-\x7e]*$/;
const TOKEN_RULE = `a token has at least ${MIN_TOKEN} characters, letters, digits and signs of ASCII only`;

/** What is wrong with it as a token; undefined: nothing. */
export function tokenFault(token: string): string | undefined {
  return token.length >= MIN_TOKEN && TOKEN.test(token) ? undefined : TOKEN_RULE;
}

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
const lifetime = parsed((text) => parseLongDuration(text) || undefined, 'a duration above zero, as "12h" or "365d"', DURATION);
const duration = parsed((text) => parseDuration(text) || undefined, 'a duration above zero, as "250ms", "5s" or "1m"', DURATION);
const file = z.string().min(1, { error: "a file's path is not empty" });
const size = z.union([parsed(parseSize, 'a size, as "64KiB", "1MiB" or "off"', SIZE), z.number().int().min(0)]);
const someSize = z.union([parsed((text) => parseSize(text) || undefined, 'a size above zero, as "64KiB" or "1MiB"', SIZE), z.number().int().min(1)]);
const percent = z.union([parsed(parsePercent, 'a percentage, as "50%" or "off"', String.raw`^(off|\d+(\.\d+)?\s?%?)$`), z.number().min(0).max(100)]);
const ADDRESSES = 'an address, as "0.0.0.0:8080", ":8080", "[::]:8080" or "unix:/run/x.sock"';
const listenAddress = parsed((text) => parseAddress(text, true), ADDRESSES);
export const targetAddress = z.string().refine((text) => parseAddress(text, false) !== undefined && !text.startsWith(":"), {
  error: (issue) => `"${String(issue.input)}" is not an address, as "127.0.0.1:9001", "host:80", "[::1]:9001" or "unix:/run/x.sock"`,
});
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, { error: "a name has letters, digits, dots, dashes and underscores, and starts with a letter or digit" });
const path = z.string().regex(/^\/[\x21-\x7e]*$/, { error: 'a path starts with "/" and has no spaces' });
const whole = (from: number, to: number): z.ZodNumber => z.number().int().min(from).max(to);
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const headerName = z.string().regex(token, { error: "this is not a header name" });
const fieldValue = z.string().regex(/^[\t\x20-\x7e]*$/, { error: "a header value has printable characters only" });

const owner = z.union([z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?$/, { error: "a user or group is a name, or a number" }), whole(0, 2 ** 32 - 2)]);

const MIN_LOG_BUFFER = 4 * 1024;
const MAX_LOG_BUFFER = 16 * 1024 ** 2;
const bufferSize = (bytes: number | undefined): number | undefined => (bytes !== undefined && bytes >= MIN_LOG_BUFFER && bytes <= MAX_LOG_BUFFER ? bytes : undefined);

/** In ms and bytes; the texts beside the keys below say the same to people, and a test holds them together. */
export const DEFAULTS: {
  readonly timeouts: Record<"tls_handshake" | "client_header" | "client_body" | "client_idle" | "request" | "tunnel_idle" | "udp_idle", number>;
  readonly limits: Record<"header_bytes" | "header_count" | "request_line_bytes" | "body_bytes" | "client_hello_bytes", number>;
  readonly forwarding: { x_forwarded: boolean; forwarded: boolean; via: boolean; request_id: "off" | "missing" | "always"; trusted_proxies: readonly string[] };
  readonly upstreamTimeouts: Record<"connect" | "response" | "attempt" | "body" | "idle", number>;
  readonly upstreamLimits: Record<"header_bytes" | "header_count", number>;
  readonly metrics: { readonly buckets: readonly number[]; readonly per_target_limit: number };
  readonly http2: { enabled: boolean } & Record<"max_concurrent_streams" | "stream_window" | "connection_window" | "continuations" | "resets" | "resets_per_second" | "glitches" | "glitches_per_second", number>;
} = {
  timeouts: { tls_handshake: 10_000, client_header: 10_000, client_body: 30_000, client_idle: 60_000, request: 0, tunnel_idle: 3_600_000, udp_idle: 60_000 },
  limits: { header_bytes: 32 * 1024, header_count: 100, request_line_bytes: 8 * 1024, body_bytes: 0, client_hello_bytes: 16 * 1024 },
  forwarding: { x_forwarded: true, forwarded: false, via: true, request_id: "off", trusted_proxies: [] },
  upstreamTimeouts: { connect: 5_000, response: 60_000, attempt: 0, body: 30_000, idle: 30_000 },
  upstreamLimits: { header_bytes: 64 * 1024, header_count: 200 },
  metrics: { buckets: [0.5, 1, 2, 3, 5, 7.5, 10, 15, 25, 50, 75, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000], per_target_limit: 1_000 },
  http2: { enabled: true, max_concurrent_streams: 100, stream_window: 64 * 1024, connection_window: 1024 * 1024, continuations: 8, resets: 1_000, resets_per_second: 33, glitches: 10_000, glitches_per_second: 330 },
};

const timeouts = z.strictObject({
  tls_handshake: key(duration, "From a connect to the end of the TLS handshake.", "10s"),
  client_header: key(duration, "From the first byte of a request head to its last; then 408.", "10s"),
  client_body: key(duration, "Between two reads of a request body, and between two writes of a reply that the client does not read.", "30s"),
  client_idle: key(optionalDuration, "A keep-alive connection without a request.", "60s"),
  request: key(optionalDuration, "A whole request, from its head to the last byte of its reply; then 504.", "off"),
  tunnel_idle: key(optionalDuration, "A tunnel (WebSocket), a gRPC call that goes on, or a tcp connection without a byte either way.", "1h"),
  udp_idle: key(duration, "A udp client without a datagram either way: then it is forgotten, and its next one may go to another target.", "60s"),
});

const limits = z.strictObject({
  header_bytes: key(someSize, "All of a request head, and of trailers; more is 431.", "32KiB"),
  header_count: key(whole(1, 1000), "Fields in a head or in trailers; more is 431.", 100),
  request_line_bytes: key(someSize, "The request line; more is 414.", "8KiB"),
  body_bytes: key(size, "A request body; more is 413.", "off"),
  client_hello_bytes: key(someSize, "tls-passthrough: all of a ClientHello; more is closed.", "16KiB"),
});

const MAX_WINDOW = 2 ** 31 - 1;
const window = z.union([parsed((text) => (parseSize(text) ?? 0) >= 65_535 && parseSize(text)! <= MAX_WINDOW ? parseSize(text) : undefined, 'a window, as "64KiB" or "1MiB", from 65535 bytes to 2 GiB', SIZE), whole(65_535, MAX_WINDOW)]);

const http2 = z.strictObject({
  enabled: key(z.boolean(), "HTTP/2 for whoever asks for it: by ALPN, or in the clear by prior knowledge.", true),
  max_concurrent_streams: key(whole(1, 10_000), "Open streams of a connection; more are refused.", 100),
  stream_window: key(window, "What a client may send on a stream ahead of its target.", "64KiB"),
  connection_window: key(window, "The same over all streams of a connection.", "1MiB"),
  continuations: key(whole(0, 1_000), "CONTINUATION frames in one header block; more end the connection.", 8),
  resets: key(whole(1, 1_000_000), "Streams that a client may reset, or have reset by what it does, at once; more end the connection.", 1_000),
  resets_per_second: key(whole(1, 1_000_000), "So many more each second.", 33),
  glitches: key(whole(100, 10_000_000), "Frames that do nothing (PING while nothing flows, SETTINGS, PRIORITY, unknown, tiny windows) at once; more end the connection.", 10_000),
  glitches_per_second: key(whole(1, 1_000_000), "So many more each second.", 330),
});

const block = z.string().refine(isBlock, { error: (issue) => `"${String(issue.input)}" is not an address, a CIDR block as "10.0.0.0/8", or "unix"` });

const forwarding = z.strictObject({
  x_forwarded: key(z.boolean(), "Set X-Forwarded-For, -Proto and -Host.", true),
  forwarded: key(z.boolean(), "Set Forwarded (RFC 7239).", false),
  via: key(z.boolean(), "Add Via to requests.", true),
  request_id: key(z.enum(["off", "missing", "always"]), "X-Request-ID: leave it alone, make one where none is, or always make one.", "off"),
  trusted_proxies: key(
    z.array(block),
    "Proxies before this one whose X-Forwarded-*, Forwarded and X-Request-ID are believed and appended to.",
    [],
  ),
});

const domain = z.string().regex(/^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/, {
  error: (issue) => (String(issue.input).startsWith("*.") ? `"${String(issue.input)}" needs the challenge dns-01, which is not offered: name each host, or get this certificate elsewhere` : `"${String(issue.input)}" is not a host name, as "www.example.org"`),
});

const acme = z.strictObject({
  domains: key(z.array(domain).min(1, { error: "a certificate is for at least one domain" }).max(100, { error: "a certificate is for at most 100 domains" }), "Names of one certificate; absent: the hosts of all routes."),
  email: key(z.string().regex(/^[^\s@,?]+@[^\s@,?]+$/, { error: "this is not a mail address" }), "Where the CA writes to when something is wrong."),
  directory: key(z.url({ protocol: /^https$/, error: "a directory is an https:// URL" }), "The ACME server's directory. Using it is agreeing to its terms of service.", "https://acme-v02.api.letsencrypt.org/directory"),
  challenge: key(z.enum(["auto", "http-01", "tls-alpn-01"]), "How it is shown that the domains are ours; auto: http-01 where a listener speaks http in the clear, else tls-alpn-01, and the other one after a failure.", "auto"),
  key_type: key(z.enum(["ec256", "rsa2048"]), "The certificate's key: ECDSA P-256 or RSA.", "ec256"),
  renew_before: key(lifetime, "So long before it ends a certificate is renewed; absent: after two thirds of its lifetime."),
  ca: key(z.string().min(1), "PEM file: authorities that the directory's own certificate is checked against, instead of the system's; relative to this file."),
  storage: key(z.string().min(1), "Directory where accounts, keys and certificates are kept, relative to this file.", "$XDG_STATE_HOME/fairlead/acme; for root /var/lib/fairlead/acme"),
  eab_kid: key(z.string().min(1), "External account binding, for CAs that ask for it: the key's identifier."),
  eab_hmac_key: key(z.string().regex(/^[A-Za-z0-9_-]{16,}={0,2}$/, { error: "this is not base64url" }), "External account binding: the key, in base64url."),
});

const proxyProtocol = z.strictObject({
  from: z.array(block).min(1, { error: "from needs at least one address or CIDR block" }).meta({ description: "Who sends the header: addresses, CIDR blocks, or \"unix\" for clients of a unix socket. From them it is required, from others it is not read." }),
  timeout: key(duration, "From the connect to the header's last byte; then closed.", "5s"),
  header_bytes: key(someSize, "All of a header of version 2; more is closed.", "4KiB"),
});

const tlsVersion = z.enum(["1.2", "1.3"]);

const certificate = z.strictObject({
  certificate: file.meta({ description: "PEM file: the chain, the server's own certificate first; relative to this file." }),
  key: file.meta({ description: "PEM file: its private key, not encrypted." }),
});

/** Zero tells browsers to forget it (RFC 6797 section 6.1.1). */
const hstsAge = parsed((text) => (text === "off" ? undefined : parseLongDuration(text)), 'a duration, as "12h" or "365d"', DURATION);

const hsts = z.strictObject({
  max_age: key(hstsAge, "How long browsers ask by https only; 0s: they forget it.", "365d"),
  include_subdomains: key(z.boolean(), "Names below the host too.", false),
  preload: key(z.boolean(), "The host may be listed in browsers; needs include_subdomains and a year.", false),
});

const listenerTls = z.strictObject({
  certificates: key(z.array(certificate), "Chosen by the name that a client asks for; the first one for any other name, and for clients that name nobody."),
  acme: key(acme, "A certificate that Fairlead gets and renews by itself (RFC 8555), after those of certificates."),
  min_version: key(tlsVersion, "The oldest version of TLS.", "1.2"),
  max_version: key(tlsVersion, "The newest.", "1.3"),
  ciphers: key(z.string().min(1), "OpenSSL's list of ciphers for TLS 1.2; those of 1.3 are fixed.", "ECDHE with AES-GCM or ChaCha20"),
  alpn: key(z.array(z.string().regex(/^[\x21-\x7e]{1,255}$/, { error: "a protocol's name has 1 to 255 printable characters" })), "tcp listeners: protocols that are offered, by preference; http listeners offer what they speak."),
  client_ca: key(file, "PEM file: authorities whose clients' certificates are accepted; relative to this file. Absent: clients are not asked for one."),
  client_auth: key(z.enum(["required", "optional"]), "With client_ca: clients without a certificate are refused, or let in. One that is not good is refused in any case.", "required"),
  client_subject_header: key(headerName, "http: targets are told the subject of the client's certificate in this header (RFC 4514). What a client sends under that name is taken away."),
  hsts: key(z.union([hsts, hstsAge, z.boolean()]), "http: Strict-Transport-Security on replies that have none, for this long; true: a year; 0s: browsers forget it; absent: none."),
});

const upstreamTls = z.strictObject({
  verify: key(z.boolean(), "The target's certificate must be valid, and for server_name.", true),
  ca: key(file, "PEM file: authorities that are trusted instead of the system's; relative to this file."),
  server_name: key(z.string().regex(/^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$/, { error: 'a server is asked for by a host name, as "api.internal"' }), "The name that is asked for (SNI) and that the certificate must be for; absent: the host of the target's address."),
  certificate: key(file, "PEM file: the chain that we show to targets that ask for one."),
  key: key(file, "PEM file: its private key, not encrypted."),
  min_version: key(tlsVersion, "The oldest version of TLS.", "1.2"),
  max_version: key(tlsVersion, "The newest.", "1.3"),
});

const listener = z.strictObject({
  name: key(name, "How logs, metrics and the API call it.", "listener-1, listener-2, …"),
  address: parsed(parseListenAddress, ADDRESSES).meta({ description: "Where clients connect: host:port, :port (every IPv4 address), [::]:port (every address), unix:/path, or systemd:NAME for a socket that systemd passes." }),
  protocol: key(z.enum(["http", "tcp", "tls-passthrough", "udp"]), "What clients speak; tls-passthrough: TLS that ends at the targets, routed by the name that the client asks for (SNI).", "http"),
  upstream: key(z.string(), "Where goes what matches no route; without one that is answered 404, or with tls-passthrough closed."),
  health_path: key(path, "Answered 200 here, without an upstream; 503 while draining."),
  proxy_protocol: key(proxyProtocol, "Proxies before this one that tell the client's address by the PROXY protocol, version 1 or 2; absent: nobody does."),
  tcp_unavailable: key(z.enum(["close", "http-503"]), "What a tcp client is told when no target is usable.", "close"),
  udp_responses: key(whole(0, 1_000_000), "Replies to each datagram of a client, 1 for DNS: when all have come, the client is forgotten. 0: each datagram is balanced by itself. Absent: only udp_idle counts."),
  max_clients: key(whole(1, 10_000_000), "Client connections of this listener over all workers; more are told 503.", 10_000),
  max_clients_per_ip: key(whole(0, 10_000_000), "Client connections of one address on this listener over all workers; 0: no limit.", 0),
  tls: key(z.union([listenerTls, z.literal("self-signed")]), 'Clients speak TLS, which ends here; absent: they do not. "self-signed": with a certificate for development, made once and kept.'),
  redirect_https: key(z.union([z.boolean(), whole(1, 65_535)]), "http in the clear: answer with the same address under https, on port 443 or this one; /.well-known/acme-challenge/ is left alone.", false),
  access_log: key(z.boolean(), "What comes in here is in the access log, if there is one.", true),
  underscore_names: key(z.enum(["allow", "drop", "reject"]), "Header names with an underscore: pass on, leave out, or answer 400.", "reject"),
  timeouts: key(timeouts, "Timeouts of this listener; what is absent is as in the top-level [timeouts]."),
  limits: key(limits, "Limits of this listener; what is absent is as in the top-level [limits]."),
  http2: key(z.union([z.boolean(), http2]), "HTTP/2 on this listener: false turns it off; what is absent of the table is as in the top-level [http2]."),
  forwarding: key(forwarding, "What targets are told of the client; what is absent is as in the top-level [forwarding]."),
});

const route = z.strictObject({
  name: key(name, "How logs, metrics and the admin API call it; absent: by what it matches, as GET api.example.com/v1."),
  hosts: key(z.array(z.string().regex(/^(\*|(\*\.)?[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])$/, { error: 'a host is a name or "*.name", without scheme, port or path' })), "Any of these; absent: every host. On a tls-passthrough listener: the name that the client asks for."),
  path_prefix: key(path, "Whole segments from the start of the path: /v1 matches /v1 and /v1/x, not /v10."),
  methods: key(z.array(z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Z]+$/, { error: "methods are written in upper case" })), "Any of these; absent: every method."),
  headers: key(z.record(headerName, z.union([fieldValue, z.literal(true)])), "All of these: a value, or true for any value."),
  listeners: key(z.array(name), "The http and tls-passthrough listeners that it is for; absent: all of them."),
  upstream: z.string().meta({ description: "Where to." }),
});

const healthCheck = z.strictObject({
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

const target = z.strictObject({
  address: targetAddress.meta({ description: "host:port, [v6]:port or unix:/path" }),
  weight: key(whole(0, 1000), "Its share; 0: none.", 1),
  backup: key(z.boolean(), "Used when too few of the others are healthy: the same as priority = 1.", false),
  priority: key(whole(0, 5), "Its tier: those of 0 are used first, then those of 1, …", 0),
  zone: key(name, "Where it runs; see prefer_zone."),
  max_connections: key(whole(0, 1_000_000), "Open connections to it over all workers; 0: no limit; absent: the upstream's."),
  max_requests: key(whole(0, 1_000_000), "Open requests to it over all workers; 0: no limit; absent: the upstream's."),
  drain: key(z.boolean(), "No new requests; sticky clients may finish.", false),
});

/** What may be said of a target beside its address. */
export const targetKeys = target.omit({ address: true });

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

const outlierDetection = z.strictObject({
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

const circuitBreaker = z.strictObject({
  failure_rate: key(percent, "Of the requests in a window: opens the circuit.", "50%"),
  min_requests: key(whole(1, 1_000_000), "A window with fewer requests opens nothing.", 20),
  window: key(duration, "Over which failures are counted.", "10s"),
  open_for: key(duration, "Requests are answered 503 for this long; then some are let through.", "5s"),
  probes: key(whole(1, 1000), "So many must succeed to close it again.", 3),
});

const hedge = z.strictObject({
  percentile: key(z.number().min(50).max(99.9), "Sent when an idempotent request takes longer than so many percent of this upstream's.", 95),
  min_delay: key(duration, "Never sooner than this.", "2ms"),
});

const heartbeat = z.strictObject({
  ttl: key(duration, "How long a beat is good for when it does not say.", "15s"),
  register: key(z.boolean(), "Back ends that are not in this file may join by beating.", true),
});

const supervised = z.strictObject({
  command: z.array(z.string().min(1, { error: "a command's words are not empty" })).min(1, { error: "a command needs a program" }).meta({ description: "Program and arguments; its port is in PORT." }),
  instances: key(whole(1, 256), "How many of it.", 1),
  directory: key(z.string().min(1), "Where it runs, relative to this file.", "."),
  environment: key(z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: "a variable's name has letters, digits and underscores" }), z.string()), "Added to its environment."),
  port: key(whole(0, 65_535), "First port that is handed out; 0: any free ones.", 0),
  replace_after: key(optionalDuration, "Replaced when unhealthy for this long.", "30s"),
  max_restarts: key(whole(1, 10_000), "Restarts of one instance within restart_window; then it is left alone.", 10),
  restart_window: key(duration, "See max_restarts.", "10m"),
  backoff: key(duration, "Before a restart; doubles each time.", "100ms"),
  backoff_max: key(duration, "The longest pause before a restart.", "30s"),
  stop_timeout: key(duration, "From SIGTERM to SIGKILL.", "10s"),
  start_timeout: key(duration, "How long it may take until its health check passes.", "30s"),
  roll_on_reload: key(z.boolean(), "A reload replaces them one at a time, also when nothing about them has changed.", true),
});

const upstreamLimits = z.strictObject({
  header_bytes: key(someSize, "All of a reply's head; more is 502.", "64KiB"),
  header_count: key(whole(1, 1000), "Fields in a reply's head; more is 502.", 200),
});

const upstreamTimeouts = z.strictObject({
  connect: key(duration, "To connect to a target; then the next one, else 504.", "5s"),
  response: key(optionalDuration, "From a request's last byte to the reply's first; then 504.", "60s"),
  attempt: key(optionalDuration, "The same for one attempt: then an idempotent request is tried on another target.", "off"),
  body: key(optionalDuration, "Between two reads of a reply's body, and between two writes of a request that the target does not read.", "30s"),
  idle: key(duration, "A pooled connection without a request; keep it below the target's own.", "30s"),
});

const upstream = z.strictObject({
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

const logLevel = z.enum(LOG_LEVELS);
const logModules = Object.fromEntries(Object.entries(LOG_MODULES).map(([module, about]) => [module, key(logLevel, `${about[0]!.toUpperCase()}${about.slice(1)}.`)])) as Record<LogModule, z.ZodOptional<typeof logLevel>>;

const log = z.strictObject({
  level: key(logLevel, "The least that is logged.", "info"),
  modules: key(z.strictObject(logModules), "Levels of their own for parts of the house."),
  path: key(file, "A file for the service log, relative to this file; absent: standard error."),
  access: key(z.boolean(), "One line a request on standard error: the short form of [access_log].", false),
});

const accessLog = z.strictObject({
  format: key(z.string().min(1), '"json", "common", "combined", or a format string of your own with $variables.', "json"),
  fields: key(z.array(z.string()).min(1, { error: "a line has at least one field" }), "With format json: the variables that a line has, in this order.", "all but the headers, and User-Agent and Referer"),
  path: key(file, 'A file or a named pipe, relative to this file; "stderr" or "stdout".', "stderr"),
  sample: key(z.number().min(0).max(1), "The share of exchanges that are logged.", 1),
  sample_errors: key(z.boolean(), "What fails is logged in any case: statuses from 500 on, and causes other than done.", true),
  buffer: key(z.union([parsed((text) => bufferSize(parseSize(text)), 'a size from 4KiB to 16MiB', SIZE), whole(MIN_LOG_BUFFER, MAX_LOG_BUFFER)]), "Lines that each worker gathers before it writes.", "64KiB"),
  flush: key(duration, "The longest that a line waits.", "100ms"),
  rotate_size: key(size, "A file that has grown to this is renamed, and another one begun.", "off"),
  keep: key(whole(1, 1000), "Renamed files that are kept: path.1 is the newest.", 5),
});

/** How an upstream chooses: what is said of that is said all at once. */
export const policyKeys = upstream.pick({ policy: true, policy_timeout: true, hash_key: true, hash_method: true, bounded_load: true });

const bound = parsed((text) => parseExactDuration(text) || undefined, 'a duration above zero, as "500us", "2.5ms" or "1s"', String.raw`^(\d+(\.\d+)?(us|ms|s|m|h))+$`);

const metrics = z.strictObject({
  buckets: key(
    z
      .array(bound)
      .min(1, { error: "a histogram has at least one bound" })
      .max(MAX_BOUNDS, { error: `a histogram has at most ${MAX_BOUNDS} bounds` })
      .refine((bounds) => bounds.every((each, index) => index === 0 || each > bounds[index - 1]!), { error: "bounds go up: each is longer than the one before" }),
    "Upper bounds of the buckets of all histograms of durations; when they change, those begin anew. Default: 20 of them, from 0.5 ms to 60 s.",
  ),
  per_target_limit: key(whole(0, 65_536), "So many targets have metrics of their own at /metrics, in file order; of the others there is what their upstream says.", 1_000),
});

const adminToken = z.string().min(MIN_TOKEN, { error: TOKEN_RULE }).regex(TOKEN, { error: TOKEN_RULE });
const namedToken = z.strictObject({
  name: name.meta({ description: "By which the timeline says who did something." }),
  token: key(adminToken, "What is shown; or token_file."),
  token_file: key(file, "File that holds the token and nothing else, relative to this one; read with each reload."),
  access: z.enum(["read", "steer", "configure"]).meta({ description: "read: look; steer: change what targets do, too; configure: bring a configuration, too." }),
});

const shortTarget = z.strictObject({
  address: targetAddress.meta({ description: "host:port, [v6]:port or unix:/path" }),
  weight: key(whole(0, 1000), "Its share; 0: none.", 1),
  health_check_endpoint: key(path, "Asked every 5 s; a 2xx or 3xx passes. Absent: a connect is enough."),
});

function isEndpoint(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "" && url.search === "" && url.hash === "";
}

const tracing = z.strictObject({
  endpoint: key(z.string().refine(isEndpoint, { error: "an endpoint is an http:// or https:// URL, without name and password: those go into headers" }), "Where spans are sent by OTLP/HTTP: of the collector, without /v1/traces.", "http://127.0.0.1:4318"),
  headers: key(z.record(headerName, fieldValue), "Sent with them, as a token of the collector's."),
  service_name: key(z.string().min(1), "How this balancer is called in traces.", "fairlead"),
  sample: key(z.number().min(0).max(1), "Share of the traces that begin here which are recorded.", 1),
  parent: key(z.enum(["ignore", "trust"]), "A client's traceparent: ignore begins a trace of our own; trust goes on with the client's, and records what it records.", "ignore"),
  query: key(z.enum(["keep", "drop"]), "What follows the ? of paths: it may hold secrets.", "drop"),
  timeout: key(duration, "For sending a batch of spans, with all tries; then they are lost.", "10s"),
  interval: key(duration, "The longest that a span waits for others to be sent with.", "5s"),
  batch: key(whole(1, 10_000), "The most spans in one request.", 512),
  queue: key(whole(1, 1_000_000), "The most spans that wait in each worker; more are lost.", 4096),
});

const delay = z.union([duration, z.tuple([duration, duration], { error: 'a delay is a duration, as "300ms", or a range, as ["100ms", "2s"]' })]);

/** What a fault does and to whom, beside its name. */
export const faultKeys = z.strictObject({
  routes: key(z.array(z.string()), "Labels of routes: requests that go by any of these; absent: every one, and those that match none."),
  upstreams: key(z.array(z.string()), "To any of these; absent: to every one."),
  listeners: key(z.array(name), "That came in by any of these; absent: by every one that is not udp."),
  hosts: key(route.shape.hosts.unwrap(), "For any of these; with tls-passthrough the name that the client asks for. Absent: every host."),
  methods: key(route.shape.methods.unwrap(), "Any of these; absent: every method."),
  headers: key(route.shape.headers.unwrap(), "All of these: a value, or true for any value."),
  percent: key(percent, "Of all these requests, drawn by chance.", 100),
  by_header: key(z.boolean(), "The client says what is injected, in X-Fairlead-Fault; requests without it are left alone.", false),
  delay: key(delay, 'So long the request waits before anything else happens; ["100ms", "2s"]: by chance something between.'),
  abort: key(whole(400, 599), "Answered with this status, without a target."),
  grpc_status: key(whole(1, 16), "What gRPC calls are told in its place; without abort only they are."),
  reset: key(z.boolean(), "The client's connection is reset; with HTTP/2 its stream.", false),
  throttle: key(someSize, "Bytes a second of the reply's body; tcp: of what the target sends."),
  truncate: key(z.union([parsed((text) => (text === "off" ? undefined : parseSize(text)), 'a size, as "10KiB"', SIZE), z.number().int().min(0)]), "After so much of its body the reply breaks off."),
  targets: key(z.array(targetAddress), "For target_delay and target_error: attempts at these; absent: at every one."),
  target_delay: key(delay, "So long an attempt waits before it goes to its target, as if that were slow."),
  target_error: key(z.enum(["connect-refused", "connect-timeout", "response-timeout", "target-reset"]), "What an attempt comes to, as if it were its target's doing: it is tried again, and counts against the target."),
});

const faults = z.strictObject({
  enabled: key(z.boolean(), "Faults may be injected, by these rules and by the admin API; false: whatever else is said here.", false),
  rules: key(z.array(faultKeys.extend({ name: name.meta({ description: "How log, timeline and admin API call it." }) })), "What is injected; the first rule that matches a request, and whose percentage takes it, is it."),
});

export const configSchema = z
  .strictObject({
    workers: key(z.union([z.literal("auto"), whole(1, 256)]), "Data-plane processes; auto: one a core.", "auto"),
    drain_timeout: key(duration, "How long open requests may go on when Fairlead stops.", "30s"),
    max_clients: key(whole(1, 10_000_000), "Client connections over all listeners.", 50_000),
    user: key(owner, "Whom workers, back ends of Fairlead's own and command checks run as when root starts it: a name or a number. The supervisor stays root. Absent: as it was started."),
    group: key(owner, "With user: its group, and the only one; absent: the one that the system has for it."),
    zone: key(name, "Where this instance runs: upstreams with prefer_zone use the targets of that zone first."),
    log: key(log, "The service log."),
    access_log: key(accessLog, "One line a request; absent: none."),
    admin: key(
      z.strictObject({
        address: listenAddress.meta({ description: "Where the admin API listens; without a token a loopback address or a unix socket." }),
        token: key(adminToken, "May do everything. Whoever asks for more than /health and /ready shows it, or one of tokens, as Authorization: Bearer; without any the address is a loopback one, and configurations and heartbeats are not taken."),
        tokens: key(z.array(namedToken), "Further tokens, each of which may do so much."),
        state_file: key(file, "Where what the API was told of targets and upstreams is kept over a stop, relative to this file; absent: nowhere."),
      }),
      "The admin API; absent: off.",
    ),
    tracing: key(tracing, "Requests are traced (OpenTelemetry, W3C Trace Context); absent: they are not, and what clients say of traces goes on as it came."),
    faults: key(faults, "Faults that are injected, to see what becomes of them; absent: none can be."),
    metrics: key(metrics, "What is measured, and how finely."),
    exchanges: key(
      z.strictObject({
        keep: key(whole(0, 100_000), "So many exchanges that failed, were tried again or took long are kept for GET /v1/exchanges; 0: none.", 1000),
        memory: key(someSize, "What they may take in all.", "8MiB"),
        slow: key(optionalDuration, "Exchanges that take so long are kept.", "1s"),
        sample: key(z.number().min(0).max(1), "The part of all others that is kept, to compare with; 0: none.", 0.001),
        query: key(z.enum(["keep", "drop"]), "What follows the ? of paths: it may hold secrets.", "drop"),
      }),
      "Which exchanges are kept, with whom they could have gone to and what each attempt came to; they are told on the admin address.",
    ),
    timeouts: key(timeouts, "Defaults for every listener."),
    limits: key(limits, "Defaults for every listener."),
    http2: key(http2, "Defaults for every listener."),
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
export type RawAccessLog = z.output<typeof accessLog>;
export type RawFault = z.output<typeof faultKeys> & { readonly name: string };
export type RawUpstream = z.output<typeof upstream>;

/** What an absent key stands for, as people write it; undefined: nothing, or what cannot be said in a word. */
export function defaultOf(type: z.core.$ZodType): unknown {
  return written.get(type);
}

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

/** Of a table that may also be one word, the table. */
export function unwrapped(type: z.core.$ZodType): z.core.$ZodType {
  if (type instanceof z.ZodOptional) return unwrapped(type.unwrap());
  if (type instanceof z.ZodUnion) return type.options.map(unwrapped).find((option) => option instanceof z.ZodObject) ?? type;
  return type;
}

/** `[[listeners]]`, and the tables that give all of them their defaults. */
import { z } from "zod";
import { parseListenAddress, parseSize } from "../values.ts";
import { key } from "./key.ts";
import { listenerTls } from "./tls.ts";
import { ADDRESSES, block, duration, name, optionalDuration, parsed, path, SIZE, size, someSize, whole } from "./types.ts";

export const timeouts = z.strictObject({
  tls_handshake: key(duration, "From a connect to the end of the TLS handshake.", "10s"),
  client_header: key(duration, "From the first byte of a request head to its last; then 408.", "10s"),
  client_body: key(duration, "Between two reads of a request body, and between two writes of a reply that the client does not read.", "30s"),
  client_idle: key(optionalDuration, "A keep-alive connection without a request.", "60s"),
  request: key(optionalDuration, "A whole request, from its head to the last byte of its reply; then 504.", "off"),
  tunnel_idle: key(optionalDuration, "A tunnel (WebSocket), a gRPC call that goes on, or a tcp connection without a byte either way.", "1h"),
  udp_idle: key(duration, "A udp client without a datagram either way: then it is forgotten, and its next one may go to another target.", "60s"),
});

export const limits = z.strictObject({
  header_bytes: key(someSize, "All of a request head, and of trailers; more is 431.", "32KiB"),
  header_count: key(whole(1, 1000), "Fields in a head or in trailers; more is 431.", 100),
  request_line_bytes: key(someSize, "The request line; more is 414.", "8KiB"),
  body_bytes: key(size, "A request body; more is 413.", "off"),
  client_hello_bytes: key(someSize, "tls-passthrough: all of a ClientHello; more is closed.", "16KiB"),
});

const MAX_WINDOW = 2 ** 31 - 1;
const window = z.union([parsed((text) => (parseSize(text) ?? 0) >= 65_535 && parseSize(text)! <= MAX_WINDOW ? parseSize(text) : undefined, 'a window, as "64KiB" or "1MiB", from 65535 bytes to 2 GiB', SIZE), whole(65_535, MAX_WINDOW)]);

export const http2 = z.strictObject({
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

export const forwarding = z.strictObject({
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

const proxyProtocol = z.strictObject({
  from: z.array(block).min(1, { error: "from needs at least one address or CIDR block" }).meta({ description: "Who sends the header: addresses, CIDR blocks, or \"unix\" for clients of a unix socket. From them it is required, from others it is not read." }),
  timeout: key(duration, "From the connect to the header's last byte; then closed.", "5s"),
  header_bytes: key(someSize, "All of a header of version 2; more is closed.", "4KiB"),
});

export const listener = z.strictObject({
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

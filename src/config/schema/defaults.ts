/** In ms and bytes; the texts beside the keys of the schema say the same to people, and a test holds them together. */
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

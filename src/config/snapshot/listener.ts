/** Where clients connect, and what they may do there. */
import type { ListenAddress } from "./address.ts";
import type { ListenerTls } from "./tls.ts";
import type { Bytes, Milliseconds } from "./units.ts";

export interface ListenerConfig {
  readonly name: string;
  /** Its row in the scoreboard; kept over reloads. */
  readonly slot: number;
  readonly address: ListenAddress;
  readonly protocol: "http" | "tcp" | "tls-passthrough" | "udp";
  /** Where goes what matches no route; none: 404. */
  readonly upstream?: string;
  /** Answers 200 here (503 while draining) without an upstream. */
  readonly healthPath?: string;
  /** Who tells the client's address by the PROXY protocol; undefined: nobody. */
  readonly proxyProtocol?: ProxyProtocolConfig;
  /** What a tcp client is told when no target is usable. */
  readonly tcpUnavailable: "close" | "http-503";
  /** udp: replies that a client's datagram gets; when all have come the client is forgotten. Undefined: nobody knows. */
  readonly udpResponses?: number;
  /** Client connections on this listener over all workers. */
  readonly maxClients: number;
  /** Client connections of one client address on this listener over all workers; 0: no limit. */
  readonly maxClientsPerIp: number;
  /** Absent: cleartext. */
  readonly tls?: ListenerTls;
  /** Port of https that clients are sent to; absent: they are served. */
  readonly redirectHttps?: number;
  readonly timeouts: ListenerTimeouts;
  readonly limits: ListenerLimits;
  readonly forwarding: ForwardingConfig;
  readonly http2: Http2Config;
  /** Its exchanges are in the access log, if there is one. */
  readonly accessLog: boolean;
  /** Field names with `_`: pass on, leave out, or answer 400. */
  readonly underscoreNames: "allow" | "drop" | "reject";
}

export interface ListenerTimeouts {
  /** From accept to the end of the TLS handshake. */
  readonly tlsHandshake: Milliseconds;
  /** From the first byte of a request head to its last. */
  readonly clientHeader: Milliseconds;
  /** Between two reads of a request body, and between two writes of a reply that the client does not read. */
  readonly clientBody: Milliseconds;
  /** A keep-alive connection without a request. */
  readonly clientIdle: Milliseconds;
  /** From the head of a request to the last byte of its reply; 0 is off. */
  readonly request: Milliseconds;
  /** A tunnel (101, CONNECT) or tcp connection without a byte either way. */
  readonly tunnelIdle: Milliseconds;
  /** A udp client without a datagram either way. */
  readonly udpIdle: Milliseconds;
}

export interface ListenerLimits {
  /** All of a request head; more is 431. */
  readonly headerBytes: Bytes;
  /** Field lines in a request head or in trailers; more is 431. */
  readonly headerCount: number;
  /** The request line; more is 414. */
  readonly requestLineBytes: Bytes;
  /** A request body; more is 413; 0 is no limit. */
  readonly bodyBytes: Bytes;
  /** What a client of a tls-passthrough listener may send before its name is known. */
  readonly clientHelloBytes: Bytes;
}

/** What a client may do with HTTP/2 (RFC 9113). */
export interface Http2Config {
  /** Spoken to whoever asks for it: by ALPN, or in the clear by prior knowledge. */
  readonly enabled: boolean;
  /** Open streams of a connection. */
  readonly maxStreams: number;
  /** What may be sent ahead of its target, for each stream and for a connection. */
  readonly streamWindow: Bytes;
  readonly connectionWindow: Bytes;
  /** CONTINUATION frames in one header block. */
  readonly continuations: number;
  /** Streams that end by a reset of the client's making: so many at once, and so many more each second. */
  readonly resets: number;
  readonly resetsPerSecond: number;
  /** Frames that do nothing. */
  readonly glitches: number;
  readonly glitchesPerSecond: number;
}

export interface ForwardingConfig {
  /** Set X-Forwarded-For, -Proto and -Host. */
  readonly xForwarded: boolean;
  /** Set Forwarded (RFC 7239). */
  readonly forwarded: boolean;
  /** Add Via (RFC 9110 section 7.6.3). */
  readonly via: boolean;
  /** X-Request-ID: leave alone, make one when it is missing, or always make one. */
  readonly requestId: "off" | "missing" | "always";
  /** CIDR blocks whose X-Forwarded-*, Forwarded and X-Request-ID are believed and appended to. */
  readonly trustedProxies: readonly string[];
}

export interface ProxyProtocolConfig {
  /** CIDR blocks, addresses and "unix": from them the header is required, from others it is not read. */
  readonly from: readonly string[];
  /** From the connect to the header's last byte. */
  readonly timeout: Milliseconds;
  /** Of a header of version 2. */
  readonly headerBytes: Bytes;
}

/** What is measured: one request shape a case. Back ends are nginx servers that answer from memory or from a file. */

export interface Case {
  readonly name: string;
  readonly title: string;
  /** Through the http listener, the one with TLS (1.3, ECDSA P-256, X25519), the tcp listener, or the http listener whose back ends speak HTTP/2 in the clear. */
  readonly listener: "http" | "https" | "tcp" | "h2c";
  readonly path: string;
  readonly connections: number;
  /** wrk's script. */
  readonly lua?: string;
  /** `openssl` makes full handshakes, where wrk resumes sessions; `h2load` speaks HTTP/2. Absent: wrk. */
  readonly generator?: "openssl" | "h2load";
  /** h2load: streams on each connection; 0: HTTP/1.1. */
  readonly streams?: number;
}

const POST = `wrk.method = "POST"\nwrk.body = string.rep("x", 1048576)\n`;
const CLOSE = `wrk.headers["Connection"] = "close"\n`;

export const cases: readonly Case[] = [
  { name: "small", title: "small GET, keep-alive, 64 clients", listener: "http", path: "/", connections: 64 },
  { name: "100k", title: "100 KiB response, 32 clients", listener: "http", path: "/f/100k", connections: 32 },
  { name: "1m", title: "1 MiB response, 16 clients", listener: "http", path: "/f/1m", connections: 16 },
  { name: "post", title: "1 MiB POST, 16 clients", listener: "http", path: "/", connections: 16, lua: POST },
  { name: "connect", title: "a new client connection each request, 32 clients", listener: "http", path: "/", connections: 32, lua: CLOSE },
  { name: "tcp-small", title: "TCP relay, small messages, 64 clients", listener: "tcp", path: "/", connections: 64 },
  { name: "tcp-1m", title: "TCP relay, 1 MiB responses, 16 clients", listener: "tcp", path: "/f/1m", connections: 16 },
  { name: "tls-small", title: "small GET over TLS, keep-alive, 64 clients", listener: "https", path: "/", connections: 64 },
  { name: "tls-1m", title: "1 MiB response over TLS, 16 clients", listener: "https", path: "/f/1m", connections: 16 },
  { name: "tls-resume", title: "a new TLS connection each request, session resumed, 32 clients", listener: "https", path: "/", connections: 32, lua: CLOSE },
  { name: "tls-connect", title: "a new TLS connection each request, full handshake, 4 clients", listener: "https", path: "/", connections: 4, generator: "openssl" },
  { name: "h2", title: "HTTP/2 over TLS → HTTP/1.1, 16 clients × 16 streams", listener: "https", path: "/", connections: 16, generator: "h2load", streams: 16 },
  { name: "h1-256", title: "HTTP/1.1 → HTTP/1.1 in the clear, 256 clients (h2load)", listener: "http", path: "/", connections: 256, generator: "h2load", streams: 0 },
  { name: "h2c", title: "HTTP/2 → HTTP/2 in the clear, 16 clients × 16 streams", listener: "h2c", path: "/", connections: 16, generator: "h2load", streams: 16 },
];

/** Memory of this many HTTP/2 connections with as many open streams each. */
export const HELD = { connections: 1_000, streams: 100 } as const;
/** Memory of this many clients that stay connected and ask nothing. */
export const IDLE_CLIENTS = 10_000;

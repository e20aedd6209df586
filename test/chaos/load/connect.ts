/** Client sockets of Bun, in the clear or with TLS, for the carriers. */
import type { Lane } from "./plan.ts";

export interface SocketUser {
  /** Connected; with TLS the handshake is still to come. */
  onConnect(socket: Bun.Socket<SocketUser>): void;
  onReady(socket: Bun.Socket<SocketUser>): void;
  /** The bytes may be written over after this call. */
  onData(chunk: Buffer): void;
  onDrain(): void;
  /** Once at least; "refused": it was never connected. */
  onGone(kind: "refused" | "reset" | "closed"): void;
}

const common: Bun.SocketHandler<SocketUser> = {
  data: (socket, chunk) => socket.data.onData(chunk),
  drain: (socket) => socket.data.onDrain(),
  error: (socket) => socket.data.onGone("reset"),
  close: (socket, error) => socket.data.onGone(error === undefined || error === null ? "closed" : "reset"),
  connectError: (socket) => socket.data.onGone("refused"),
};

const plain: Bun.SocketHandler<SocketUser> = {
  ...common,
  open(socket) {
    socket.data.onConnect(socket);
    socket.data.onReady(socket);
  },
};

const secure: Bun.SocketHandler<SocketUser> = {
  ...common,
  open: (socket) => socket.data.onConnect(socket),
  handshake(socket, success) {
    if (success) socket.data.onReady(socket);
    else socket.data.onGone("reset");
  },
};

export function connectSocket({ port, protocol, tls = false }: Lane, user: SocketUser): void {
  const alpn = protocol === "h2" ? "h2" : "http/1.1";
  // Names of protocols as they stand in a handshake (RFC 7301 section 3.1); the types know of no such option.
  const options = tls ? { tls: { rejectUnauthorized: false, ALPNProtocols: Buffer.from(`${String.fromCharCode(alpn.length)}${alpn}`, "latin1") } as Bun.TLSOptions } : {};
  Bun.connect({ hostname: "127.0.0.1", port, data: user, socket: tls ? secure : plain, ...options }).catch(() => user.onGone("refused"));
}

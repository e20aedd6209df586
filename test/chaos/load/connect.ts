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
  onGone(kind: "refused" | "reset" | "closed", reason?: string): void;
}

type Failed = (Error & { readonly code?: string }) | null | undefined;

function gone({ data }: Bun.Socket<SocketUser>, error: Failed): void {
  if (error === undefined || error === null) data.onGone("closed");
  else data.onGone("reset", error.code ?? error.message);
}

/** What a handler of ours throws comes here too: that is no failure of a request. */
function failed(socket: Bun.Socket<SocketUser>, error: Failed): void {
  if (error?.code === undefined) {
    console.error(error);
    process.exit(1);
  }
  gone(socket, error);
}

const common: Bun.SocketHandler<SocketUser> = {
  data: (socket, chunk) => socket.data.onData(chunk),
  drain: (socket) => socket.data.onDrain(),
  error: failed,
  close: (socket, error) => gone(socket, error),
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
  handshake(socket, success, error) {
    if (success) socket.data.onReady(socket);
    else gone(socket, error ?? new Error("the handshake failed"));
  },
};

export function connectSocket({ port, protocol, tls = false }: Lane, user: SocketUser): void {
  const alpn = protocol === "h2" ? "h2" : "http/1.1";
  // Names of protocols as they stand in a handshake (RFC 7301 section 3.1); the types know of no such option.
  const options = tls ? { tls: { rejectUnauthorized: false, ALPNProtocols: Buffer.from(`${String.fromCharCode(alpn.length)}${alpn}`, "latin1") } as Bun.TLSOptions } : {};
  Bun.connect({ hostname: "127.0.0.1", port, data: user, socket: tls ? secure : plain, ...options }).catch(() => user.onGone("refused"));
}

/** Bun's side of TLS: what its sockets take and tell, in the seam's words. Half of it is not in Bun's types. */
import { ptr } from "bun:ffi";
import type { X509Certificate } from "node:crypto";
import { createSecureContext, getCACertificates } from "node:tls";
import { libc } from "./libc.ts";
import type { ConnectOwner, HandshakeOwner, NetSocket, SocketOwner } from "./network.ts";
import { NOBODY } from "./leaving.ts";
import { type Handshake, type HandshakeFailure, type TlsClient, type TlsContext, type TlsContextOptions, TlsError, type TlsServer } from "./tls.ts";

/** On macOS Bun has switched the signal off. */
const MSG_NOSIGNAL = process.platform === "linux" ? 0x4000 : 0;

type BunSocket = Bun.Socket<SocketOwner>;
type Failure = (Error & { readonly code?: string }) | null;

/** @throws Error in BoringSSL's words */
export function bunTlsContext({ client = false, clientCertificate = "none", certificate, key, ca, minVersion, maxVersion, ciphers }: TlsContextOptions): TlsContext {
  const made = createSecureContext({
    minVersion: `TLSv${minVersion}`,
    maxVersion: `TLSv${maxVersion}`,
    ...(certificate === undefined ? {} : { cert: certificate, key }),
    ...(ciphers === undefined ? {} : { ciphers }),
    ...(client ? {} : asksFor(clientCertificate)),
    ...(ca === undefined && !client ? {} : { ca: ca ?? authorities() }),
  } as object);
  return (made as unknown as { context: TlsContext }).context;
}

let known: readonly string[] | undefined;

/** Whom a client trusts that was told nothing else: Mozilla's list as the runtime has it, and whom the system trusts. */
function authorities(): readonly string[] {
  return (known ??= [...new Set([...getCACertificates("bundled"), ...getCACertificates("system")])]);
}

/** Protocol names as they stand in a handshake: each with its length before it (RFC 7301 section 3.1). */
function alpnList(protocols: readonly string[]): { ALPNProtocols?: Buffer } {
  return protocols.length === 0 ? {} : { ALPNProtocols: Buffer.concat(protocols.map((name) => Buffer.from([name.length, ...Buffer.from(name, "latin1")]))) };
}

/** For `tls` of Bun.listen. */
export function serverOptions({ context, alpn, clientCertificate }: TlsServer): object {
  return { secureContext: context, ...alpnList(alpn), ...asksFor(clientCertificate) };
}

function asksFor(clientCertificate: TlsServer["clientCertificate"]): object {
  return { requestCert: clientCertificate !== "none", rejectUnauthorized: clientCertificate === "required" };
}

/** For `socket` of Bun.listen, beside what plain sockets have. */
export function serverHandlers(server: TlsServer): object {
  return {
    serverName: (_listener: unknown, name: string) => server.choose(name),
    handshake: (socket: BunSocket, success: boolean, error: Failure) => {
      const owner = socket.data as Partial<HandshakeOwner>;
      // Cutting a socket off in the middle of its handshake ends that too.
      if (owner.onHandshake === undefined) return;
      const handshake = describe(socket, server, success, error);
      if (handshake.failure?.kind === "cleartext") answerCleartext(socket);
      owner.onHandshake(handshake);
    },
  };
}

const TLS_WANTED = "This port speaks HTTPS, and the request came without TLS.\n";
const ANSWER = Buffer.from(`HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${TLS_WANTED.length}\r\nConnection: close\r\n\r\n${TLS_WANTED}`);

/** The socket itself writes TLS only. */
function answerCleartext(socket: BunSocket): void {
  libc().send((socket as unknown as { readonly fd: number }).fd, ptr(ANSWER), ANSWER.length, MSG_NOSIGNAL);
}

function describe(socket: BunSocket, { clientCertificate }: TlsServer, success: boolean, error: Failure): Handshake {
  const certificate = clientCertificate === "none" ? undefined : shownCertificate(socket);
  const serverName = (socket as unknown as { getServername(): string | undefined }).getServername() ?? "";
  // One that is optional must be good all the same.
  const refused = certificate !== undefined && error !== null && error !== undefined;
  if (!success || refused) return { failure: failureOf(error, refused), resumed: false, alpn: "", serverName, clientSubject: "" };
  return { failure: undefined, resumed: socket.isSessionReused(), alpn: socket.alpnProtocol || "", serverName, clientSubject: certificate === undefined ? "" : subjectOf(certificate) };
}

function shownCertificate(socket: BunSocket): X509Certificate | undefined {
  return (socket as unknown as { getPeerX509Certificate(): X509Certificate | undefined }).getPeerX509Certificate();
}

/** The lines that OpenSSL prints are escaped as RFC 4514 wants it; there the last part of the name comes first. "": it names its holder elsewhere (RFC 5280 section 4.1.2.6). */
function subjectOf(certificate: X509Certificate): string {
  // Bun has none then, whatever its types say.
  const subject: string | undefined = certificate.subject;
  const name = (subject ?? "").split("\n").toReversed().map((part) => part.replaceAll(" + ", "+")).join(",");
  // It goes into header fields: what is not ASCII is escaped byte by byte, as RFC 4514 section 2.4 allows.
  return name.replaceAll(/[^\x20-\x7e]/gu, (character) => [...Buffer.from(character)].map((byte) => `\\${byte.toString(16).padStart(2, "0").toUpperCase()}`).join(""));
}

function failureOf(error: Failure, refused: boolean): HandshakeFailure {
  const { code = "", message = "" } = error ?? {};
  if (/PEER_DID_NOT_RETURN_A_CERTIFICATE/.test(message)) return { kind: "certificate-missing", reason: "no client certificate" };
  if (/HTTP_REQUEST/.test(message)) return { kind: "cleartext", reason: "a cleartext HTTP request" };
  if (refused || isAboutCertificate(code)) return { kind: "certificate-refused", reason: message };
  return { kind: code === "ECONNRESET" ? "closed" : "protocol", reason: readable(code, message) };
}

function isAboutCertificate(code: string): boolean {
  return code !== "EPROTO" && code !== "ECONNRESET";
}

const CLOSED = "closed within the handshake";

/** `error:100000f0:SSL routines:OPENSSL_internal:UNSUPPORTED_PROTOCOL` is `unsupported protocol`. */
function readable(code: string, message: string): string {
  if (code === "ECONNRESET") return CLOSED;
  const last = /^error:[0-9a-f]+:.*:([A-Z0-9_]+)$/i.exec(message)?.[1];
  return last === undefined ? message : last.toLowerCase().replaceAll("_", " ");
}

/** For `tls` of Bun.connect. */
export function clientOptions({ context, serverName, verify, alpn }: TlsClient): object {
  return { secureContext: context, serverName, rejectUnauthorized: verify, ...alpnList(alpn) };
}

/** Owns a socket from the connect to the end of its handshake. */
export class Securing implements SocketOwner {
  private readonly owner: ConnectOwner;
  private readonly verify: boolean;
  private over = false;

  /** @param verify a certificate that is not good is a failure */
  constructor(owner: ConnectOwner, verify: boolean) {
    this.owner = owner;
    this.verify = verify;
  }

  onOpen(socket: NetSocket): void {
    this.owner.onSecuring(socket);
  }

  secured(socket: NetSocket, success: boolean, error: Failure): void {
    const { code = "EPROTO", message = "" } = error ?? {};
    // What is wrong with a certificate is told also when it was not to be looked at; the session stands all the same.
    if (success || (!this.verify && isAboutCertificate(code))) {
      socket.data = this.owner;
      this.owner.onOpen(socket);
      return;
    }
    socket.data = NOBODY;
    socket.terminate();
    this.onConnectError(isAboutCertificate(code) ? TlsError.CERTIFICATE : TlsError.HANDSHAKE, readable(code, message));
  }

  onData(): void {}
  onDrain(): void {}
  onEnd(): void {}

  onClose(error: Error | undefined): void {
    this.onConnectError(TlsError.HANDSHAKE, (error as NodeJS.ErrnoException | undefined)?.code ?? CLOSED);
  }

  onConnectError(code: string, reason?: string): void {
    if (this.over) return;
    this.over = true;
    this.owner.onConnectError(code, reason);
  }
}

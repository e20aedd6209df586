/** One TLS client of node:tls, and what it learnt. */
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";

export interface TlsResult {
  /** Common name of the server's certificate; "": the handshake failed. */
  readonly server: string;
  /** Of the server's certificate. */
  readonly fingerprint: string;
  /** PEM. */
  readonly certificate: string;
  readonly names: string;
  readonly alpn: string;
  readonly version: string;
  readonly resumed: boolean;
  /** All that came. */
  readonly received: string;
  /** Code or message of what went wrong; "": nothing. */
  readonly error: string;
  /** The last session ticket. */
  readonly session: Buffer | undefined;
}

/** `GET /` that asks for the end of the connection. */
export function request(path = "/", host = "localhost", more = ""): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${more}\r\n`;
}

/** Shake hands, send `text`, read until the end; without a text end at once. */
export function tlsExchange(port: number, options: ConnectionOptions, text = request()): Promise<TlsResult> {
  return new Promise((resolve) => {
    let received = "";
    let error = "";
    let session: Buffer | undefined;
    let known = { server: "", fingerprint: "", certificate: "", names: "", alpn: "", version: "", resumed: false };
    const socket: TLSSocket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ...options }, () => {
      const certificate = socket.getPeerCertificate();
      const { fingerprint256: fingerprint = "", subjectaltname: names = "" } = certificate;
      known = { server: String(certificate?.subject?.CN ?? ""), fingerprint, names, certificate: String(socket.getPeerX509Certificate() ?? ""), alpn: socket.alpnProtocol || "", version: socket.getProtocol() ?? "", resumed: socket.isSessionReused() };
      if (text === "") socket.end();
      else socket.write(text);
    });
    socket.on("session", (ticket: Buffer) => (session = ticket));
    socket.on("data", (chunk: Buffer) => (received += chunk.toString("latin1")));
    socket.on("error", (problem: NodeJS.ErrnoException) => (error = problem.code ?? problem.message));
    socket.on("end", () => socket.end());
    socket.on("close", () => resolve({ ...known, received, error, session }));
  });
}

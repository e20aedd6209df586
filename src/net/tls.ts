/** What the data plane knows of TLS: how a side of it is set up, and what a handshake came to. Made and carried out behind the seam. */

export type TlsVersion = "1.2" | "1.3";

declare const context: unique symbol;
/** Certificate, key, authorities and versions, ready for handshakes. It also holds the keys of session tickets: whoever keeps it keeps resumption. */
export interface TlsContext {
  readonly [context]: never;
}

export interface TlsContextOptions {
  /** It verifies the certificates of servers; default false. */
  readonly client?: boolean;
  /** PEM: the chain, leaf first, and the leaf's key. A server needs both. */
  readonly certificate?: string;
  readonly key?: string;
  /** PEM: authorities that may have signed what the peer shows; absent: on a client those of the system and of the runtime. */
  readonly ca?: string;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** Asked of clients by a server; default: none is. */
  readonly clientCertificate?: "none" | "optional" | "required";
  /** OpenSSL's list for TLS 1.2; TLS 1.3 has suites of its own. */
  readonly ciphers?: string;
}

/** How a listener answers handshakes. */
export interface TlsServer {
  /** For clients that name nobody (no SNI). */
  readonly context: TlsContext;
  /** For clients that do; undefined: `context`. */
  choose(serverName: string): TlsContext | undefined;
  /** Protocols by preference (ALPN, RFC 7301); empty: it is not spoken. A client that offers others only is refused. */
  readonly alpn: readonly string[];
  readonly clientCertificate: "none" | "optional" | "required";
  /** Answers handshakes that offer `acme-tls/1` and nothing else; undefined: none is expected. Only on an inherited descriptor. */
  readonly challenge?: ChallengeServer | undefined;
}

/** Shows a CA that names are ours: tls-alpn-01 (RFC 8737). */
export interface ChallengeServer {
  /** For names that are not under validation. */
  readonly context: TlsContext;
  /** By the name in lower case. */
  choose(serverName: string): TlsContext | undefined;
}

/** How a connection to a target is secured. */
export interface TlsClient {
  readonly context: TlsContext;
  /** What is asked for (SNI), and what the certificate must be for. "": nothing, and for the address that is connected to. */
  readonly serverName: string;
  /** False: any certificate will do. */
  readonly verify: boolean;
  readonly alpn: readonly string[];
}

/** Codes of onConnectError beside errno's names. */
export const TlsError = {
  /** The target's certificate is not good, or is another's. */
  CERTIFICATE: "TLS_CERTIFICATE",
  HANDSHAKE: "TLS_HANDSHAKE",
} as const;

/** What is known when a handshake is over. */
export interface Handshake {
  /** Undefined: it succeeded. */
  readonly failure: HandshakeFailure | undefined;
  /** It went on with the keys of a session before. */
  readonly resumed: boolean;
  /** What ALPN chose; "": nothing. */
  readonly alpn: string;
  /** SNI as it came; "": none. */
  readonly serverName: string;
  /** Subject of the client's verified certificate (RFC 4514); "": it showed none, or one without a subject. */
  readonly clientSubject: string;
}

export interface HandshakeFailure {
  readonly kind: "certificate-missing" | "certificate-refused" | "cleartext" | "protocol" | "closed";
  /** For people. */
  readonly reason: string;
}

/**
 * What is known of a client before it says anything in the protocol of its listener. Stages between accept and protocol (PROXY protocol header,
 * TLS handshake) find it out and hand the socket on; without any of them there is no arrival: the socket says all.
 */

/** Both ends of a connection as the client sees them. */
export interface Peer {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
}

export interface Arrival {
  /** From the socket, or from a PROXY protocol header that was believed. */
  readonly peer: Peer;
  /** Undefined: its TLS, if there is any, does not end here. */
  readonly tls?: ArrivalTls;
  /** What it asked for in TLS that does not end here: from its ClientHello, or from a PROXY protocol header. */
  readonly hello?: ArrivalHello;
  /** Names the connection across proxies (PP2_TYPE_UNIQUE_ID of the PROXY protocol). */
  readonly uniqueId?: Buffer;
}

export interface ArrivalTls {
  /** Protocol chosen by ALPN (RFC 7301): "h2", "http/1.1"; "": none was. */
  readonly alpn: string;
  /** The name that the client asked for (SNI, RFC 6066 section 3), in lower case; "": none. */
  readonly serverName: string;
  /** Subject of the client's verified certificate (RFC 4514); "": it showed none, or one without a subject. */
  readonly clientSubject: string;
}

export interface ArrivalHello {
  /** Lower case; "": none. */
  readonly serverName: string;
  /** Protocols that it offered, or the one that was chosen; empty: none. */
  readonly alpn: readonly string[];
}

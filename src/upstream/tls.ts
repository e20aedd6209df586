/** How an upstream's targets are spoken to over TLS: one context for all of them, a name for each. */
import ipaddr from "ipaddr.js";
import type { Address, UpstreamTls } from "../config/snapshot.ts";
import type { Network } from "../net/network.ts";
import type { TlsClient, TlsContext } from "../net/tls.ts";

export class UpstreamSecurity {
  /** Of its owner's; others are for other settings. */
  readonly number: number;
  private readonly config: UpstreamTls;
  private readonly context: TlsContext;

  /** @throws Error when certificate or authorities cannot be used; the config's check has read them before */
  constructor(network: Network, config: UpstreamTls, number: number) {
    this.number = number;
    this.config = config;
    const { verify, certificate, key, ca, minVersion, maxVersion } = config;
    this.context = network.tlsContext({ client: verify, minVersion, maxVersion, ...(certificate === undefined || key === undefined ? {} : { certificate, key }), ...(ca === undefined ? {} : { ca }) });
  }

  /** Would these settings make the same? */
  isFor(config: UpstreamTls): boolean {
    return config === this.config || JSON.stringify(config) === JSON.stringify(this.config);
  }

  /** @param alpn protocols that are offered, by preference */
  client(address: Address, alpn: readonly string[]): TlsClient {
    const { serverName, verify } = this.config;
    return { context: this.context, serverName: serverName ?? nameOf(address), verify, alpn };
  }
}

/** An address is never asked for: RFC 6066 section 3. */
function nameOf(address: Address): string {
  if (address.kind === "unix") return "localhost";
  return ipaddr.isValid(address.host) ? "" : address.host;
}

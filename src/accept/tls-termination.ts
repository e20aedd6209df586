/** How a listener answers TLS handshakes: its certificates, chosen by the name that a client asks for. */
import type { CertificateConfig, ListenerTls } from "../config/snapshot.ts";
import type { Network } from "../net/network.ts";
import type { ChallengeServer, TlsContext, TlsServer } from "../net/tls.ts";

export class TlsTermination implements TlsServer {
  context!: TlsContext;
  alpn: readonly string[] = [];
  clientCertificate: "none" | "optional" | "required" = "none";
  challenge: ChallengeServer | undefined = undefined;
  private readonly network: Network;
  /** By what they are made of: one that stays the same keeps its ticket keys, so that clients can resume their sessions. */
  private contexts = new Map<string, TlsContext>();
  private exact = new Map<string, TlsContext>();
  /** By what follows the first label. */
  private wildcards = new Map<string, TlsContext>();

  /** @throws Error when a certificate cannot be used; the config's check has tried it before */
  constructor(network: Network, config: ListenerTls) {
    this.network = network;
    this.apply(config);
  }

  /**
   * Answer like this from the next handshake on.
   * @returns true: clients that name nobody, or ALPN, need a listener that is opened anew
   * @throws Error when a certificate cannot be used; then nothing has changed
   */
  apply(config: ListenerTls): boolean {
    const contexts = new Map<string, TlsContext>();
    const exact = new Map<string, TlsContext>();
    const wildcards = new Map<string, TlsContext>();
    const made = config.certificates.map((certificate) => {
      const context = this.contextFor(config, certificate, contexts);
      for (const name of certificate.names) {
        const [names, key] = name.startsWith("*.") ? [wildcards, name.slice(2)] : [exact, name];
        // Of two that are for the same name the first is used.
        if (!names.has(key)) names.set(key, context);
      }
      return context;
    });
    const [context] = made as [TlsContext, ...TlsContext[]];
    const anew = context !== this.context || config.alpn.join() !== this.alpn.join() || config.clientCertificate !== this.clientCertificate;
    this.contexts = contexts;
    this.exact = exact;
    this.wildcards = wildcards;
    this.context = context;
    this.alpn = config.alpn;
    this.clientCertificate = config.clientCertificate;
    return anew;
  }

  private contextFor({ minVersion, maxVersion, ciphers, clientCa, clientCertificate }: ListenerTls, { certificate, key }: CertificateConfig, made: Map<string, TlsContext>): TlsContext {
    const options = { minVersion, maxVersion, ciphers, certificate, key, clientCertificate, ...(clientCa === undefined ? {} : { ca: clientCa }) };
    const what = JSON.stringify(options);
    const context = made.get(what) ?? this.contexts.get(what) ?? this.network.tlsContext(options);
    made.set(what, context);
    return context;
  }

  /** An exact name, then `*.` for any one label, else the first certificate's (RFC 6125 section 6.4.3). */
  choose(serverName: string): TlsContext | undefined {
    const name = normalName(serverName);
    return this.exact.get(name) ?? this.wildcards.get(name.slice(name.indexOf(".") + 1));
  }
}

/** As names stand in certificates: lower case, without the dot at the end of an absolute name. */
export function normalName(serverName: string): string {
  const name = serverName.toLowerCase();
  return name.endsWith(".") ? name.slice(0, -1) : name;
}

/** A back end that speaks HTTPS and says which one it is. */
import type { Pair } from "./certificates.ts";

export interface TlsBackendOptions extends Pair {
  readonly name?: string;
  /** Clients must show a certificate of this authority (PEM). */
  readonly clientCa?: string;
  readonly fetch?: (request: Request) => Response | Promise<Response>;
}

export class TlsBackend {
  requests = 0;
  private readonly server: ReturnType<typeof Bun.serve>;

  constructor({ name = "backend", certificate, key, clientCa, fetch = () => new Response(name) }: TlsBackendOptions) {
    this.server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert: certificate, key, ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }) },
      fetch: (request) => {
        this.requests++;
        return fetch(request);
      },
    });
  }

  get address(): string {
    return `127.0.0.1:${this.server.port}`;
  }

  async stop(): Promise<void> {
    await this.server.stop(true);
  }
}

/** Answers to the challenges that are pending now: what workers show to whoever validates (RFC 8555 section 8, RFC 8737). */

/** A certificate for one name under validation by tls-alpn-01, in PEM. */
export interface AlpnAnswer {
  readonly certificate: string;
  readonly key: string;
}

export interface Challenges {
  /** http-01: a token to its key authorization. */
  readonly http: Readonly<Record<string, string>>;
  /** tls-alpn-01: a name to what is shown for it. */
  readonly alpn: Readonly<Record<string, AlpnAnswer>>;
}

export const NO_CHALLENGES: Challenges = { http: {}, alpn: {} };

export function anyPending({ http, alpn }: Challenges): boolean {
  return Object.keys(http).length + Object.keys(alpn).length > 0;
}

/** Those that are pending, over all orders; whoever shows them hears of each change. */
export class PendingChallenges {
  private readonly http = new Map<string, string>();
  private readonly alpn = new Map<string, AlpnAnswer>();
  private readonly show: (challenges: Challenges) => Promise<void>;

  /** @param show resolves when every worker shows them */
  constructor(show: (challenges: Challenges) => Promise<void>) {
    this.show = show;
  }

  private told(): Promise<void> {
    return this.show({ http: Object.fromEntries(this.http), alpn: Object.fromEntries(this.alpn) });
  }

  async addHttp(token: string, keyAuthorization: string): Promise<void> {
    this.http.set(token, keyAuthorization);
    await this.told();
  }

  async addAlpn(name: string, answer: AlpnAnswer): Promise<void> {
    this.alpn.set(name, answer);
    await this.told();
  }

  async removeHttp(token: string): Promise<void> {
    if (this.http.delete(token)) await this.told();
  }

  async removeAlpn(name: string): Promise<void> {
    if (this.alpn.delete(name)) await this.told();
  }
}

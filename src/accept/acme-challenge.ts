/** What a CA is shown that validates names by tls-alpn-01 (RFC 8737): a certificate for each, for as long as that goes on. */
import type { Network } from "../net/network.ts";
import type { ChallengeServer } from "../net/tls.ts";

/** @param answers a name to its certificate and key, in PEM @returns undefined when there are none */
export function challengeServer(network: Network, answers: Readonly<Record<string, { readonly certificate: string; readonly key: string }>>): ChallengeServer | undefined {
  const contexts = new Map(Object.entries(answers).map(([name, { certificate, key }]) => [name, network.tlsContext({ certificate, key, minVersion: "1.2", maxVersion: "1.3" })]));
  const [context] = contexts.values();
  return context === undefined ? undefined : { context, choose: (name) => contexts.get(name.toLowerCase()) };
}

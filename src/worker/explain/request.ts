/** The request that is to be explained, as bytes that a client would send, and the listener that would hear them. */
import type { RequestToExplain } from "../../admin/explained.ts";
import type { ListenerConfig } from "../../config/snapshot.ts";
import ipaddr from "ipaddr.js";

/** It cannot be explained as it is: the message says what is wrong, and what to write instead. */
export class Unexplainable extends Error {
  readonly code = "FAIRLEAD_UNEXPLAINABLE";
}

export interface Asked {
  readonly scheme: "http" | "https" | "tcp" | "udp";
  /** Of the URL, without port; a name that TLS asks for. */
  readonly name: string;
  /** That it names, or its scheme's; 0: neither. */
  readonly port: number;
  readonly method: string;
  readonly client: string;
  readonly clientPort: number;
  /** An HTTP/1.1 head; it need not be a good one. */
  readonly head: Buffer;
}

const SCHEME_PORTS: Readonly<Record<Asked["scheme"], number>> = { http: 80, https: 443, tcp: 0, udp: 0 };
const MAX_PORT = 65_535;
/** A client that nobody has said anything about. */
const SOMEBODY = { address: "127.0.0.1", port: 50_000 };

/** @throws Unexplainable */
export function askedOf({ url, method = "GET", headers = {}, client }: RequestToExplain): Asked {
  const [, scheme = "", authority = "", rest = ""] = /^([A-Za-z]+):\/\/([^/?#]*)([^#]*)/.exec(url) ?? [];
  const known = scheme.toLowerCase();
  if (!Object.hasOwn(SCHEME_PORTS, known)) throw new Unexplainable(`"${url}" is no URL of a request: write it with scheme and host, as https://api.example.com/v1/x or tcp://127.0.0.1:5432`);
  const place = /^(?:\[([^\]]+)\]|([^:[\]\s@]+))(?::(\d{1,5}))?$/.exec(authority);
  if (place === null || Number(place[3] ?? 1) > MAX_PORT) throw new Unexplainable(`"${authority}" in the URL is no host: write a name or an address, with a port if it is not the usual one`);
  const own = place[3] === undefined ? SCHEME_PORTS[known as Asked["scheme"]] : Number(place[3]);
  const fields = Object.entries(headers).flatMap(([name, value]) => (typeof value === "string" ? [value] : value).map((one) => [name, one] as const));
  const withHost = fields.some(([name]) => name.toLowerCase() === "host") ? fields : [["Host", authority] as const, ...fields];
  for (const [name] of fields) if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name)) throw new Unexplainable(`"${name}" is no name of a header`);
  for (const [name, value] of withHost) if (/[\r\n\0]|[^\0-\u00FF]/.test(value)) throw new Unexplainable(`the value of ${name} holds a character that no field may: it is sent as latin-1, without line ends`);
  const target = rest === "" || rest.startsWith("?") ? `/${rest}` : rest;
  if (/[\r\n]|[^\0-\u00FF]/.test(target)) throw new Unexplainable("the path holds a character that must be percent-encoded");
  const lines = withHost.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const from = clientOf(client);
  return { scheme: known as Asked["scheme"], name: (place[1] ?? place[2]!).toLowerCase(), port: own, method, client: from.address, clientPort: from.port, head: Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines}\r\n`, "latin1") };
}

function clientOf(text: string | undefined): { readonly address: string; readonly port: number } {
  if (text === undefined) return SOMEBODY;
  if (ipaddr.isValid(text)) return { address: text, port: SOMEBODY.port };
  const [, v6, v4, port] = /^(?:\[([^\]]+)\]|([\d.]+)):(\d{1,5})$/.exec(text) ?? [];
  const address = v6 ?? v4 ?? "";
  if (!ipaddr.isValid(address) || Number(port) > MAX_PORT) throw new Unexplainable(`client "${text}" is no address: write it as 203.0.113.9, 203.0.113.9:5000 or [2001:db8::1]:5000`);
  return { address, port: Number(port) };
}

/** A listener, and the port that it is bound to; 0: none. */
export interface Candidate {
  readonly config: ListenerConfig;
  readonly port: number;
}

/** Who hears it: the one that is named; else the one on the URL's port; else the only one for its scheme, as ports may be mapped on the way. @throws Unexplainable */
export function listenerFor(asked: Asked, name: string | undefined, candidates: readonly Candidate[]): Candidate & { readonly foundBy: "name" | "port" | "scheme" } {
  const all = candidates.map(({ config, port }) => `${config.name} (${schemeOf(config)}${port === 0 ? "" : `, port ${port}`})`).join(", ");
  if (name !== undefined) {
    const named = candidates.find(({ config }) => config.name === name);
    if (named === undefined) throw new Unexplainable(`there is no listener "${name}"; there are ${all}`);
    return { ...named, foundBy: "name" };
  }
  const spoken = candidates.filter(({ config }) => schemeOf(config) === asked.scheme);
  const here = spoken.filter(({ port, config }) => port === asked.port && port !== 0 && isAt(config, asked.name));
  if (here.length > 0) return { ...here[0]!, foundBy: "port" };
  if (spoken.length === 1) return { ...spoken[0]!, foundBy: "scheme" };
  const why = spoken.length === 0 ? `no listener speaks ${asked.scheme}` : `no ${asked.scheme} listener is at port ${asked.port}, and there is more than one`;
  throw new Unexplainable(`${why}: name one (listener, or --listener) of ${all}`);
}

function schemeOf({ protocol, tls }: ListenerConfig): string {
  if (protocol === "tls-passthrough") return "https";
  return protocol === "http" && tls !== undefined ? "https" : protocol;
}

/** An address in the URL is one that the listener has; a name may lead anywhere. */
function isAt({ address }: ListenerConfig, name: string): boolean {
  if (address.kind !== "tcp" || !ipaddr.isValid(name) || !ipaddr.isValid(address.host)) return true;
  return address.host === "0.0.0.0" || address.host === "::" || ipaddr.process(address.host).toString() === ipaddr.process(name).toString();
}

/** What of a request the hash policies go by: its client, its address, a field, a cookie or a query parameter. */
import type { HashKey } from "../config/snapshot.ts";
import { plainAddress } from "../net/endpoint.ts";
import { cookieOf } from "../upstream/cookie.ts";

/** The parts of a request that a key may be made of. */
interface Source {
  readonly clientAddress: string;
  readonly path: string;
  header(name: string): string | undefined;
}

/** Undefined: the request does not have it. Values are taken as they came, without decoding. */
export function keyOf(request: Source, key: HashKey): string | undefined {
  switch (key.kind) {
    case "client-ip":
      return clientKey(request.clientAddress);
    case "uri":
      return orNothing(request.path);
    case "path":
      return orNothing(request.path.split("?", 1)[0]!);
    case "header":
      return request.header(key.name);
    case "cookie":
      return cookieOf(request.header("cookie"), key.name);
    default:
      return queryOf(request.path, key.name);
  }
}

/** One client, one text: an IPv4 address on an IPv6 socket is the IPv4 address. */
export function clientKey(address: string): string | undefined {
  return orNothing(plainAddress(address));
}

function queryOf(target: string, name: string): string | undefined {
  const question = target.indexOf("?");
  if (question < 0) return undefined;
  for (const part of target.slice(question + 1).split("&")) {
    if (part === name) return "";
    if (part.startsWith(name) && part.charCodeAt(name.length) === 0x3d) return part.slice(name.length + 1);
  }
  return undefined;
}

function orNothing(text: string): string | undefined {
  return text === "" ? undefined : text;
}

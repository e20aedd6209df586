/** Leaving HTTP for another protocol: who may ask for it, and for which. */
import { type Fields, Name } from "./fields.ts";
import { joined } from "./forward.ts";
import type { RequestHead } from "./h1/request-head.ts";

/** The client asks to leave HTTP for another protocol, and may: RFC 9110 section 7.8. */
export function asksUpgrade(head: RequestHead): boolean {
  if (!head.connectionUpgrade || head.minor !== 1 || !head.has(Name.UPGRADE)) return false;
  const protocols = protocolsOf(head);
  return protocols.length > 0 && !protocols.some(isHttp);
}

/** Protocols that carry requests: in a tunnel they would pass by everything that is decided of one. */
const HTTP_PROTOCOLS = new Set(["h2c", "h2", "http"]);

function isHttp(protocol: string): boolean {
  return HTTP_PROTOCOLS.has(protocol.split("/", 1)[0]!.trim());
}

/** What Upgrade names, in lower case, as which they are compared: a list of `name[/version]`, RFC 9110 section 7.8. */
export function protocolsOf(head: Fields): string[] {
  return joined(head, Name.UPGRADE)
    .toLowerCase()
    .split(",")
    .map((protocol) => protocol.trim())
    .filter((protocol) => protocol !== "");
}

/** Which peers are trusted proxies: CIDR matching by ipaddr.js, asked once a connection. */
import ipaddr from "ipaddr.js";

type Block = [ipaddr.IPv4 | ipaddr.IPv6, number];

/** Stands for every client of a unix socket, which has no address. */
const UNIX = "unix";

/** @param blocks CIDR blocks, addresses or "unix", checked by the config @returns a test of a textual address */
export function trustedMatcher(blocks: readonly string[]): (address: string) => boolean {
  if (blocks.length === 0) return () => false;
  const parsed = blocks.filter((block) => block !== UNIX).map(parseBlock);
  const unix = blocks.includes(UNIX);
  return (address) => {
    if (address === "") return unix;
    if (!ipaddr.isValid(address)) return false;
    // IPv4 clients of a dual-stack socket come as ::ffff:a.b.c.d.
    const peer = ipaddr.process(address);
    return parsed.some(([network, bits]) => network.kind() === peer.kind() && peer.match([network, bits] as [ipaddr.IPv4, number]));
  };
}

function parseBlock(block: string): Block {
  const [network, bits] = ipaddr.parseCIDR(block.includes("/") ? block : `${block}/${block.includes(":") ? 128 : 32}`);
  // IPv4 in IPv6's clothes is IPv4.
  return network instanceof ipaddr.IPv6 && network.isIPv4MappedAddress() && bits >= 96 ? [network.toIPv4Address(), bits - 96] : [network, bits];
}

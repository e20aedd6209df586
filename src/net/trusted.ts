/** Which peers are trusted proxies: CIDR matching by ipaddr.js, asked once a connection. */
import ipaddr from "ipaddr.js";

type Block = [ipaddr.IPv4 | ipaddr.IPv6, number];

/** @param blocks CIDR blocks, checked by the config @returns a test of a textual address */
export function trustedMatcher(blocks: readonly string[]): (address: string) => boolean {
  if (blocks.length === 0) return () => false;
  const parsed: Block[] = blocks.map((block) => (block.includes("/") ? ipaddr.parseCIDR(block) : [ipaddr.process(block), block.includes(":") ? 128 : 32]));
  return (address) => {
    if (!ipaddr.isValid(address)) return false;
    // IPv4 clients of a dual-stack socket come as ::ffff:a.b.c.d.
    const peer = ipaddr.process(address);
    return parsed.some(([network, bits]) => network.kind() === peer.kind() && peer.match([network, bits] as [ipaddr.IPv4, number]));
  };
}

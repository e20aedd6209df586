/** Addresses of the other side as everybody here writes them. */

/** An IPv4 client of a dual-stack socket comes as ::ffff:a.b.c.d; it is the IPv4 address. "" on unix sockets. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return "";
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}

/** `127.0.0.1:1234`, `[::1]:1234`, or `unix` where there is no address. */
export function formatEndpoint(address: string, port: number): string {
  if (address === "") return "unix";
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

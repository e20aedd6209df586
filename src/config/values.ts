/** The texts that a config may hold as values: durations, sizes, addresses, CIDR blocks. Each is parsed here and nowhere else. */
import ipaddr from "ipaddr.js";
import type { Address, HashKey, ListenAddress } from "./snapshot.ts";

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZE_UNITS: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, KB: 1000, MB: 1000 ** 2, GB: 1000 ** 3 };
/** setTimeout's own limit, about 24.8 days. */
const MAX_DURATION = 2 ** 31 - 1;

/** `"250ms"`, `"5s"`, `"1m30s"`, `"1h"` in milliseconds; `"0"`, `"0s"` and `"off"` are 0. Undefined: not a duration. */
export function parseDuration(text: string): number | undefined {
  const total = parseLongDuration(text);
  return total !== undefined && total <= MAX_DURATION ? total : undefined;
}

/** The same without setTimeout's limit, for what no timer waits for in one piece. */
export function parseLongDuration(text: string): number | undefined {
  if (text === "off" || text === "0") return 0;
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) total += Number(amount) * DURATION_UNITS[unit!]!;
  return Number.isSafeInteger(Math.round(total)) ? Math.round(total) : undefined;
}

/** The same to the µs, for what is measured: in ms, with fraction. */
export function parseExactDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(us|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(us|ms|s|m|h)/g)) total += Number(amount) * (unit === "us" ? 0.001 : DURATION_UNITS[unit!]!);
  const exact = Math.round(total * 1000) / 1000;
  return exact <= MAX_DURATION ? exact : undefined;
}

/** `"64KiB"`, `"1MiB"`, `"512"` (bytes) in bytes; `"off"` is 0. Undefined: not a size. */
export function parseSize(text: string): number | undefined {
  if (text === "off") return 0;
  const match = /^(\d+(?:\.\d+)?)\s?(B|KiB|MiB|GiB|KB|MB|GB)?$/.exec(text);
  if (match === null) return undefined;
  const bytes = Math.round(Number(match[1]) * SIZE_UNITS[match[2] ?? "B"]!);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/**
 * `host:port`, `[v6]:port`, `:port` (every address) or `unix:/path`. Undefined: not an address.
 * @param anyPort port 0 is allowed (a listener that takes any free one)
 */
export function parseAddress(text: string, anyPort: boolean): Address | undefined {
  if (text.startsWith("unix:")) {
    const path = text.slice(5);
    // sun_path of Linux holds 107 bytes and a NUL.
    return path !== "" && Buffer.byteLength(path) <= 107 ? { kind: "unix", path } : undefined;
  }
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]/@]*)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const port = Number(match[3]);
  if (port > 65_535 || (port === 0 && !anyPort)) return undefined;
  if (match[1] !== undefined) return ipaddr.IPv6.isValid(match[1]) ? { kind: "tcp", host: match[1], port } : undefined;
  const host = match[2]!;
  if (host === "") return { kind: "tcp", host: "0.0.0.0", port };
  // What looks like an IPv4 address must be one; anything else is a name.
  if (/^[\d.]+$/.test(host) ? !ipaddr.IPv4.isValidFourPartDecimal(host) : !/^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?$/.test(host)) return undefined;
  return { kind: "tcp", host, port };
}

/** The same for a listener, or `systemd:NAME`: a socket that systemd passes under that name. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const name = /^systemd:([A-Za-z0-9][A-Za-z0-9._-]*)$/.exec(text)?.[1];
  return name === undefined ? parseAddress(text, true) : { kind: "systemd", name };
}

/** An address as people write it. */
export function formatAddress(address: ListenAddress): string {
  if (address.kind === "systemd") return `systemd:${address.name}`;
  if (address.kind === "unix") return `unix:${address.path}`;
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** A CIDR block, a single address, or "unix" for clients of a unix socket. */
export function isBlock(text: string): boolean {
  if (text === "unix") return true;
  return text.includes("/") ? ipaddr.isValidCIDR(text) : ipaddr.isValid(text);
}

/** `"50%"`, `"50"` in percent; `"off"` is 0. Undefined: not a percentage. */
export function parsePercent(text: string): number | undefined {
  if (text === "off") return 0;
  const match = /^(\d+(?:\.\d+)?)\s?%?$/.exec(text);
  const value = match === null ? Number.NaN : Number(match[1]);
  return value <= 100 ? value : undefined;
}

/** `client-ip`, `uri`, `path`, `header:NAME`, `cookie:NAME`, `query:NAME`. Undefined: none of them. */
export function parseHashKey(text: string): HashKey | undefined {
  if (text === "client-ip" || text === "uri" || text === "path") return { kind: text };
  const match = /^(header|cookie|query):([^\s:;=&]+)$/.exec(text);
  return match === null ? undefined : { kind: match[1] as "header" | "cookie" | "query", name: match[2]! };
}

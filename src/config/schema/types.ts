/** What values may be: texts with a form, numbers with a range. */
import { z } from "zod";
import { isBlock, parseAddress, parseDuration, parseLongDuration, parsePercent, parseSize } from "../values.ts";

/** A text that `parse` turns into something else; undefined is refused with what was expected. */
export function parsed<T>(parse: (text: string) => T | undefined, expected: string, pattern?: string): z.ZodPipe<z.ZodString, z.ZodTransform<T, string>> {
  return z
    .string()
    .meta(pattern === undefined ? {} : { pattern })
    .transform((text, context): T => {
      const value = parse(text);
      if (value !== undefined) return value;
      context.addIssue({ code: "custom", message: `"${text}" is not ${expected}` });
      return z.NEVER;
    });
}

export const DURATION = String.raw`^(off|0|(\d+(\.\d+)?(ms|s|m|h|d))+)$`;
export const SIZE = String.raw`^(off|\d+(\.\d+)?\s?(B|KiB|MiB|GiB|KB|MB|GB)?)$`;
export const optionalDuration = parsed(parseDuration, 'a duration, as "250ms", "5s", "1m" or "off"', DURATION);
export const lifetime = parsed((text) => parseLongDuration(text) || undefined, 'a duration above zero, as "12h" or "365d"', DURATION);
export const duration = parsed((text) => parseDuration(text) || undefined, 'a duration above zero, as "250ms", "5s" or "1m"', DURATION);
export const file = z.string().min(1, { error: "a file's path is not empty" });
export const size = z.union([parsed(parseSize, 'a size, as "64KiB", "1MiB" or "off"', SIZE), z.number().int().min(0)]);
export const someSize = z.union([parsed((text) => parseSize(text) || undefined, 'a size above zero, as "64KiB" or "1MiB"', SIZE), z.number().int().min(1)]);
export const percent = z.union([parsed(parsePercent, 'a percentage, as "50%" or "off"', String.raw`^(off|\d+(\.\d+)?\s?%?)$`), z.number().min(0).max(100)]);
export const ADDRESSES = 'an address, as "0.0.0.0:8080", ":8080", "[::]:8080" or "unix:/run/x.sock"';
export const listenAddress = parsed((text) => parseAddress(text, true), ADDRESSES);
export const targetAddress = z.string().refine((text) => parseAddress(text, false) !== undefined && !text.startsWith(":"), {
  error: (issue) => `"${String(issue.input)}" is not an address, as "127.0.0.1:9001", "host:80", "[::1]:9001" or "unix:/run/x.sock"`,
});
export const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, { error: "a name has letters, digits, dots, dashes and underscores, and starts with a letter or digit" });
export const path = z.string().regex(/^\/[\x21-\x7e]*$/, { error: 'a path starts with "/" and has no spaces' });
export const whole = (from: number, to: number): z.ZodNumber => z.number().int().min(from).max(to);
export const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
export const headerName = z.string().regex(token, { error: "this is not a header name" });
export const fieldValue = z.string().regex(/^[\t\x20-\x7e]*$/, { error: "a header value has printable characters only" });
export const block = z.string().refine(isBlock, { error: (issue) => `"${String(issue.input)}" is not an address, a CIDR block as "10.0.0.0/8", or "unix"` });

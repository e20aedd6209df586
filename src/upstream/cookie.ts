/** Reads one cookie out of a Cookie field. */

/** Value of the first cookie of this name (RFC 6265 section 4.2.1). Several fields, joined by commas, are read as one. */
export function cookieOf(field: string | undefined, name: string): string | undefined {
  if (field === undefined) return undefined;
  for (let at = 0; at < field.length; ) {
    while (isBlank(field.charCodeAt(at))) at++;
    let end = at;
    while (end < field.length && !isSeparator(field.charCodeAt(end))) end++;
    if (field.startsWith(name, at) && field.charCodeAt(at + name.length) === 0x3d) return field.slice(at + name.length + 1, end).trim();
    at = end + 1;
  }
  return undefined;
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function isSeparator(code: number): boolean {
  return code === 0x3b || code === 0x2c;
}

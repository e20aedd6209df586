/** The path as routes see it (RFC 3986 section 6.2.2); what is sent on is what came. */

/** Most requests need none of it. */
const NEEDS_WORK = /%|\/\.|\/\//;

/**
 * Without query and fragment; unreserved characters decoded, dot segments resolved, repeated slashes merged.
 * `%2F` stays as it is: an encoded slash separates nothing.
 */
export function normalizePath(target: string): string {
  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  if (!NEEDS_WORK.test(path)) return path;
  const decoded = path.replace(/%([0-9A-Fa-f]{2})/g, (escape, hex: string) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16));
    return /[A-Za-z0-9\-._~]/.test(character) ? character : escape.toUpperCase();
  });
  const segments: string[] = [];
  const parts = decoded.split("/");
  for (const [index, part] of parts.entries()) {
    const last = index === parts.length - 1;
    if (part === "..") segments.pop();
    else if (part !== "." && part !== "") segments.push(part);
    if (last && (part === "" || part === "." || part === "..")) segments.push("");
  }
  return `/${segments.join("/")}`;
}

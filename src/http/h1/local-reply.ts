/** Replies of our own: short, plain, complete. */

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  308: "Permanent Redirect",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  413: "Content Too Large",
  414: "URI Too Long",
  417: "Expectation Failed",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

/** @param detail goes behind the reason in the body of an error; for 200 it is the body */
export function localReply(status: number, detail: string, how: { readonly keepAlive: boolean; readonly minor: number; readonly withBody: boolean; readonly wall: number; readonly retryAfter?: number; readonly location?: string | undefined }): string {
  const reason = REASONS[status] ?? "Error";
  const body = status === 200 ? detail : detail === "" ? reason : `${reason}: ${detail}`;
  const connection = !how.keepAlive ? "Connection: close\r\n" : how.minor === 0 ? "Connection: keep-alive\r\n" : "";
  const allow = status === 405 ? "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" : "";
  // In whole seconds: RFC 9110 section 10.2.3.
  const retry = how.retryAfter === undefined || how.retryAfter === 0 ? "" : `Retry-After: ${Math.ceil(how.retryAfter / 1000)}\r\n`;
  const location = how.location === undefined ? "" : `Location: ${how.location}\r\n`;
  return (
    `HTTP/1.1 ${status} ${reason}\r\nDate: ${new Date(how.wall).toUTCString()}\r\n` +
    `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${body.length}\r\n${allow}${retry}${location}${connection}\r\n${how.withBody ? body : ""}`
  );
}

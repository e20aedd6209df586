/** Replies of our own: short, plain, complete. Each codec puts its own frame around them. */

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  411: "Length Required",
  412: "Precondition Failed",
  413: "Content Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  416: "Range Not Satisfiable",
  417: "Expectation Failed",
  421: "Misdirected Request",
  422: "Unprocessable Content",
  426: "Upgrade Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

export interface LocalReply {
  readonly reason: string;
  /** Field lines, each with its CRLF. */
  readonly lines: string;
  readonly body: string;
}

/**
 * @param detail goes behind the reason in the body of an error; for 200 it is the body
 * @param wall ms since 1970
 * @param retryAfter in ms; 0: not said
 * @param location of a redirect
 */
export function localReply(status: number, detail: string, wall: number, retryAfter: number, location?: string): LocalReply {
  const reason = REASONS[status] ?? "Error";
  const body = status === 200 ? detail : detail === "" ? reason : `${reason}: ${detail}`;
  const allow = status === 405 ? "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" : "";
  // In whole seconds: RFC 9110 section 10.2.3.
  const retry = retryAfter === 0 ? "" : `Retry-After: ${Math.ceil(retryAfter / 1000)}\r\n`;
  const where = location === undefined ? "" : `Location: ${location}\r\n`;
  return { reason, lines: `Date: ${new Date(wall).toUTCString()}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${body.length}\r\n${allow}${retry}${where}`, body };
}

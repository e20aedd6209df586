/** What a conformance case is: bytes that one side sends, and what the other side may see of them. Data only; runner.ts plays them. */

/** A request that must reach the back end, well-formed and complete. */
export interface Expected {
  /** Request line as the back end must see it. */
  readonly line?: string;
  readonly body?: string;
  /** Fields that must be there with this value (several lines joined by ", "). */
  readonly has?: Readonly<Record<string, string | RegExp>>;
  /** Fields that must not be there. */
  readonly lacks?: readonly string[];
  /** All trailers, as `Name: value`. */
  readonly trailers?: readonly string[];
}

export type RequestVerdict =
  /** The listed requests arrive, complete and in order, and each gets its 200. */
  | { readonly kind: "forwarded"; readonly requests: readonly Expected[] }
  /** After `before` good requests: one of these statuses, the connection closed, nothing more completes at the back end. */
  | { readonly kind: "refused"; readonly statuses: readonly number[]; readonly before: number }
  /** Answered by Fairlead itself; the back end sees nothing. */
  | { readonly kind: "answered"; readonly statuses: readonly number[] }
  /** The client ended too early: nothing completes, whatever the client is told. */
  | { readonly kind: "incomplete" }
  /** The rules leave it open: refused with 4xx/5xx, or forwarded in a well-formed way as `requests`. */
  | { readonly kind: "either"; readonly requests: readonly Expected[] };

export interface RequestCase {
  readonly name: string;
  /** Rule number of the project's protocol rules, RFC section, or CVE. */
  readonly source: string;
  /** latin1 bytes. */
  readonly send: string;
  /** FIN after the last byte. */
  readonly end: boolean;
  readonly verdict: RequestVerdict;
}

export function refuse(name: string, source: string, send: string, statuses: readonly number[] = [400], before = 0): RequestCase {
  return { name, source, send, end: false, verdict: { kind: "refused", statuses, before } };
}

export function forward(name: string, source: string, send: string, ...requests: readonly Expected[]): RequestCase {
  return { name, source, send, end: false, verdict: { kind: "forwarded", requests: requests.length === 0 ? [{}] : requests } };
}

export function answer(name: string, source: string, send: string, ...statuses: readonly number[]): RequestCase {
  return { name, source, send, end: false, verdict: { kind: "answered", statuses } };
}

export function cut(name: string, source: string, send: string): RequestCase {
  return { name, source, send, end: true, verdict: { kind: "incomplete" } };
}

export function either(name: string, source: string, send: string, ...requests: readonly Expected[]): RequestCase {
  return { name, source, send, end: false, verdict: { kind: "either", requests: requests.length === 0 ? [{}] : requests } };
}

/** `METHOD / HTTP/1.1` with Host, these field lines (without their CRLF), and a body. */
export function message(method: string, fields: readonly string[], body = ""): string {
  return `${method} / HTTP/1.1\r\nHost: a.test\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\n${body}`;
}

/** A GET with these further lines. */
export function get(...fields: readonly string[]): string {
  return message("GET", fields);
}

/** A POST with these field lines and this body, exactly. */
export function post(fields: readonly string[], body: string): string {
  return message("POST", fields, body);
}

/** A chunked POST with this body, exactly. */
export function chunked(body: string, ...fields: readonly string[]): string {
  return post(["Transfer-Encoding: chunked", ...fields], body);
}

export type ResponseVerdict =
  /** The client gets this final reply, complete. */
  | {
      readonly kind: "reply";
      readonly status: number;
      readonly body?: string;
      readonly has?: Readonly<Record<string, string | RegExp>>;
      readonly lacks?: readonly string[];
      readonly trailers?: readonly string[];
      /** Statuses of the interim replies before it. */
      readonly interim?: readonly number[];
    }
  /** 502, and nothing of what the back end sent. */
  | { readonly kind: "bad" }
  /** 502, or a reply that the client sees to be cut short: never one that looks complete. */
  | { readonly kind: "broken" }
  /** The rules leave it open: 502 or this body, complete. */
  | { readonly kind: "either"; readonly body: string };

export interface ResponseCase {
  readonly name: string;
  readonly source: string;
  /** Method of the request that is answered. */
  readonly method: string;
  /** latin1 bytes that the back end sends. */
  readonly send: string;
  /** What the back end does after the last byte. */
  readonly after: "stay" | "end" | "reset";
  readonly verdict: ResponseVerdict;
}

type ReplyWish = Omit<Extract<ResponseVerdict, { kind: "reply" }>, "kind">;
type Ending = ResponseCase["after"];

export function gives(name: string, source: string, send: string, wish: ReplyWish, after: Ending = "stay", method = "GET"): ResponseCase {
  return { name, source, method, send, after, verdict: { kind: "reply", ...wish } };
}

export function bad(name: string, source: string, send: string, after: Ending = "stay"): ResponseCase {
  return { name, source, method: "GET", send, after, verdict: { kind: "bad" } };
}

export function broken(name: string, source: string, send: string, after: Ending = "stay"): ResponseCase {
  return { name, source, method: "GET", send, after, verdict: { kind: "broken" } };
}

export function open(name: string, source: string, send: string, body: string, after: Ending = "stay"): ResponseCase {
  return { name, source, method: "GET", send, after, verdict: { kind: "either", body } };
}

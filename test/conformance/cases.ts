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
  | { readonly kind: "either"; readonly requests: readonly Expected[] }
  /** However it ends: the back end sees these requests at most, in their order, each whole or broken off. */
  | { readonly kind: "at most"; readonly requests: readonly Expected[] }
  /** The back end is never asked for one of these protocols, and no tunnel comes of it. */
  | { readonly kind: "no tunnel"; readonly protocols: readonly string[] };

export interface RequestCase {
  readonly name: string;
  /** Section of an RFC, a published work with its year, or a CVE. */
  readonly source: string;
  /** latin1 bytes. */
  readonly send: string;
  /** FIN after the last byte. */
  readonly end: boolean;
  readonly verdict: RequestVerdict;
  /** The source says MUST: to make something well-formed of it is no reading that the RFC leaves open. */
  readonly must?: boolean;
  /** Why a milder reader may see more than one request in it, each well-formed. */
  readonly room?: string;
  /** To back ends of HTTP/1 only. */
  readonly h1Only?: boolean;
  /** The client sends so many bytes, waits for whatever comes (at most PAUSE ms), and sends the rest. */
  readonly pauseAt?: number;
  /** What the back end does: waits for the whole request and answers (default), answers as soon as it has the head, or agrees to any upgrade. */
  readonly backend?: "early" | "agreeable";
  /** About this product's own limits and rules; another may have its own. */
  readonly own?: boolean;
}

/** The request that a response case answers. */
export function asked({ method, asks = [] }: ResponseCase): string {
  return `${method} /case HTTP/1.1\r\nHost: a.test\r\n${asks.map((line) => `${line}\r\n`).join("")}\r\n`;
}

/** How long a client waits inside a request, in ms. */
export const PAUSE = 150;

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

export function atMost(name: string, source: string, send: string, ...requests: readonly Expected[]): RequestCase {
  return { name, source, send, end: false, verdict: { kind: "at most", requests } };
}

/** The same cases, where the RFC says that they MUST be refused. */
export function must(...cases: readonly RequestCase[]): RequestCase[] {
  return cases.map((one) => ({ ...one, must: true }));
}

/** The same cases, in which a milder reader may see more than one request. */
export function room(reason: string, ...cases: readonly RequestCase[]): RequestCase[] {
  return cases.map((one) => ({ ...one, room: reason }));
}

/** The same cases, about limits and rules that each product has of its own. */
export function own(...cases: readonly RequestCase[]): RequestCase[] {
  return cases.map((one) => ({ ...one, own: true }));
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
  /** The rules leave it open: 502, a reply that is visibly cut short, or this body, complete. */
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
  /** Field lines of the request beside Host. */
  readonly asks?: readonly string[];
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

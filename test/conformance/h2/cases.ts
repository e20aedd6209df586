/**
 * What an HTTP/2 conformance case is: frames that a client sends, what must come back, and what of it the HTTP/1 back end may see.
 * Data only; runner.ts plays them.
 *
 * Ids that begin with `generic/`, `http2/` and `hpack/` are those of the h2spec test suite for the same requirement.
 */
import { data, headers, more } from "../../support/h2-frames.ts";
import { block, type Field } from "../../support/h2-hpack.ts";
import type { H2Client, H2Options, Wish } from "../../support/h2.ts";
import { reply, type Script } from "../../support/raw-backend.ts";
import type { Expected } from "../cases.ts";

/** Bytes to send (neighbours go out in one write), something to wait for, or both at once where the one depends on the other. */
export type Step = Buffer | Wish | ((client: H2Client) => Promise<unknown>);

/**
 * What the back end may see: nothing; nothing whole (what was begun is broken off); these requests, whole, in any order; this one or none;
 * or whatever well-formed requests the case makes, none of them left half-done.
 */
export type Sees = "nothing" | "nothing whole" | "anything" | readonly Expected[] | { readonly atMost: Expected };

export interface H2Case {
  readonly id: string;
  readonly name: string;
  /** RFC section, rule number of the project's protocol rules, or CVE. */
  readonly source: string;
  readonly steps: readonly Step[];
  readonly sees: Sees;
  readonly client?: H2Options;
  /** What the back end does with requests; default: it says which one it was. */
  readonly script?: Script;
  /** The server may end the connection when the case is over. */
  readonly mayEnd?: boolean;
  /** What the server sends need not be HTTP/2, for what the client sent is not. */
  readonly foreign?: boolean;
}

export type Extras = Pick<H2Case, "client" | "script" | "mayEnd" | "foreign">;

/** A case of a section. */
export type Row = readonly [name: string, steps: readonly Step[], sees: Sees, extras?: Extras];

/** Cases of one section, numbered from 1 in their order. */
export function section(id: string, source: string, ...cases: readonly Row[]): H2Case[] {
  return cases.map(([name, steps, sees, extras], i) => ({ id: `${id}/${i + 1}`, name, source, steps, sees, ...extras }));
}

/** The fields of a request, further ones behind the pseudo-headers. */
export function asks(method: string, path = "/", ...fields: readonly Field[]): Field[] {
  return [[":method", method], [":scheme", "http"], [":path", path], [":authority", "a.test"], ...fields];
}

/** A whole GET. */
export function get(stream: number, path = "/", ...fields: readonly Field[]): Buffer {
  return headers(stream, asks("GET", path, ...fields));
}

/** A POST whose body is still to come. */
export function post(stream: number, path = "/", ...fields: readonly Field[]): Buffer {
  return headers(stream, asks("POST", path, ...fields), more);
}

/** A whole POST with a body. */
export function posted(stream: number, body: string, path = "/", ...fields: readonly Field[]): Buffer {
  return Buffer.concat([post(stream, path, ...fields), data(stream, body)]);
}

/** Never answers. */
export const hold: Script = () => {};

/** Answers at once, whatever is still to come. */
export const early: Script = (_request, connection) => connection.write(reply(413, "too much"));

/** Answers with the request's body. */
export const mirror: Script = async (request, connection) => {
  if (await request.ended) connection.write(reply(200, request.text));
};

/** Answers with a body of so many bytes. */
export function sized(count: number): Script {
  return async (request, connection) => {
    if (await request.ended) connection.write(reply(200, "b".repeat(count)));
  };
}

/** A header block of exactly so many bytes: a GET with a field that is as long as it takes. */
export function blockOf(size: number): Buffer {
  for (let length = size; length > 0; length--) {
    const bytes = block(asks("GET", "/", ["x-long", "l".repeat(length)]));
    if (bytes.length === size) return bytes;
  }
  throw new Error(`no header block has ${size} bytes`);
}

/** A request line as the back end sees it. */
export function line(method: string, path = "/"): Expected {
  return { line: `${method} ${path} HTTP/1.1` };
}

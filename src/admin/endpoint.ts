/** One call of the admin API as it is declared: path, who may, what goes in and comes out. The router and the OpenAPI document are made from these. */
import type { z } from "zod";
import type { Access, Caller } from "./access.ts";

export type Method = "GET" | "PUT" | "POST" | "PATCH" | "DELETE";

/** What a call brings, checked. */
export interface Call<Query, Body> {
  /** Of the path's `{names}`, decoded. */
  readonly names: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Body;
  readonly caller: Caller;
  readonly request: Request;
}

export interface Answer {
  readonly description: string;
  readonly schema?: z.ZodType;
  /** Default application/json. */
  readonly type?: string;
}

export interface Endpoint<Query = unknown, Body = unknown> {
  readonly method: Method;
  /** `/v1/upstreams/{upstream}`: a name stands for one segment, percent-encoded. */
  readonly path: string;
  /** A sentence for people. */
  readonly summary: string;
  readonly access: Access;
  /** Of texts; absent: none is understood. */
  readonly query?: z.ZodType<Query>;
  /** Of the JSON value in the body, nothing at all being `{}`; "text": as it came; absent: there is none. */
  readonly body?: z.ZodType<Body> | "text";
  /** The answer may pause for as long as it likes: without this a connection on which nothing moves is closed. */
  readonly endless?: true;
  /** By status; those of problems need not be told. */
  readonly answers: Readonly<Record<number, Answer>>;
  /** A value is answered as JSON with status 200. @throws Problem */
  readonly handle: (call: Call<Query, Body>) => unknown;
}

/** Lets the types of query and body be inferred, then forgets them, for a list of all. */
export function endpoint<Query = undefined, Body = undefined>(declared: Endpoint<Query, Body>): Endpoint {
  return declared as unknown as Endpoint;
}

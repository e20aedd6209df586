/** Finds the endpoint of a request, checks what it brings, and makes a response of what the endpoint says. */
import { z } from "zod";
import type { AdminConfig } from "../config/snapshot.ts";
import type { Log } from "../observability/log.ts";
import { admit } from "./access.ts";
import type { Endpoint } from "./endpoint.ts";
import { Problem } from "./problem.ts";
import { jsonResponse } from "./json.ts";

/** Nothing that is told here is longer, in bytes, … */
const MAX_JSON = 64 * 1024;
/** … but for a configuration. */
const MAX_TEXT = 8 * 1024 * 1024;

/** How long a connection may be silent, in s: while something is done, … */
const WORK = 240;
/** … and else. */
export const IDLE = 10;

/** Where nothing is understood. */
const NONE = z.strictObject({});

interface Place {
  readonly pattern: RegExp;
  readonly names: readonly string[];
  readonly methods: ReadonlyMap<string, Endpoint>;
}

export class Api {
  private readonly log: Log;
  private readonly config: () => AdminConfig | undefined;
  private readonly places: readonly Place[];

  /** @param config in force now */
  constructor(endpoints: readonly Endpoint[], config: () => AdminConfig | undefined, log: Log) {
    this.log = log;
    this.config = config;
    const paths = [...new Set(endpoints.map(({ path }) => path))];
    this.places = paths.map((path) => ({
      pattern: new RegExp(`^${path.replaceAll(/[.]/g, "\\.").replaceAll(/\{\w+\}/g, "([^/]+)")}$`),
      names: [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!),
      methods: new Map(endpoints.filter((other) => other.path === path).map((other) => [other.method, other])),
    }));
  }

  /** @param allow from now on the connection is closed when it is silent for so long, in s; 0: never */
  async answer(request: Request, allow: (silence: number) => void): Promise<Response> {
    try {
      return await this.call(request, allow);
    } catch (error) {
      if (error instanceof Problem) return error.response();
      this.log.error({ reason: error instanceof Error ? error.stack : String(error), path: urlOf(request).pathname }, "The admin API failed");
      return new Problem(500, "the service log says what").response();
    }
  }

  private async call(request: Request, allow: (silence: number) => void): Promise<Response> {
    const { pathname, searchParams } = urlOf(request);
    for (const { pattern, names, methods } of this.places) {
      const match = pattern.exec(pathname);
      if (match === null) continue;
      const method = request.method === "HEAD" ? "GET" : request.method;
      const found = methods.get(method);
      const allowed: string[] = [...methods.keys()].flatMap((known) => (known === "GET" ? ["GET", "HEAD"] : [known]));
      if (found === undefined) throw new Problem(405, `${request.method} is not among ${allowed.join(", ")}`, {}, { Allow: allowed.join(", ") });
      const caller = admit(request, found.access, this.config());
      const brought = {
        names: Object.fromEntries(names.map((name, index) => [name, decoded(match[index + 1]!)])),
        // Who says more than is understood may mean less than is done: DELETE /v1/overrides?upstream=web would clear all of them.
        query: queryOf(searchParams, found.query ?? (method === "GET" ? undefined : NONE)),
        body: await bodyOf(request, found.body ?? (method === "GET" ? undefined : NONE)),
      };
      // All has come: what takes long from now on is our doing, as when a worker hangs that is to be told.
      allow(found.endless === true ? 0 : WORK);
      const result = await found.handle({ ...brought, caller, request });
      if (found.endless !== true) allow(IDLE);
      const response = result instanceof Response ? result : jsonResponse(result);
      if (!response.headers.has("Cache-Control")) response.headers.set("Cache-Control", "no-store");
      response.headers.set("X-Content-Type-Options", "nosniff");
      // The server leaves the body of a HEAD's answer out, and says how long it would have been; of one without end there is no such thing.
      if (request.method !== "HEAD" || found.endless !== true) return response;
      await response.body?.cancel();
      return new Response(null, response);
    }
    throw new Problem(404, `nothing is at ${pathname}; GET /v1/openapi.json says what there is`);
  }
}

/** Its path and query. The host before them is the Host field, which may be absent (HTTP/1.0) or no host at all. */
function urlOf({ url }: Request): URL {
  return new URL(`http://localhost/${url.replace(/^https?:\/\/[^/?#]*/i, "").replace(/^\//, "")}`);
}

/** @throws Problem 400, also where a name is there twice: dry_run=true&dry_run=false says both */
function queryOf(query: URLSearchParams, schema: z.ZodType | undefined): unknown {
  if (schema === undefined) return undefined;
  const twice = [...query.keys()].find((name, index, all) => all.indexOf(name) < index);
  if (twice !== undefined) throw new Problem(400, `"${twice}" is twice in the query`);
  return checked(schema, Object.fromEntries(query), "query");
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new Problem(400, `"${part}" is not percent-encoded text`);
  }
}

/** One that is too long is not read to its end. @throws Problem 413 */
async function textOf(request: Request, most: number): Promise<string> {
  const { headers, body } = request;
  const tooLarge = new Problem(413, `a body has at most ${most} bytes here`);
  if (Number(headers.get("content-length") ?? 0) > most) throw tooLarge;
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  try {
    // Without a length, or with a false one.
    for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
      length += chunk.length;
      if (length > most) throw tooLarge;
      text += decoder.decode(chunk, { stream: true });
    }
    return text + decoder.decode();
  } catch (error) {
    // Nobody hears this: the client has gone.
    throw request.signal.aborted ? new Problem(400, "the body has not come to its end") : error;
  }
}

async function bodyOf(request: Request, schema: z.ZodType | "text" | undefined): Promise<unknown> {
  if (schema === undefined) return undefined;
  const text = await textOf(request, schema === "text" ? MAX_TEXT : MAX_JSON);
  if (schema === "text") return text;
  let value: unknown = {};
  try {
    if (text.trim() !== "") value = JSON.parse(text);
  } catch {
    throw new Problem(400, "the body is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Problem(400, "the body is not a JSON object");
  return checked(schema, value, "body");
}

/** @throws Problem 400 that says everything that is wrong with it */
function checked(schema: z.ZodType, value: unknown, where: "query" | "body"): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors = result.error.issues.map((issue) => ({ in: where, at: issue.path.join("."), message: issue.message }));
  throw new Problem(400, errors.map(({ at, message }) => (at === "" ? message : `${at}: ${message}`)).join("; "), { errors });
}

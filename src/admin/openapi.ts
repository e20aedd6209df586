/**
 * The API described for programs: `GET /v1/openapi.json`, an OpenAPI 3.1 document made of the endpoints themselves.
 *
 * It is open to all, for it is the same for every instance of a version and tells nothing of this one: tools that read it have no token.
 */
import { z } from "zod";
import type { Answer, Endpoint } from "./endpoint.ts";
import { endpoint } from "./endpoint.ts";

/** Of the API, not of Fairlead: whoever may ask for nothing else learns no version of the program here. */
const API_VERSION = "1.0.0";

type Json = Record<string, unknown>;

const problem = z
  .looseObject({
    type: z.string().describe("A name for the kind of problem, as https://fairlead.dev/problems/not-found"),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe("What is wrong with this very request, and what to do instead"),
    errors: z.array(z.looseObject({ in: z.string(), at: z.string(), message: z.string() })).optional().describe("Where a query or a body is wrong"),
  })
  .meta({ id: "Problem" });

/** Parts that several schemas share, by name. */
class Components {
  readonly schemas: Record<string, Json> = {};

  /** As JSON Schema 2020-12, whose named parts become components. */
  add(schema: z.ZodType, io: "input" | "output"): Json {
    const { $schema: _, $defs = {}, ...made } = z.toJSONSchema(schema, { io, unrepresentable: "any", override: ({ jsonSchema }) => loosen(jsonSchema as Json, io) }) as Json;
    for (const [name, definition] of Object.entries($defs as Record<string, Json>)) {
      const moved = withReferences(definition) as Json;
      const before = this.schemas[name];
      if (before !== undefined && JSON.stringify(before) !== JSON.stringify(moved)) throw new Error(`two schemas are called ${name}`);
      this.schemas[name] = moved;
    }
    return withReferences(made) as Json;
  }
}

/** What is answered may get more members one day: a client that refuses those it does not know would break. */
function loosen(schema: Json, io: "input" | "output"): void {
  if (io === "output" && schema["additionalProperties"] === false) delete schema["additionalProperties"];
  if (schema["minimum"] === Number.MIN_SAFE_INTEGER) delete schema["minimum"];
  if (schema["maximum"] === Number.MAX_SAFE_INTEGER) delete schema["maximum"];
}

function withReferences(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withReferences);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, key === "$ref" && typeof inner === "string" ? inner.replace("#/$defs/", "#/components/schemas/") : withReferences(inner)]));
}

const JSON_TYPE = "application/json";

function contentOf({ schema, type = schema === undefined ? undefined : JSON_TYPE }: Answer, components: Components): Json {
  if (type === undefined) return {};
  return { content: { [type]: { schema: schema === undefined ? { type: "string" } : components.add(schema, "output") } } };
}

function bodyOf(body: NonNullable<Endpoint["body"]>, components: Components): Json {
  if (body === "text") return { required: true, content: { "text/plain": { schema: { type: "string" } } } };
  return { required: !body.safeParse({}).success, content: { [JSON_TYPE]: { schema: components.add(body, "input") } } };
}

function parametersOf({ path, query }: Endpoint, components: Components): Json[] {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]): Json => ({ name, in: "path", required: true, description: `${NAMES[name!] ?? name}, percent-encoded`, schema: { type: "string" } }));
  if (query === undefined) return inPath;
  const { properties = {}, required = [] } = components.add(query, "input") as { readonly properties?: Record<string, Json>; readonly required?: readonly string[] };
  return [...inPath, ...Object.entries(properties).map(([name, { description, ...schema }]): Json => ({ name, in: "query", required: required.includes(name), ...(description === undefined ? {} : { description }), schema }))];
}

const NAMES: Readonly<Record<string, string>> = {
  upstream: "Name of an upstream",
  target: "Address of a target, as the configuration has it",
  listener: "Name of a listener",
};

/** `GET /v1/upstreams/{upstream}` as getUpstreamsByUpstream. */
function operationId({ method, path }: Endpoint): string {
  const words = path.replace(/^\/v1\//, "/").replaceAll(/\{(\w+)\}/g, "by-$1").split(/\W+/);
  return method.toLowerCase() + words.filter((word) => word !== "").map((word) => word[0]!.toUpperCase() + word.slice(1)).join("");
}

/** What it belongs to: the first word of its path. */
function tagOf({ path }: Endpoint): string {
  return /^\/(?:v1\/)?(\w*)/.exec(path)?.[1] || "dashboard";
}

function operationOf(described: Endpoint, components: Components): Json {
  const { summary, access, body, answers } = described;
  const parameters = parametersOf(described, components);
  return {
    operationId: operationId(described),
    tags: [tagOf(described)],
    summary,
    "x-access": access,
    // Of a scheme without scopes these are roles (OpenAPI 3.1, section 4.8.30).
    security: access === "open" ? [] : [{ token: [access] }],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: bodyOf(body, components) }),
    responses: {
      ...Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, { description: answer.description, ...contentOf(answer, components) }])),
      default: { $ref: "#/components/responses/Problem" },
    },
  };
}

function openApiDocument(endpoints: readonly Endpoint[]): Json {
  const components = new Components();
  components.add(z.object({ problem }), "output");
  const paths: Record<string, Json> = {};
  for (const one of endpoints) (paths[one.path] ??= {})[one.method.toLowerCase()] = operationOf(one, components);
  return {
    openapi: "3.1.1",
    info: {
      title: "Fairlead's admin API",
      version: API_VERSION,
      description: "See and steer a running instance. Times are ISO 8601, durations milliseconds in members that end in _ms. What goes wrong is answered as a problem document (RFC 9457). Every GET may be a HEAD. Answers may get further members.",
    },
    paths,
    components: {
      schemas: components.schemas,
      responses: { Problem: { description: "Why not, and what to do instead.", content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } } } },
      securitySchemes: { token: { type: "http", scheme: "bearer", description: "A token of [admin]. Where the configuration has none, the address is a loopback one or a unix socket, and everything but bringing a configuration is allowed without." } },
    },
  };
}

/** @param endpoints all of them, this one too */
export function openApiEndpoint(endpoints: () => readonly Endpoint[]): Endpoint {
  let text: string | undefined;
  return endpoint({
    method: "GET",
    path: "/v1/openapi.json",
    summary: "This description of the API: an OpenAPI 3.1 document.",
    access: "open",
    answers: { 200: { description: "The same for every instance of a version.", schema: z.looseObject({ openapi: z.string() }) } },
    handle: () => new Response((text ??= JSON.stringify(openApiDocument(endpoints()))), { headers: { "Content-Type": JSON_TYPE } }),
  });
}

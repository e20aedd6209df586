/** Reads an OpenAPI document: what is wrong with it, and whether an answer is as it says. */
import { z } from "zod";

type Json = Readonly<Record<string, unknown>>;

export interface OpenApi {
  readonly openapi: string;
  readonly info: Json;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Json>>; readonly responses: Readonly<Record<string, Json>>; readonly securitySchemes: Readonly<Record<string, Json>> };
}

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required: boolean; readonly schema: Json }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Json }>> };
  readonly responses: Readonly<Record<string, { readonly $ref?: string; readonly description?: string; readonly content?: Readonly<Record<string, { readonly schema: Json }>> }>>;
}

const METHODS = new Set(["get", "put", "post", "delete", "options", "head", "patch", "trace"]);
/** Of JSON Schema 2020-12, those that a schema made by zod may have. */
const KEYWORDS = new Set(["$ref", "type", "properties", "required", "additionalProperties", "propertyNames", "items", "prefixItems", "anyOf", "oneOf", "allOf", "not", "enum", "const", "format", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "description", "default", "title", "deprecated"]);

/** Everything that breaks a rule of OpenAPI 3.1; nothing: it is well. */
export function faultsOf(document: OpenApi): string[] {
  const faults: string[] = [];
  if (!/^3\.1\.\d+$/.test(document.openapi)) faults.push(`openapi: ${document.openapi}`);
  for (const name of ["title", "version"]) if (typeof document.info[name] !== "string") faults.push(`info.${name} is missing`);
  for (const reference of referencesIn(document)) if (resolved(document, reference) === undefined) faults.push(`${reference} leads nowhere`);
  for (const name of Object.keys(document.components.schemas)) if (!/^[A-Za-z0-9._-]+$/.test(name)) faults.push(`component name ${name}`);
  for (const [name, schema] of Object.entries(document.components.schemas)) faults.push(...schemaFaults(schema, name));
  const ids = new Set<string>();
  const templates = new Set<string>();
  for (const [path, item] of Object.entries(document.paths)) {
    if (!path.startsWith("/")) faults.push(`${path} begins with no slash`);
    // Paths that differ in their names only are the same.
    const template = path.replaceAll(/\{\w+\}/g, "{}");
    if (templates.has(template)) faults.push(`${path} is there twice`);
    templates.add(template);
    for (const [method, operation] of Object.entries(item)) faults.push(...operationFaults(document, path, method, operation, ids));
  }
  return faults;
}

function operationFaults(document: OpenApi, path: string, method: string, operation: Operation, ids: Set<string>): string[] {
  const where = `${method} ${path}`;
  const faults: string[] = [];
  const fault = (what: string): void => void faults.push(`${where}: ${what}`);
  if (!METHODS.has(method)) fault("is no method");
  if (!/^[A-Za-z]\w*$/.test(operation.operationId)) fault(`operationId ${operation.operationId}`);
  if (ids.has(operation.operationId)) fault(`operationId ${operation.operationId} is there twice`);
  ids.add(operation.operationId);
  if (operation.summary === "") fault("no summary");
  const parameters = operation.parameters ?? [];
  const inPath = parameters.filter((parameter) => parameter.in === "path");
  const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
  if (inPath.map(({ name }) => name).join() !== named.join()) fault(`parameters ${inPath.map(({ name }) => name).join()} for names ${named.join()}`);
  if (inPath.some(({ required }) => !required)) fault("a parameter of a path is required");
  if (new Set(parameters.map((parameter) => `${parameter.in} ${parameter.name}`)).size !== parameters.length) fault("a parameter is there twice");
  for (const parameter of parameters) {
    if (!["path", "query", "header", "cookie"].includes(parameter.in)) fault(`a parameter in ${parameter.in}`);
    faults.push(...schemaFaults(parameter.schema, `${where} ${parameter.name}`));
  }
  if (method === "get" && operation.requestBody !== undefined) fault("a body that means nothing");
  for (const requirement of operation.security) for (const scheme of Object.keys(requirement)) if (document.components.securitySchemes[scheme] === undefined) fault(`no security scheme ${scheme}`);
  const statuses = Object.keys(operation.responses);
  if (!statuses.some((status) => /^[1-3]\d\d$/.test(status))) fault("no answer of success");
  for (const [status, response] of Object.entries(operation.responses)) {
    if (!/^([1-5]\d\d|default)$/.test(status)) fault(`status ${status}`);
    if (response.$ref === undefined && typeof response.description !== "string") fault(`answer ${status} without a description`);
    for (const [type, { schema }] of Object.entries(response.content ?? {})) {
      if (!/^[\w.+-]+\/[\w.+-]+$/.test(type)) fault(`type ${type}`);
      faults.push(...schemaFaults(schema, `${where} ${status}`));
    }
  }
  for (const { schema } of Object.values(operation.requestBody?.content ?? {})) faults.push(...schemaFaults(schema, `${where} body`));
  return faults;
}

function schemaFaults(schema: unknown, where: string): string[] {
  if (typeof schema === "boolean") return [];
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) return [`${where}: no schema`];
  const faults: string[] = [];
  for (const [key, value] of Object.entries(schema)) {
    if (!KEYWORDS.has(key)) faults.push(`${where}: ${key} is no keyword that was expected`);
    const inner = key === "properties" ? Object.entries(value as Json) : ["items", "additionalProperties", "not", "propertyNames"].includes(key) ? [[key, value] as const] : ["anyOf", "oneOf", "allOf", "prefixItems"].includes(key) ? (value as unknown[]).map((one, index) => [String(index), one] as const) : [];
    for (const [name, one] of inner) faults.push(...schemaFaults(one, `${where}.${name}`));
  }
  const { required = [], properties = {} } = schema as { readonly required?: readonly string[]; readonly properties?: Json };
  for (const name of required) if (!(name in properties)) faults.push(`${where}: ${name} is required, and there is none`);
  return faults;
}

function* referencesIn(value: unknown): Generator<string> {
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (key === "$ref" && typeof inner === "string") yield inner;
    else yield* referencesIn(inner);
  }
}

function resolved(document: unknown, reference: string): unknown {
  if (!reference.startsWith("#/")) return undefined;
  let value = document;
  for (const part of reference.slice(2).split("/")) value = (value as Json | undefined)?.[part.replaceAll("~1", "/").replaceAll("~0", "~")];
  return value;
}

/** Why a value is not as the document says; undefined: it is, and has no member that is not described. */
export function mismatch(document: OpenApi, schema: Json, value: unknown): string | undefined {
  const strict = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(strict);
    if (typeof part !== "object" || part === null) return part;
    const made = Object.fromEntries(Object.entries(part).map(([key, inner]) => [key, key === "$ref" && typeof inner === "string" ? inner.replace("#/components/schemas/", "#/$defs/") : strict(inner)]));
    return "properties" in made && !("additionalProperties" in made) && typeof made["properties"] === "object" && made["type"] === "object" ? { ...made, additionalProperties: false } : made;
  };
  const result = z.fromJSONSchema({ ...(strict(schema) as Json), $defs: strict(document.components.schemas) } as never).safeParse(value);
  return result.success ? undefined : z.prettifyError(result.error);
}

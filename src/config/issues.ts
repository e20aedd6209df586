/** What the schema has to say of a configuration, in our words. */
import type { z } from "zod";
import type { Problem } from "./problem.ts";
import { knownKeys } from "./schema.ts";
import { mayBeQuoted } from "./secret-keys.ts";
import { nearest } from "./suggestion.ts";

/** zod's issues in our words. */
export function problemsOf(issue: z.core.$ZodIssue, root: unknown): Problem[] {
  const { path } = issue;
  // An element of an array is called as the array is.
  const last = String(path.findLast((step) => typeof step !== "number") ?? "");
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key): Problem => {
        const known = knownKeys(path);
        return { path: [...path, key], about: "key", message: `unknown key "${key}"${path.length === 0 ? "" : ` in ${tableName(path)}`}`, hint: nearest(key, known) ?? `known: ${known.join(", ")}` };
      });
    case "invalid_type": {
      const found = valueAt(root, path);
      if (found === undefined) return [{ path: path.slice(0, -1), about: "key", message: `${path.length > 1 ? tableName(path.slice(0, -1)) : "the config"} needs "${last}"`, hint: `add ${last} = …` }];
      return [{ path, about: "value", message: `"${last}" must be ${typeName(issue.expected)}${mayBeQuoted(path) ? `, not ${typeof found === "string" && isTableWanted(issue.expected) ? "a text" : describe(found)}` : ""}` }];
    }
    case "invalid_value": {
      const choices = issue.values.map((value) => JSON.stringify(value));
      const found = valueAt(root, path);
      const near = typeof found === "string" ? nearest(found, issue.values.map(String)) : undefined;
      return [{ path, about: "value", message: `"${last}" must be ${list(choices)}, not ${describe(found)}`, ...(near === undefined ? {} : { hint: near }) }];
    }
    case "too_small":
    case "too_big": {
      if (issue.message !== "" && (issue.origin === "array" || !issue.message.startsWith("Too "))) return [{ path, about: "value", message: issue.message }];
      const bound = issue.code === "too_small" ? `at least ${String(issue.minimum)}` : `at most ${String(issue.maximum)}`;
      return [{ path, about: "value", message: `"${last}" must be ${bound}, not ${describe(valueAt(root, path))}` }];
    }
    case "invalid_union": {
      const found = valueAt(root, path);
      // A table that may also be one word, true or false: what is wrong within the table.
      const within = typeof found === "object" ? issue.errors.filter((errors) => !errors.some(({ code, path: at }) => at.length === 0 && (code === "invalid_type" || code === "invalid_value"))) : [];
      if (within.length === 1) return within[0]!.flatMap((inner) => problemsOf({ ...inner, path: [...path, ...inner.path] }, root));
      if (last === "workers") return [{ path, about: "value", message: `"workers" must be "auto" or a number from 1 to 256, not ${describe(found)}` }];
      if (last.endsWith("_bytes")) return [{ path, about: "value", message: `${describe(found)} is not a size`, hint: 'write it as "64KiB", "1MiB", a number of bytes, or "off" where there may be no limit' }];
      const whole = issue.errors.flatMap((errors) => errors.filter(({ path: at }) => at.length === 0));
      // Of the right kind for one of the choices, which says more of it than that it is not the others.
      const near = whole.find(({ code }) => code !== "invalid_type" && code !== "invalid_value");
      if (near !== undefined) return problemsOf({ ...near, path }, root);
      const choices = whole.flatMap((each) => (each.code === "invalid_type" ? typeName(each.expected) : each.code === "invalid_value" ? each.values.map((value) => JSON.stringify(value)) : []));
      return [{ path, about: "value", message: `"${last}" must be ${list([...new Set(choices)])}, not ${describe(found)}` }];
    }
    case "invalid_key":
      return [{ path, about: "key", message: `"${last}": ${issue.issues[0]?.message ?? issue.message}` }];
    default:
      return [{ path, about: "value", message: issue.code === "invalid_format" && typeof issue.message === "string" ? `"${last}": ${issue.message}` : issue.message }];
  }
}

export function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const step of path) value = typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[step] : undefined;
  return value;
}

/** What stands where a table should may be what should stand in it: a secret, say. */
function isTableWanted(expected: string): boolean {
  return expected === "object" || expected === "record";
}

/** `upstreams.targets` as [[upstreams.targets]]. */
function tableName(path: readonly PropertyKey[]): string {
  const name = path.filter((step) => typeof step !== "number").map(String).join(".");
  return typeof path.at(-1) === "number" ? `[[${name}]]` : `[${name}]`;
}

function typeName(expected: string): string {
  const names: Readonly<Record<string, string>> = { string: "a text", number: "a number", int: "a whole number", boolean: "true or false", array: "an array", object: "a table", record: "a table" };
  return names[expected] ?? expected;
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "an array";
  if (value instanceof Date) return "a date";
  if (typeof value === "object") return "a table";
  return JSON.stringify(value) ?? "nothing";
}

function list(choices: readonly string[]): string {
  return choices.length < 2 ? choices.join("") : `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)!}`;
}

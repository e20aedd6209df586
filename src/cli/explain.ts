/** `fairlead explain GET https://api.example.com/v1/x`: which way that request would go in the running instance, and why. */
import type { Explained, RequestToExplain } from "../admin/explained.ts";
import { type AdminOptions, withAdmin, json as asJson } from "./admin-client.ts";
import { explanation } from "./explanation.ts";
import { paintFor } from "./paint.ts";
import { USAGE_ERROR } from "./usage.ts";

export interface ExplainOptions extends AdminOptions {
  /** As `Name: value`. */
  readonly header?: readonly string[];
  readonly client?: string;
  readonly clientSubject?: string;
  readonly listener?: string;
  readonly askPolicy?: boolean;
  readonly json?: boolean;
}

/** @param words URL, or method and URL */
export async function explainCommand(words: readonly string[], options: ExplainOptions): Promise<void> {
  const request = requestOf(words, options);
  await withAdmin(options, async (admin) => {
    const told = await admin.call<Explained>("POST", "/v1/explain", request);
    process.stdout.write(options.json === true ? `${asJson(told, 2)}\n` : explanation(told, request, paintFor(process.stdout), Date.now()));
  });
}

export function requestOf(words: readonly string[], { header = [], client, clientSubject, listener, askPolicy }: ExplainOptions): RequestToExplain {
  const [method, url] = words.length === 1 ? ["GET", words[0]!] : [words[0]!, words[1]!];
  // "constructor" is a name as good as any.
  const headers = new Map<string, string[]>();
  for (const text of header) {
    const [, name, value] = /^([^:\s]+):[ \t]*(.*?)[ \t]*$/s.exec(text) ?? [];
    if (name === undefined) fail(`-H "${text}" is no header: write it as -H 'Name: value'`);
    headers.set(name, [...(headers.get(name) ?? []), value!]);
  }
  return {
    method,
    url: withScheme(url),
    headers: Object.fromEntries(headers),
    ...(client === undefined ? {} : { client }),
    ...(clientSubject === undefined ? {} : { client_subject: clientSubject }),
    ...(listener === undefined ? {} : { listener }),
    ...(askPolicy === true ? { ask_policy: true } : {}),
  };
}

/** As curl does it. */
function withScheme(url: string): string {
  return url.includes("://") ? url : `http://${url}`;
}

function fail(message: string): never {
  process.stderr.write(`fairlead: ${message}\n`);
  process.exit(USAGE_ERROR);
}

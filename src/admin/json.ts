/** Answers in JSON. People look at them by curl, and what is told comes from clients and back ends: nothing of it works on a terminal. */
import { printableJson } from "../observability/controls.ts";

export function jsonText(value: unknown): string {
  return printableJson(JSON.stringify(value));
}

export function jsonResponse(value: unknown, init: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {}): Response {
  return new Response(jsonText(value), { ...init, headers: { "Content-Type": "application/json;charset=utf-8", ...init.headers } });
}

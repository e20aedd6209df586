/** Calls of the admin API that served this page. The token is kept for as long as the tab is open. */
import { Store } from "./store.ts";

const KEY = "fairlead-token";

/** What the API says when it does not do what was asked (RFC 9457), or that it could not be reached. */
export class ApiError extends Error {
  /** 0: not reached. */
  readonly status: number;
  readonly title: string;
  readonly errors: readonly string[];

  constructor(status: number, title: string, detail: string, errors: readonly string[] = []) {
    super(detail);
    this.status = status;
    this.title = title;
    this.errors = errors;
  }
}

interface Wanted {
  /** What the API said. */
  readonly reason: string;
  readonly answer: (token: string | undefined) => void;
}

/** A token is asked for. */
export const tokenWanted = new Store<Wanted | undefined>(undefined);

function token(): string | null {
  return sessionStorage.getItem(KEY);
}

/** Asks until the API takes one, or nobody gives one. All that wait for it get the same. */
let asking: Promise<boolean> | undefined;
function askToken(reason: string): Promise<boolean> {
  asking ??= new Promise<boolean>((resolve) => {
    tokenWanted.set({
      reason,
      answer: (given) => {
        tokenWanted.set(undefined);
        asking = undefined;
        if (given !== undefined) sessionStorage.setItem(KEY, given);
        resolve(given !== undefined);
      },
    });
  });
  return asking;
}

export interface CallOptions {
  readonly method?: string;
  readonly json?: unknown;
  readonly text?: string;
  readonly signal?: AbortSignal;
  readonly accept?: string;
}

/** @throws ApiError */
export async function call(path: string, options: CallOptions = {}): Promise<Response> {
  for (;;) {
    const shown = token();
    const response = await send(path, options, shown);
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (response.status !== 401) throw problem;
    // Another call may have been given a token meanwhile.
    if (token() !== shown) continue;
    if (!(await askToken(shown === null ? problem.message : `That token was not taken. ${problem.message}`))) throw problem;
  }
}

async function send(path: string, { method = "GET", json, text, signal, accept }: CallOptions, shown: string | null): Promise<Response> {
  const headers: Record<string, string> = {};
  if (shown !== null) headers["Authorization"] = `Bearer ${shown}`;
  if (accept !== undefined) headers["Accept"] = accept;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (text !== undefined) headers["Content-Type"] = "application/toml";
  const body = json === undefined ? text : JSON.stringify(json);
  try {
    return await fetch(path, { method, headers, cache: "no-store", ...(body === undefined ? {} : { body }), ...(signal === undefined ? {} : { signal }) });
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw new ApiError(0, "Not reached", "Fairlead does not answer at this address.");
  }
}

async function problemOf(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => "");
  try {
    const { title, detail, errors } = JSON.parse(text) as { readonly title?: string; readonly detail?: string; readonly errors?: readonly unknown[] };
    return new ApiError(response.status, title ?? `Status ${response.status}`, detail ?? text, (errors ?? []).map(errorText));
  } catch {
    return new ApiError(response.status, `Status ${response.status}`, text === "" ? response.statusText : text);
  }
}

function errorText(error: unknown): string {
  if (typeof error === "string") return error;
  const { message, path, line } = error as { readonly message?: string; readonly path?: string; readonly line?: number };
  return [line === undefined ? undefined : `line ${line}`, path, message].filter((part) => part !== undefined && part !== "").join(": ");
}

/** @throws ApiError */
export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await call(path, signal === undefined ? {} : { signal })).json() as Promise<T>;
}

export function upstreamPath(upstream: string): string {
  return `/v1/upstreams/${encodeURIComponent(upstream)}`;
}

export function targetPath(upstream: string, target: string): string {
  return `${upstreamPath(upstream)}/targets/${encodeURIComponent(target)}`;
}

/** The stream that everything on the page follows, and what is done when it breaks off. */
import { serverEvents } from "../view/event-stream.ts";
import type { EventView, Overview } from "../view/shapes.ts";
import { ApiError, call } from "./api.ts";
import { Store } from "./store.ts";

/** The server says something each second; after so long without a word, in ms, it is taken to be gone. */
const SILENCE = 5_000;
/** Between two attempts, in ms: the first, doubled each time, up to the last. */
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 10_000;

export type Connection =
  | { readonly phase: "connecting" }
  | { readonly phase: "live" }
  /** @property since wall-clock ms; @property retryAt the next attempt; undefined: it is being made */
  | { readonly phase: "lost"; readonly why: string; readonly since: number; readonly retryAt: number | undefined };

export const overview = new Store<Overview | undefined>(undefined);
export const connection = new Store<Connection>({ phase: "connecting" });
/** The newest entry of the timeline; null: none came since the page was opened. */
export const lastEvent = new Store<EventView | null>(null);

let retryNow: (() => void) | undefined;

/** Do not wait for the next attempt. */
export function reconnect(): void {
  retryNow?.();
}

export async function follow(): Promise<never> {
  let wait = FIRST_WAIT;
  let since: number | undefined;
  for (;;) {
    const why = await once(() => {
      wait = FIRST_WAIT;
      since = undefined;
    });
    since ??= Date.now();
    await pause(wait, (retryAt) => connection.set({ phase: "lost", why, since: since!, retryAt }));
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }
}

/** @returns why it ended */
async function once(began: () => void): Promise<string> {
  const abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let silent = false;
  const heard = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      silent = true;
      abort.abort();
    }, SILENCE);
  };
  try {
    const { body } = await call("/v1/stream", { signal: abort.signal, accept: "text/event-stream" });
    heard();
    for await (const { type, data } of serverEvents(body!, heard)) {
      if (type === "overview") {
        overview.set(JSON.parse(data) as Overview);
        began();
        connection.set({ phase: "live" });
      } else if (type === "event") lastEvent.set(JSON.parse(data) as EventView);
    }
    return "Fairlead has closed the connection.";
  } catch (error) {
    if (silent) return `Fairlead has been silent for ${SILENCE / 1000} s.`;
    return error instanceof ApiError ? error.message : "The connection broke off.";
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}

function pause(milliseconds: number, tell: (retryAt: number | undefined) => void): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      clearTimeout(timer);
      removeEventListener("online", go);
      retryNow = undefined;
      tell(undefined);
      resolve();
    };
    const timer = setTimeout(go, milliseconds);
    retryNow = go;
    addEventListener("online", go);
    tell(Date.now() + milliseconds);
  });
}

/** What an endpoint tells, fetched when a component needs it, and again and again. */
import { useEffect, useState } from "preact/hooks";
import { getJson } from "./api.ts";
import { connection } from "./live.ts";

export interface Fetched<T> {
  /** The last that came. */
  readonly data: T | undefined;
  /** Why the last attempt brought nothing. */
  readonly error: Error | undefined;
  readonly again: () => void;
}

/** @param path undefined: nothing is wanted; @param every in ms; 0: once */
export function useFetched<T>(path: string | undefined, every = 0): Fetched<T> {
  const [state, setState] = useState<{ readonly path: string | undefined; readonly data: T | undefined; readonly error: Error | undefined }>({ path, data: undefined, error: undefined });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (path === undefined) return undefined;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const fetchIt = async (): Promise<void> => {
      // While the stream is lost its banner says so, once.
      if (connection.get().phase !== "lost" && !document.hidden) {
        try {
          const data = await getJson<T>(path, abort.signal);
          if (!abort.signal.aborted) setState({ path, data, error: undefined });
        } catch (error) {
          if (!abort.signal.aborted) setState((before) => ({ path, data: before.path === path ? before.data : undefined, error: error as Error }));
        }
      }
      if (every > 0 && !abort.signal.aborted) timer = setTimeout(() => void fetchIt(), every);
    };
    void fetchIt();
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [path, every, turn]);
  const mine = state.path === path;
  return { data: mine ? state.data : undefined, error: mine ? state.error : undefined, again: () => setTurn((before) => before + 1) };
}

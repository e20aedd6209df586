/** Keys that work on every page, where nothing is being written. */
import { useEffect } from "preact/hooks";
import { go } from "./place.ts";
import type { Route } from "./route.ts";

export interface KeyActions {
  readonly focusSearch: () => void;
  readonly help: () => void;
  readonly turnTheme: () => void;
}

/** After g, for so long in ms. */
const PATIENCE = 1_500;
const PLACES: Readonly<Record<string, Route>> = { o: { page: "overview" }, x: { page: "exchanges", filter: {} }, e: { page: "events" }, c: { page: "config" } };

export function useKeys(actions: KeyActions): void {
  useEffect(() => {
    let going = 0;
    const press = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || isWriting(event.target) || document.querySelector("dialog[open]") !== null) return;
      const to = performance.now() - going < PATIENCE ? PLACES[event.key] : undefined;
      going = event.key === "g" ? performance.now() : 0;
      if (to !== undefined) go(to);
      else if (event.key === "/") actions.focusSearch();
      else if (event.key === "?") actions.help();
      else if (event.key === "t") actions.turnTheme();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

function isWriting(element: EventTarget | null): boolean {
  return element instanceof HTMLElement && (element.isContentEditable || /^(?:INPUT|TEXTAREA|SELECT)$/.test(element.tagName));
}

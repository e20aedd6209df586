/** Light, dark, or as the system has it. */
import { Store } from "./store.ts";

const KEY = "fairlead-theme";
export type Theme = "system" | "light" | "dark";
export const THEMES: readonly Theme[] = ["system", "light", "dark"];

const kept = localStorage.getItem(KEY);
export const theme = new Store<Theme>(kept === "light" || kept === "dark" ? kept : "system");
/** Moves when other colours are in force, whoever chose them. */
export const colours = new Store(0);

function apply(chosen: Theme): void {
  if (chosen === "system") {
    delete document.documentElement.dataset["theme"];
    localStorage.removeItem(KEY);
  } else {
    document.documentElement.dataset["theme"] = chosen;
    localStorage.setItem(KEY, chosen);
  }
  colours.set(colours.get() + 1);
}

apply(theme.get());
theme.follow(apply);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => colours.set(colours.get() + 1));

/** What is in force now, as in palette.ts. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

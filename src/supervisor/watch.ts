/** Says when a configuration file changed, also when an editor replaced it by another file. */
import { watch } from "node:fs";
import { basename, dirname, resolve } from "node:path";

/** Editors write, rename and touch in quick succession: one reload for all of it. In ms. */
const SETTLE = 30;

/** @returns a function that ends the watch */
export function watchConfig(file: string, changed: () => void): () => void {
  const path = resolve(file);
  let timer: Timer | undefined;
  const watcher = watch(dirname(path), (_event, name) => {
    if (name !== null && name !== basename(path)) return;
    clearTimeout(timer);
    timer = setTimeout(changed, SETTLE);
  });
  return () => {
    clearTimeout(timer);
    watcher.close();
  };
}

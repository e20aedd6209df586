/** A level's shape: told apart without colours. */
import type { Level } from "../../view/health.ts";

const SHAPES: Readonly<Record<Level, string>> = {
  // A disc, a triangle, a cross in a square, a ring with a bar.
  ok: "M8 3.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9z",
  warn: "M8 1.8 15 14H1zM7.2 6v4h1.6V6zm0 5v1.5h1.6V11z",
  bad: "M1.5 1.5h13v13h-13zM4 5.4 6.6 8 4 10.6 5.4 12 8 9.4 10.6 12 12 10.6 9.4 8 12 5.4 10.6 4 8 6.6 5.4 4z",
  off: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zm0 1.8a4.2 4.2 0 1 0 0 8.4 4.2 4.2 0 0 0 0-8.4zM5 7.1h6v1.8H5z",
};

export function Mark({ level }: { readonly level: Level }) {
  return (
    <svg class={`mark level-${level}`} viewBox="0 0 16 16" width="12" height="12" aria-hidden="true">
      <path d={SHAPES[level]} fill="currentColor" fill-rule="evenodd" />
    </svg>
  );
}

/** With its word. */
export function Badge({ level, word }: { readonly level: Level; readonly word: string }) {
  return (
    <span class={`badge level-${level}`}>
      <Mark level={level} />
      {word}
    </span>
  );
}

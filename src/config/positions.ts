/** Where each key and value of a TOML text stands. Parsed only when something is wrong: the syntax tree costs more than the config. */
import { parseTOML, type AST } from "toml-eslint-parser";
import { MAX_DEPTH } from "./depth.ts";
import type { Place } from "./diagnostics.ts";

export type Path = readonly PropertyKey[];

export class Positions {
  private readonly keys = new Map<string, Place>();
  private readonly values = new Map<string, Place>();

  /** @throws the parser's error; the caller has parsed the text before, so it should not */
  constructor(text: string) {
    for (const node of parseTOML(text).body[0].body) {
      if (node.type === "TOMLTable") {
        const at = node.resolvedKey.slice(0, MAX_DEPTH);
        const { start } = node.loc;
        const { end } = node.key.loc;
        const header = place({ start, end: { line: end.line, column: end.column + (node.kind === "array" ? 2 : 1) } });
        this.keys.set(joined(at), header);
        // The first [[table]] stands for the whole array.
        if (node.kind === "array" && !this.keys.has(joined(at.slice(0, -1)))) this.keys.set(joined(at.slice(0, -1)), header);
        this.values.set(joined(at), header);
        for (const pair of node.body) this.pair(at, pair);
      } else this.pair([], node);
    }
  }

  /** The key of the last step of a path, or what is nearest above it. */
  key(path: Path): Place | undefined {
    return this.nearest(this.keys, path);
  }

  /** The value at a path, or what is nearest above it. */
  value(path: Path): Place | undefined {
    return this.nearest(this.values, path);
  }

  private nearest(places: ReadonlyMap<string, Place>, path: Path): Place | undefined {
    for (let length = path.length; length > 0; length--) {
      const found = (length === path.length ? places : this.keys).get(joined(path.slice(0, length))) ?? this.values.get(joined(path.slice(0, length)));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  private pair(at: Path, pair: AST.TOMLKeyValue): void {
    let path = at;
    for (const part of pair.key.keys.slice(0, MAX_DEPTH)) {
      path = [...path, part.type === "TOMLBare" ? part.name : part.value];
      if (!this.keys.has(joined(path))) this.keys.set(joined(path), place(part.loc));
    }
    this.content(path, pair.value);
  }

  private content(path: Path, node: AST.TOMLContentNode): void {
    if (path.length > MAX_DEPTH) return;
    this.values.set(joined(path), place(node.loc));
    if (node.type === "TOMLArray") for (const [index, element] of node.elements.entries()) this.content([...path, index], element);
    if (node.type === "TOMLInlineTable") for (const pair of node.body) this.pair(path, pair);
  }
}

function joined(path: Path): string {
  return path.map(String).join("\0");
}

function place({ start, end }: AST.SourceLocation): Place {
  return { line: start.line, column: start.column + 1, length: end.line === start.line ? Math.max(1, end.column - start.column) : 1 };
}

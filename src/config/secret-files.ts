/** Files with one secret each. Read once for a configuration, however often that is compiled: one that goes away later takes nothing with it. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

export type SecretFile = { readonly ok: true; readonly path: string; readonly text: string } | { readonly ok: false; readonly message: string };

export class SecretFiles {
  private readonly directory: string;
  private readonly known = new Map<string, SecretFile>();

  /** @param directory where relative paths start */
  constructor(directory: string) {
    this.directory = directory;
  }

  /** What is in it, without the line's end. */
  read(file: string): SecretFile {
    const path = resolve(this.directory, file);
    let known = this.known.get(path);
    if (known === undefined) this.known.set(path, (known = readSecret(path)));
    return known;
  }
}

function readSecret(path: string): SecretFile {
  try {
    return { ok: true, path, text: readFileSync(path, "utf8").replace(/^\uFEFF/, "").trim() };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const why = { ENOENT: "no such file", EACCES: "no permission to read it", EISDIR: "it is a directory" }[code] ?? String(error);
    return { ok: false, message: `cannot read ${path}: ${why}` };
  }
}

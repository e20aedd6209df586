/** A copy of the product that may be replaced on the disk while it runs, as an installation's files are by an upgrade. */
import { cpSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");

export class Release {
  private readonly directory: string;

  /** @param directory where there is nothing yet */
  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(directory);
    for (const part of ["bin", "src", "package.json"]) cpSync(join(ROOT, part), join(directory, part), { recursive: true });
    symlinkSync(join(ROOT, "node_modules"), join(directory, "node_modules"));
  }

  get binary(): string {
    return join(this.directory, "bin/fairlead");
  }

  /** What is on the disk is another version from now on. */
  becomes(version: string): void {
    const file = join(this.directory, "package.json");
    const manifest = JSON.parse(readFileSync(file, "utf8")) as object;
    writeFileSync(`${file}.new`, JSON.stringify({ ...manifest, version }, undefined, 2));
    renameSync(`${file}.new`, file);
  }
}

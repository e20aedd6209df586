/** Inputs that broke something once: one file each, played by every `npm test`. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Finding } from "./hunt.ts";

export const FOUND = join(import.meta.dir, "found");

export interface Found {
  readonly fuzzer: string;
  /** What was wrong when it was found. */
  readonly what: string;
  /** Its bytes, as latin1. */
  readonly input: string;
}

export function nameOf({ fuzzer, input }: Finding): string {
  return `${fuzzer}-${Bun.hash.crc32(input).toString(16).padStart(8, "0")}.json`;
}

export function allFound(): readonly (readonly [file: string, found: Found])[] {
  if (!existsSync(FOUND)) return [];
  return readdirSync(FOUND)
    .filter((file) => file.endsWith(".json"))
    .toSorted()
    .map((file) => [file, JSON.parse(readFileSync(join(FOUND, file), "utf8")) as Found]);
}

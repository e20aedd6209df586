/**
 * What one instance leaves on disk for the supervisor that comes after it: who runs, where they can be asked.
 * A directory of mode 0700, one for each configuration and user.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Address } from "../config/snapshot.ts";
import { StartError } from "./errors.ts";

export interface InstanceState {
  readonly supervisor: number;
  readonly workers: readonly { readonly pid: number; readonly controlSocket: string }[];
  /** In the order in which workers pass the descriptors. */
  readonly sockets: readonly { readonly name: string; readonly key: string; readonly address: Address }[];
}

export class RuntimeDirectory {
  readonly path: string;

  /** @param identity what makes two starts the same instance: the config's real path, or the flags */
  constructor(identity: string, path = join(tmpdir(), `fairlead-${process.getuid?.() ?? 0}`, Bun.hash(identity).toString(36))) {
    this.path = path;
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw new StartError(`cannot make the runtime directory ${path}: ${(error as Error).message}`);
    }
  }

  controlSocket(slot: number): string {
    return join(this.path, `${process.pid}-${slot}.sock`);
  }

  /** A name for a socket of our own. */
  get handover(): string {
    return join(this.path, `${process.pid}.handover`);
  }

  private get file(): string {
    return join(this.path, "state.json");
  }

  /** Undefined: nobody ran here, or what it left is unreadable. */
  read(): InstanceState | undefined {
    try {
      return JSON.parse(readFileSync(this.file, "utf8")) as InstanceState;
    } catch {
      return undefined;
    }
  }

  write(state: InstanceState): void {
    // Whole or not at all: a reader never sees half a file.
    const draft = `${this.file}.${process.pid}`;
    writeFileSync(draft, JSON.stringify(state), { mode: 0o600 });
    renameSync(draft, this.file);
  }

  /** After a clean stop nothing is left, unless another supervisor has taken over. */
  remove(): void {
    if (this.read()?.supervisor === process.pid) rmSync(this.path, { recursive: true, force: true });
  }
}

/** Is there a process of this number that we may signal? */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/**
 * What one instance leaves on disk for the supervisor that comes after it: who runs, where they can be asked, which row of the
 * scoreboard is whose. A directory of mode 0700, one for each configuration and user; whoever holds its lock is the supervisor.
 */
import { appendFileSync, closeSync, fstatSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmdirSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Address, Snapshot } from "../config/snapshot.ts";
import type { SavedBeat } from "../health/heartbeats.ts";
import { tryLock } from "../net/file-lock.ts";
import { StartError } from "./errors.ts";
import type { KeptFaults } from "./kept-faults.ts";
import type { Kept } from "./said.ts";

export interface InstanceState {
  readonly supervisor: number;
  /** Path of the scoreboard. */
  readonly board: string;
  readonly workers: readonly { readonly pid: number; readonly controlSocket: string }[];
  /** In the order in which workers pass the descriptors. */
  readonly sockets: readonly { readonly name: string; readonly key: string; readonly address: Address; readonly activated?: boolean; readonly seat?: number }[];
}

/** A configuration that came by the API and is in no file. */
export interface KeptConfig {
  readonly text: string;
  /** ISO 8601. */
  readonly at: string;
  readonly by: string;
}

/** Rows of the scoreboard by upstream and target. */
export type SlotNames = Readonly<Record<string, number>>;

export function slotName(upstream: string, target: string): string {
  return `${upstream} ${target}`;
}

const EVENTS = "events.jsonl";
/** Longest path that a unix socket may have on every system. */
const MAX_SOCKET_PATH = 103;
/** Everything that this file ever makes in the directory; nothing else is ever taken away. */
const OURS = /^((state|slots|beats|overrides|faults|config|events)\.jsonl?(\.\d+)?|\d+-\d+\.sock)$/;

export class RuntimeDirectory {
  readonly path: string;
  /** The directory of this user's instances; undefined: the path was given. */
  private readonly parent: string | undefined;
  private held: number;

  /**
   * @param identity what makes two starts the same instance: the config's real path, or the flags
   * @param handed the lock's descriptor, from a supervisor that upgrades itself
   * @throws StartError when a living supervisor has the directory, or it cannot be ours
   */
  constructor(identity: string, path: string | undefined, handed: number | undefined) {
    this.path = pathOf(identity, path);
    this.parent = path === undefined ? parentDirectory() : undefined;
    if (Buffer.byteLength(this.controlSocket(999)) > MAX_SOCKET_PATH) throw new StartError(`the path of the runtime directory ${this.path} is too long for sockets in it; choose another one with --runtime-dir`);
    this.held = handed ?? this.acquire();
  }

  /** Descriptor of the directory, locked: by it there is one supervisor only, and sweepers of old temporary files leave it alone. */
  get lock(): number {
    return this.held;
  }

  private acquire(): number {
    for (;;) {
      if (this.parent !== undefined) privateDirectory(this.parent);
      privateDirectory(this.path);
      const lock = openSync(this.path, "r");
      if (!tryLock(lock, "exclusive")) {
        closeSync(lock);
        const pid = this.read()?.supervisor ?? 0;
        throw new StartError(pid === 0 ? "this configuration is being started by another process" : `this configuration is run already by process ${pid}; stop it first, or reload it with: kill -HUP ${pid}`);
      }
      // Whoever stopped just now may have taken away the directory that we opened: then somebody else can lock a new one.
      if (statSync(this.path, { throwIfNoEntry: false })?.ino === fstatSync(lock).ino) return lock;
      closeSync(lock);
    }
  }

  controlSocket(slot: number): string {
    return join(this.path, `${process.pid}-${slot}.sock`);
  }

  /** Undefined: nobody ran here, or what it left is unreadable. */
  read(): InstanceState | undefined {
    return this.readJson("state.json") as InstanceState | undefined;
  }

  write(state: InstanceState): void {
    this.writeJson("state.json", state);
  }

  readSlots(): SlotNames {
    return (this.readJson("slots.json") as SlotNames | undefined) ?? {};
  }

  /** Apart from the state, which is written whenever a worker comes or goes: there may be 10,000 targets. */
  writeSlots({ upstreams }: Snapshot): void {
    const slots: Record<string, number> = {};
    for (const { name, targets } of upstreams) for (const target of targets) slots[slotName(name, target.name)] = target.slot;
    this.writeJson("slots.json", slots);
  }

  /** Heartbeats that were heard. */
  readBeats(): readonly SavedBeat[] {
    return (this.readJson("beats.json") as readonly SavedBeat[] | undefined) ?? [];
  }

  writeBeats(beats: readonly SavedBeat[]): void {
    this.writeJson("beats.json", beats);
  }

  /** What people said of upstreams and targets; undefined: nothing. */
  readOverrides(): unknown {
    return this.readJson("overrides.json");
  }

  writeOverrides(kept: Kept): void {
    this.writeJson("overrides.json", kept);
  }

  /** Faults that people brought and ended; undefined: nobody did. */
  readFaults(): unknown {
    return this.readJson("faults.json");
  }

  writeFaults(kept: KeptFaults): void {
    this.writeJson("faults.json", kept);
  }

  /** @param config undefined: it is in the file */
  writeConfig(config: KeptConfig | undefined): void {
    this.writeJson("config.json", config ?? null);
  }

  /** The configuration that an instance runs which is in no file; it need not be ours. Undefined: none does. */
  static configOf(identity: string, path: string | undefined): KeptConfig | undefined {
    const directory = pathOf(identity, path);
    // A configuration names programs that are run: it is believed of nobody else.
    if (![...(path === undefined ? [parentDirectory()] : []), directory].every(isPrivate)) return undefined;
    const state = readJson(directory, "state.json") as InstanceState | undefined;
    if (state?.workers.some(({ pid }) => isAlive(pid)) !== true) return undefined;
    return (readJson(directory, "config.json") as KeptConfig | null | undefined) ?? undefined;
  }

  /** Lines of the timeline; "": there are none. */
  readEvents(): string {
    return this.readText(EVENTS) ?? "";
  }

  /** @throws Error when the disk does not take it */
  appendEvents(lines: string): void {
    appendFileSync(join(this.path, EVENTS), lines, { mode: 0o600 });
  }

  /** In place of what there was. @throws Error when the disk does not take it */
  writeEvents(lines: string): void {
    this.writeText(EVENTS, lines);
  }

  private readJson(name: string): unknown {
    return readJson(this.path, name);
  }

  private readText(name: string): string | undefined {
    return readText(this.path, name);
  }

  private writeJson(name: string, value: unknown): void {
    this.writeText(name, JSON.stringify(value));
  }

  /** @throws Error when the disk does not take it, or another supervisor has the directory */
  private writeText(name: string, text: string): void {
    // Somebody may have taken the directory away: then a new one is made, and is ours again.
    if (statSync(this.path, { throwIfNoEntry: false })?.ino !== fstatSync(this.held).ino) this.held = this.acquire();
    // Whole or not at all: a reader never sees half a file.
    const draft = join(this.path, `${name}.${process.pid}`);
    writeFileSync(draft, text, { mode: 0o600 });
    renameSync(draft, join(this.path, name));
  }

  /** After a clean stop nothing is left, unless another supervisor goes on here, or should. */
  remove(): void {
    const supervisor = this.read()?.supervisor;
    if (supervisor !== undefined && supervisor !== process.pid) return;
    try {
      for (const name of readdirSync(this.path)) if (OURS.test(name)) unlinkSync(join(this.path, name));
      rmdirSync(this.path);
    } catch {
      // Somebody else's files are in it, or it is gone: neither keeps us from ending.
    }
  }
}

function readJson(directory: string, name: string): unknown {
  try {
    return JSON.parse(readText(directory, name) ?? "");
  } catch {
    return undefined;
  }
}

function readText(directory: string, name: string): string | undefined {
  try {
    return readFileSync(join(directory, name), "utf8");
  } catch {
    return undefined;
  }
}

function pathOf(identity: string, path: string | undefined): string {
  return path ?? join(parentDirectory(), Bun.hash(identity).toString(36));
}

/** Of all that this user runs; it may not be there, or be somebody else's. */
export function parentDirectory(): string {
  return join(tmpdir(), `fairlead-${process.getuid?.() ?? 0}`);
}

/** The directory of all that this user runs; it is there then. @throws StartError when it cannot be ours */
export function userDirectory(): string {
  const path = parentDirectory();
  privateDirectory(path);
  return path;
}

/** Nobody else may have made it: what is in it is believed. */
function privateDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new StartError(`cannot make the runtime directory ${path}: ${(error as Error).message}`);
  }
  if (!isPrivate(path)) throw new StartError(`the runtime directory ${path} must be a directory of this user that nobody else can write to; remove it, or choose another one with --runtime-dir`);
}

/** A directory of this user that nobody else can write to. */
function isPrivate(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === process.getuid?.() && (found.mode & 0o022) === 0;
}

/** Is there a process of this number? */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

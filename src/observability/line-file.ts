/**
 * Lines on their way to a file, a pipe or a socket: gathered, and written whole. Writing never waits: what the other side does not take stays in the
 * buffer until the next flush, and what the buffer has no room for is lost and counted.
 */
import { ptr } from "bun:ffi";
import { closeSync, constants, fstatSync, lstatSync, openSync, type Stats, writeSync } from "node:fs";
import { libc } from "../net/libc.ts";

const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants;
/** Owner writes, group reads. */
export const LOG_FILE_MODE = 0o640;
const NEWLINE = 10;
/** POSIX's PIPE_BUF as Linux has it: so much is written whole or not at all, whoever else writes to the same pipe. */
const PIPE_WHOLE = process.platform === "linux" ? 4096 : 512;
const MSG_DONTWAIT = process.platform === "darwin" ? 0x80 : 0x40;
const MSG_NOSIGNAL = process.platform === "linux" ? 0x4000 : 0;
const POLLOUT = 4;
/** Between two tries to open what cannot be opened, in ms. */
const OPEN_EVERY = 1_000;

/** Standard error and output are other processes' too. */
export const STANDARD: ReadonlyMap<string, number> = new Map([
  ["stderr", 2],
  ["stdout", 1],
]);

/**
 * file: a write takes what there is room for on the disk; pipe: so does a write that must not wait; socket: the same by send(2);
 * shared: a pipe that others write to as well, and that we cannot make our own: it is asked before each write.
 */
type Kind = "file" | "pipe" | "socket" | "shared";

export class LineFile {
  /** Lines that nobody will read. */
  lost = 0;
  private readonly path: string;
  private readonly buffer: Buffer;
  /** Bytes in it. */
  private held = 0;
  private fd = -1;
  private kind: Kind = "file";
  private own = false;
  /** What is held could not be written: nothing is tried before the next flush. */
  private stuck = false;
  private nextOpen = 0;

  /** @param path of a file, or "stderr" or "stdout" @param size of the buffer, in bytes */
  constructor(path: string, size: number) {
    this.path = path;
    this.buffer = Buffer.allocUnsafe(size);
    this.open();
  }

  /** The longest line that stays whole whoever else writes there, in bytes. */
  get longest(): number {
    return this.kind === "file" || this.kind === "socket" ? this.buffer.length : Math.min(PIPE_WHOLE, this.buffer.length);
  }

  /** A line is the first `length` bytes of `line`, its newline too. */
  write(line: Buffer, length: number): void {
    if (length > this.buffer.length - this.held) {
      if (!this.stuck) this.flush();
      if (length > this.buffer.length - this.held) {
        this.lost++;
        return;
      }
    }
    line.copy(this.buffer, this.held, 0, length);
    this.held += length;
  }

  /** Write what is held; what is not taken is held still. @returns nothing is */
  flush(): boolean {
    if (this.held === 0) return true;
    if (this.fd < 0) this.open();
    let at = 0;
    if (this.fd >= 0) {
      try {
        while (at < this.held) {
          const end = this.pieceEnd(at);
          at += this.put(at, end);
          if (at < end) break;
        }
      } catch (error) {
        // Its readers have gone: perhaps others come.
        if ((error as NodeJS.ErrnoException).code === "EPIPE") this.close();
      }
    }
    if (at > 0) this.buffer.copyWithin(0, at, this.held);
    this.held -= at;
    this.stuck = this.held > 0;
    return !this.stuck;
  }

  /** To where the next write goes: whole lines, as many as stay whole. */
  private pieceEnd(at: number): number {
    if (this.kind === "file" || this.held - at <= PIPE_WHOLE) return this.held;
    const last = this.buffer.lastIndexOf(NEWLINE, at + PIPE_WHOLE - 1);
    if (last >= at) return last + 1;
    const next = this.buffer.indexOf(NEWLINE, at);
    return next < 0 || next >= this.held ? this.held : next + 1;
  }

  /** @returns bytes that were taken @throws as the system does */
  private put(at: number, end: number): number {
    const { fd, buffer } = this;
    if (this.kind === "socket") return Math.max(0, Number(libc().send(fd, ptr(buffer, at), BigInt(end - at), MSG_DONTWAIT | MSG_NOSIGNAL)));
    if (this.kind === "shared" && !takesMore(fd)) return 0;
    return writeSync(fd, buffer, at, end - at);
  }

  /** What is held goes to the file as it was; what comes goes to the one that has its name now. */
  reopen(): void {
    if (STANDARD.has(this.path)) return;
    this.flush();
    const before = this.fd;
    this.fd = -1;
    this.nextOpen = 0;
    this.open();
    // Better the old one than none.
    if (this.fd < 0) this.fd = before;
    else if (before >= 0) closeSync(before);
  }

  /** What is held and not taken now is lost. */
  end(): void {
    this.flush();
    for (let at = 0; at < this.held; at++) if (this.buffer[at] === NEWLINE) this.lost++;
    this.held = 0;
    this.close();
  }

  private open(): void {
    const now = performance.now();
    if (now < this.nextOpen) return;
    const standard = STANDARD.get(this.path);
    try {
      if (standard === undefined) this.take(openSync(this.path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | linkFlag(this.path), LOG_FILE_MODE), true);
      else this.takeStandard(standard);
    } catch {
      // No directory, no permission, a named pipe that nobody reads: until that changes lines are held, and then lost.
      this.nextOpen = now + OPEN_EVERY;
    }
  }

  private take(fd: number, own: boolean): void {
    const stats = fstatSync(fd);
    this.fd = fd;
    this.own = own;
    this.kind = kindOf(stats, own);
  }

  /**
   * O_NONBLOCK belongs to what several processes have open together, and a shell that finds its terminal so goes wrong. Linux opens the same pipe or
   * terminal once more, for us alone.
   */
  private takeStandard(fd: number): void {
    const stats = fstatSync(fd);
    if ((stats.isFIFO() || stats.isCharacterDevice()) && process.platform === "linux") {
      try {
        this.take(openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY), true);
        return;
      } catch {
        // It is another user's.
      }
    }
    this.take(fd, false);
  }

  private close(): void {
    if (this.own && this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
    this.nextOpen = performance.now() + OPEN_EVERY;
  }
}

/** A link is followed when it is ours or root's: another's could make us write into any file. @throws Error when it is another's */
function linkFlag(path: string): number {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there?.isSymbolicLink() !== true) return O_NOFOLLOW;
  if (there.uid !== 0 && there.uid !== process.getuid?.()) throw new Error(`${path} is a link of user ${there.uid}'s`);
  return 0;
}

function kindOf(stats: Stats, own: boolean): Kind {
  if (stats.isSocket()) return "socket";
  if (stats.isFIFO() || stats.isCharacterDevice()) return own ? "pipe" : "shared";
  return "file";
}

/** A write of a few lines would not wait now. */
function takesMore(fd: number): boolean {
  const asked = new Int32Array([fd, POLLOUT]);
  return libc().poll(ptr(asked), 1n, 0) === 1;
}

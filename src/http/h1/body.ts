/**
 * Reads a message body incrementally: which ranges of the received bytes are data, and where the message ends.
 *
 * A pull parser: the caller asks for the next event of a buffer, so nothing is allocated and no callback is made.
 * Chunk framing is checked and taken away here (RFC 9112 section 7.1); the writer frames anew, so extensions never pass.
 */
import { Framing, Parse, TrailerFields, type FramingKind } from "./head.ts";
import { hexValue } from "./syntax.ts";

export const Event = {
  /** [dataStart, dataEnd) are bytes of the body; go on at `position`. */
  DATA: 0,
  /** The message is whole; `position` is the first byte after it. */
  END: 1,
  /** All of the buffer is used up. */
  MORE: 2,
  /** Broken framing; `problem` says what. */
  ERROR: 3,
} as const;
export type BodyEvent = (typeof Event)[keyof typeof Event];

const CR = 13;
const LF = 10;
/** Digits of a chunk size: 16^12 bytes is 281 TB and an exact number. */
const MAX_SIZE_DIGITS = 12;
/** Bytes of the extensions of one chunk. */
const MAX_EXTENSION = 1024;
/** Bytes of the extensions of all chunks since the last DATA of some size: a flood of them is refused. */
const MAX_EXTENSIONS = 16 * 1024;

const State = {
  SIZE_FIRST: 0,
  SIZE: 1,
  EXTENSION: 2,
  EXTENSION_QUOTED: 3,
  EXTENSION_ESCAPED: 4,
  SIZE_LF: 5,
  DATA: 6,
  DATA_CR: 7,
  DATA_LF: 8,
  TRAILERS: 9,
  DONE: 10,
} as const;

export interface TrailerLimits {
  readonly headerBytes: number;
  readonly headerCount: number;
}

/** Shared scratch: trailers are read and passed on within one event. */
const trailerFields = new TrailerFields(1000);

export class BodyReader {
  framing: FramingKind = Framing.NONE;
  /** Bytes of body data passed on so far. */
  received = 0;
  dataStart = 0;
  dataEnd = 0;
  position = 0;
  problem = "";
  /** Set at END when the message had trailers; good until the next message is read. */
  trailers: TrailerFields | undefined = undefined;
  done = true;

  private remaining = 0;
  private state: number = State.DONE;
  private digits = 0;
  private extension = 0;
  private extensions = 0;
  private limits: TrailerLimits | undefined = undefined;
  /** A trailer section that came in pieces. */
  private partial: Buffer | undefined = undefined;

  begin(framing: FramingKind, contentLength: number, limits: TrailerLimits): void {
    this.framing = framing;
    this.received = 0;
    this.trailers = undefined;
    this.limits = limits;
    this.done = framing === Framing.NONE;
    if (framing === Framing.LENGTH) this.remaining = contentLength;
    else if (framing === Framing.CHUNKED) {
      this.state = State.SIZE_FIRST;
      this.extensions = 0;
    }
  }

  /** The next event of buffer[at, end). */
  next(buffer: Buffer, at: number, end: number): BodyEvent {
    switch (this.framing) {
      case Framing.LENGTH:
        return this.nextOfLength(at, end);
      case Framing.CHUNKED:
        return this.nextOfChunked(buffer, at, end);
      case Framing.UNTIL_CLOSE:
        if (at === end) return Event.MORE;
        return this.data(at, end);
      default:
        this.position = at;
        this.done = true;
        return Event.END;
    }
  }

  private data(start: number, end: number): BodyEvent {
    this.dataStart = start;
    this.dataEnd = end;
    this.position = end;
    this.received += end - start;
    return Event.DATA;
  }

  private nextOfLength(at: number, end: number): BodyEvent {
    if (this.remaining === 0) {
      this.position = at;
      this.done = true;
      return Event.END;
    }
    if (at === end) return Event.MORE;
    const length = Math.min(this.remaining, end - at);
    this.remaining -= length;
    this.done = this.remaining === 0;
    return this.data(at, at + length);
  }

  private fail(problem: string): BodyEvent {
    this.problem = problem;
    return Event.ERROR;
  }

  private nextOfChunked(buffer: Buffer, at: number, end: number): BodyEvent {
    let position = at;
    while (position < end) {
      const byte = buffer[position]!;
      switch (this.state) {
        case State.SIZE_FIRST: {
          const digit = hexValue(byte);
          if (digit < 0) return this.fail("chunk size is no hex number");
          this.remaining = digit;
          this.digits = 1;
          this.extension = 0;
          this.state = State.SIZE;
          position++;
          break;
        }
        case State.SIZE: {
          const digit = hexValue(byte);
          if (digit >= 0) {
            if (++this.digits > MAX_SIZE_DIGITS) return this.fail("chunk size too large");
            this.remaining = this.remaining * 16 + digit;
          } else if (byte === CR) this.state = State.SIZE_LF;
          else if (byte === 0x3b) this.state = State.EXTENSION;
          else return this.fail("chunk size is no hex number");
          position++;
          break;
        }
        case State.EXTENSION:
        case State.EXTENSION_QUOTED:
        case State.EXTENSION_ESCAPED:
          if (++this.extension > MAX_EXTENSION || ++this.extensions > MAX_EXTENSIONS) return this.fail("chunk extension too long");
          if (byte === CR && this.state === State.EXTENSION) this.state = State.SIZE_LF;
          else if (byte !== 9 && (byte < 32 || byte === 0x7f)) return this.fail("control character in a chunk extension");
          else this.state = nextInExtension(this.state, byte);
          position++;
          break;
        case State.SIZE_LF:
          if (byte !== LF) return this.fail("chunk size line does not end in CRLF");
          position++;
          if (this.remaining > 0) this.state = State.DATA;
          else {
            this.state = State.TRAILERS;
            this.partial = undefined;
          }
          break;
        case State.DATA: {
          const length = Math.min(this.remaining, end - position);
          this.remaining -= length;
          if (this.remaining === 0) this.state = State.DATA_CR;
          return this.data(position, position + length);
        }
        case State.DATA_CR:
          if (byte !== CR) return this.fail("chunk is longer than its size");
          this.state = State.DATA_LF;
          position++;
          break;
        case State.DATA_LF:
          if (byte !== LF) return this.fail("chunk does not end in CRLF");
          this.state = State.SIZE_FIRST;
          position++;
          break;
        case State.TRAILERS:
          return this.readTrailers(buffer, position, end);
        default:
          this.position = position;
          return Event.END;
      }
    }
    return Event.MORE;
  }

  private readTrailers(buffer: Buffer, at: number, end: number): BodyEvent {
    const { headerBytes, headerCount } = this.limits!;
    const before = this.partial?.length ?? 0;
    const section = this.partial === undefined ? buffer : Buffer.concat([this.partial, buffer.subarray(at, end)]);
    const start = this.partial === undefined ? at : 0;
    const stop = this.partial === undefined ? end : section.length;
    // A line that is not whole yet is not read again for each byte of it.
    const result = buffer.indexOf(LF, at) < 0 ? Parse.MORE : trailerFields.parse(section, start, stop, headerCount);
    if (result === Parse.MORE) {
      if (stop - start > headerBytes) return this.fail("trailers too large");
      this.partial = Buffer.from(section.subarray(start, stop));
      return Event.MORE;
    }
    if (result !== Parse.OK) return this.fail("malformed trailers");
    if (trailerFields.end - start > headerBytes) return this.fail("trailers too large");
    this.trailers = trailerFields.count > 0 ? trailerFields : undefined;
    this.position = at + (trailerFields.end - start) - before;
    this.partial = undefined;
    this.state = State.DONE;
    this.done = true;
    return Event.END;
  }
}

/** Quoted strings may hold anything printable, a `;` too: RFC 9112 section 7.1.1. */
function nextInExtension(state: number, byte: number): number {
  if (state === State.EXTENSION_ESCAPED) return State.EXTENSION_QUOTED;
  if (state === State.EXTENSION_QUOTED) return byte === 0x22 ? State.EXTENSION : byte === 0x5c ? State.EXTENSION_ESCAPED : state;
  return byte === 0x22 ? State.EXTENSION_QUOTED : state;
}

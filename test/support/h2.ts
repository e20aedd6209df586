/** An HTTP/2 client that sends exactly the frames it is told to, and reads what comes strictly; over TCP or TLS. */
import { connect, type Socket } from "node:net";
import { Conversation, type Stream } from "./h2-conversation.ts";
import { ErrorCode, Flag, FrameReader, FrameType, nameOfError, ping, PREFACE, settings, settingsAck } from "./h2-frames.ts";
import { RawConnection } from "./raw-connection.ts";
import { until, within } from "./until.ts";

/** Something that the server should do. */
export interface Wish<T = unknown> {
  readonly what: string;
  /** What came; undefined while it may still come. @throws Error when it can come no more, with the reason */
  readonly look: (client: H2Client) => T | undefined;
  /** What of the connection after it: it goes on, it must end (RFC 9113 section 5.4.1), or it may have ended. Absent: it goes on. */
  readonly after?: "ends" | "may end";
}

export interface H2Options {
  /** The client's first settings. */
  readonly settings?: readonly (readonly [number, number])[];
  /** `full` waits for both SETTINGS and their acknowledgements; `preface` sends the preface's 24 bytes only; `none` sends nothing. Default: full. */
  readonly handshake?: "full" | "preface" | "none";
  /** The server's SETTINGS and PING are acknowledged of themselves. Default: after a full handshake only. */
  readonly polite?: boolean;
}

/** How much of the story an error tells. */
const TOLD = 25;

export class H2Client {
  readonly connection: RawConnection;
  readonly conversation = new Conversation();
  private readonly incoming = new FrameReader();
  private readonly outgoing = new FrameReader();
  private polite: boolean;
  /** PINGs of the server that have no answer. */
  private unanswered: Buffer[] = [];
  private pings = 0;

  private constructor(socket: Socket, options: H2Options) {
    this.polite = options.polite ?? (options.handshake ?? "full") === "full";
    this.connection = new RawConnection(socket, (chunk) => this.take(chunk));
  }

  static async connect(port: number, options: H2Options = {}, host = "127.0.0.1"): Promise<H2Client> {
    const socket = connect({ port, host, allowHalfOpen: true });
    await within(`a connection to ${host}:${port}`, new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject)));
    return H2Client.over(socket, options);
  }

  /** On a socket that is connected; a TLS socket is one too. */
  static async over(socket: Socket, options: H2Options = {}): Promise<H2Client> {
    const client = new H2Client(socket, options);
    const { handshake = "full" } = options;
    if (handshake !== "none") client.connection.write(PREFACE);
    if (handshake !== "full") return client;
    client.send(settings(...(options.settings ?? [])));
    await client.expect({
      what: "the server's SETTINGS and its acknowledgement of ours",
      look: ({ conversation, gone }) => {
        if (gone) throw new Error("the connection ended");
        return (conversation.settingsFrames > 0 && conversation.settingsAcks > 0) || undefined;
      },
    });
    return client;
  }

  /** All in one write. */
  send(...frames: readonly Buffer[]): this {
    this.note(frames);
    this.connection.write(Buffer.concat(frames));
    return this;
  }

  /** Byte by byte, as far as the system lets one say so. */
  async sendBytewise(...frames: readonly Buffer[]): Promise<void> {
    this.note(frames);
    await this.connection.bytewise(Buffer.concat(frames));
  }

  /** Neither answers nor errors come any more. */
  get gone(): boolean {
    return this.connection.peer !== "open" || this.connection.closed;
  }

  stream(id: number): Stream {
    const stream = this.conversation.streams.get(id);
    if (stream === undefined) throw new Error(`stream ${id} was never opened`);
    return stream;
  }

  /** What a wish gives; an error that tells what came instead. */
  async expect<T>(wish: Wish<T>, patience?: number): Promise<NonNullable<Exclude<T, false>>> {
    try {
      return await until(wish.what, () => wish.look(this), patience);
    } catch (error) {
      throw new Error(`${wish.what} expected (${error instanceof Error ? error.message : String(error)}); came: ${this.told()}`, { cause: error });
    }
  }

  /** A PING and its acknowledgement: all that was sent before has been read, and the connection is still there. */
  async roundTrip(patience?: number): Promise<void> {
    const payload = `ping${String(this.pings++).padStart(4, "0")}`;
    this.send(ping(payload));
    await this.expect(pong(payload), patience);
  }

  /** Acknowledges the PINGs that came, and from now on each as it comes. */
  bePolite(): this {
    this.polite = true;
    this.connection.write(Buffer.concat(this.unanswered));
    this.unanswered = [];
    return this;
  }

  /** What came so far, in short. */
  told(): string {
    const { story, violation } = this.conversation;
    const last = story.slice(-TOLD).join(", ");
    const left = story.length > TOLD ? `(${story.length - TOLD} frames), ` : "";
    const text = story.length === 0 ? JSON.stringify(this.connection.receivedText.slice(0, 200)) : "";
    return `${left}${last}${text}; connection ${this.connection.peer}${violation === undefined ? "" : `; against the rules: ${violation}`}`;
  }

  destroy(): void {
    this.connection.destroy();
  }

  private note(frames: readonly Buffer[]): void {
    for (const bytes of frames.filter((one) => !one.equals(PREFACE))) for (const frame of this.outgoing.feed(bytes)) this.conversation.sent(frame);
  }

  private take(chunk: Buffer): void {
    for (const frame of this.incoming.feed(chunk)) {
      this.conversation.received(frame);
      if ((frame.flags & Flag.ACK) !== 0) continue;
      if (frame.type === FrameType.SETTINGS && this.polite) this.connection.write(settingsAck());
      else if (frame.type === FrameType.PING) this.unanswered.push(ping(frame.payload.toString("latin1"), Flag.ACK));
      if (this.polite && this.unanswered.length > 0) this.bePolite();
    }
  }
}

function names(codes: readonly number[]): string {
  return codes.map(nameOfError).join(" or ");
}

/** True when a GOAWAY with one of these codes came or the connection has ended; an error when one with another code came. */
function ended({ conversation, gone }: H2Client, codes: readonly number[]): boolean {
  const errors = conversation.goaways.filter(({ code }) => code !== ErrorCode.NO_ERROR);
  if (errors.some(({ code }) => codes.includes(code))) return true;
  if (errors.length > 0) throw new Error(`GOAWAY with ${errors.map(({ code }) => nameOfError(code)).join(", ")}`);
  return gone;
}

/** GOAWAY with one of these codes, or the connection's end. */
export function connectionError(...codes: readonly number[]): Wish {
  return { what: `a connection error ${names(codes)}`, look: (client) => ended(client, codes) || undefined, after: "ends" };
}

/** GOAWAY with one of these codes, nothing less. */
export function goawayWith(...codes: readonly number[]): Wish {
  return {
    what: `GOAWAY with ${names(codes)}`,
    look: (client) => {
      if (ended(client, codes) && client.conversation.goaways.length === 0) throw new Error("the connection ended without GOAWAY");
      return client.conversation.goaways.some(({ code }) => codes.includes(code)) || undefined;
    },
    after: "ends",
  };
}

/** RST_STREAM with one of these codes, or a connection error with one of them. */
export function streamError(stream: number, ...codes: readonly number[]): Wish {
  return {
    what: `a stream error ${names(codes)} on ${stream}`,
    after: "may end",
    look: (client) => {
      const reset = client.conversation.resets.get(stream);
      if ((reset !== undefined && codes.includes(reset)) || ended(client, codes)) return true;
      if (reset !== undefined) throw new Error(`RST_STREAM with ${nameOfError(reset)}`);
      return undefined;
    },
  };
}

/** RST_STREAM with one of these codes, nothing else. */
export function rstWith(stream: number, ...codes: readonly number[]): Wish {
  return {
    what: `RST_STREAM ${stream} with ${names(codes)}`,
    look: (client) => {
      if (streamError(stream, ...codes).look(client) === undefined) return undefined;
      if (!client.conversation.resets.has(stream)) throw new Error("an error of the whole connection");
      return true;
    },
  };
}

/** The same as streamError, whatever its code. */
export function anyError(stream: number): Wish {
  const all = Object.values(ErrorCode).filter((code) => code !== ErrorCode.NO_ERROR);
  return { ...streamError(stream, ...all), what: `an error on ${stream}` };
}

function waiting(client: H2Client, id: number): Stream {
  const stream = client.stream(id);
  const reset = client.conversation.resets.get(id);
  if (reset !== undefined && !stream.ended) throw new Error(`RST_STREAM with ${nameOfError(reset)}`);
  if (client.gone && !stream.ended) throw new Error("the connection ended");
  return stream;
}

/** A final head, with this status if one is given; the body may be on the way. */
export function head(id: number, status?: number): Wish<Stream> {
  return {
    what: `a head${status === undefined ? "" : ` with status ${status}`} on ${id}`,
    look: (client) => {
      const stream = waiting(client, id);
      if (stream.head === undefined) return undefined;
      if (status !== undefined && stream.status !== status) throw new Error(`status ${stream.status}`);
      return stream;
    },
  };
}

/** A reply, whole. */
export function reply(id: number, status = 200): Wish<Stream> {
  return {
    what: `a whole reply with status ${status} on ${id}`,
    look: (client) => {
      const { ended: whole } = waiting(client, id);
      return head(id, status).look(client) !== undefined && whole ? client.stream(id) : undefined;
    },
  };
}

/** An error on the stream or the connection, or a reply of its own with a status from 400 on: the request went nowhere. */
export function refusal(id: number): Wish {
  return {
    what: `a refusal of ${id}`,
    after: "may end",
    look: (client) => {
      const { status, ended: whole } = client.stream(id);
      if (status > 0 && status < 400) throw new Error(`status ${status}`);
      return client.conversation.resets.has(id) || (status >= 400 && whole) || client.gone || client.conversation.goaways.some(({ code }) => code !== ErrorCode.NO_ERROR) || undefined;
    },
  };
}

/** The windows let so many more bytes go out on a stream; on 0: on the connection as a whole. */
export function room(id: number, count: number): Wish {
  return {
    what: `room for ${count} bytes on ${id}`,
    look: (client) => {
      if (client.gone) throw new Error("the connection ended");
      return (client.conversation.sendWindow >= count && (id === 0 || waiting(client, id).sendWindow >= count)) || undefined;
    },
  };
}

/** So many bytes of a body, and no more. */
export function bytes(id: number, count: number): Wish {
  return {
    what: `${count} bytes on ${id}`,
    look: (client) => {
      const stream = waiting(client, id);
      if (stream.bytes > count) throw new Error(`${stream.bytes} bytes`);
      return stream.bytes === count || undefined;
    },
  };
}

export function pong(payload: string): Wish {
  return {
    what: `an acknowledgement of PING ${JSON.stringify(payload)}`,
    look: ({ conversation, gone }) => {
      if (conversation.pongs.includes(payload)) return true;
      if (gone) throw new Error("the connection ended");
      return undefined;
    },
  };
}

/** The `count`-th acknowledgement of SETTINGS; the handshake's is the first. */
export function settingsAcks(count: number): Wish {
  return {
    what: `${count} acknowledgements of SETTINGS`,
    look: ({ conversation, gone }) => {
      if (conversation.settingsAcks >= count) return true;
      if (gone) throw new Error("the connection ended");
      return undefined;
    },
  };
}

/** GOAWAY without an error: the server will take no new streams. */
export function shutdown(count = 1): Wish {
  return { what: `${count} GOAWAY with NO_ERROR`, look: ({ conversation }) => conversation.goaways.filter(({ code }) => code === ErrorCode.NO_ERROR).length >= count || undefined };
}

/** The connection has ended, with or without a word. */
export const closed: Wish = { what: "the end of the connection", look: ({ gone }) => gone || undefined, after: "ends" };

/** Whichever comes first. */
export function either(...wishes: readonly Wish[]): Wish {
  return {
    what: wishes.map(({ what }) => what).join(", or "),
    look: (client) => {
      const errors: unknown[] = [];
      for (const { look } of wishes) {
        try {
          const came = look(client);
          if (came !== undefined) return came;
        } catch (error) {
          errors.push(error);
        }
      }
      if (errors.length === wishes.length) throw new Error(errors.map((error) => (error instanceof Error ? error.message : String(error))).join("; "));
      return undefined;
    },
    ...(wishes.some(({ after }) => after !== undefined) ? { after: "may end" } : {}),
  };
}

/** A setting of the server; its default when it said nothing. */
export function peerSetting({ conversation }: H2Client, setting: number, fallback: number): number {
  return conversation.peerSettings.get(setting) ?? fallback;
}

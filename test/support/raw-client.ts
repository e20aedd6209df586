/** A client that sends exactly the bytes it is told to and reads replies strictly. */
import type { Socket } from "node:net";
import { type Message, MessageReader } from "./messages.ts";
import { type Bytes, connected, RawConnection, toBytes } from "./raw-connection.ts";
import { until, within } from "./until.ts";

export class RawClient extends RawConnection {
  readonly reader: MessageReader;
  private taken = 0;

  private constructor(socket: Socket, reader: MessageReader) {
    super(
      socket,
      (chunk) => reader.feed(chunk),
      (clean) => reader.finish(clean),
    );
    this.reader = reader;
  }

  static async connect(port: number, host = "127.0.0.1"): Promise<RawClient> {
    return new RawClient(await connected(port, host), new MessageReader("reply"));
  }

  /** Send a request and remember its method, which decides whether the reply has a body. */
  request(bytes: Bytes): this {
    this.reader.methods.push(toBytes(bytes).toString("latin1").split(" ", 1)[0] as string);
    this.write(bytes);
    return this;
  }

  /** What was received so far counts as read. */
  skip(): this {
    this.taken = this.reader.messages.length;
    return this;
  }

  /** The head of the next reply (an interim one counts); its body may still be on the way. */
  async nextHead(patience?: number): Promise<Message> {
    const at = this.taken++;
    return until(
      `reply ${at + 1} (got ${JSON.stringify(this.receivedText.slice(0, 300))}, peer ${this.peer})`,
      () => {
        if (this.reader.malformed !== undefined) throw new Error(`malformed reply: ${this.reader.malformed}`);
        const message = this.reader.messages[at];
        if (message === undefined && this.peer !== "open") throw new Error(`no reply ${at + 1}: the connection was ${this.peer} after ${JSON.stringify(this.receivedText.slice(0, 300))}`);
        return message;
      },
      patience,
    );
  }

  /** The next reply, complete; an error when it is cut short. */
  async reply(patience?: number): Promise<Message> {
    const message = await this.nextHead(patience);
    const complete = await within(`the body of ${JSON.stringify(message.head)}`, message.ended, patience);
    if (!complete) throw new Error(`truncated reply: ${JSON.stringify(message.head)} and ${message.bodyLength} bytes`);
    return message;
  }

  /** The next final reply. */
  async finalReply(patience?: number): Promise<Message> {
    for (;;) {
      const message = await this.reply(patience);
      if (message.status >= 200 || message.status === 101) return message;
    }
  }

  /** Send a request and read its final reply. */
  async ask(bytes: Bytes, patience?: number): Promise<Message> {
    return this.request(bytes).finalReply(patience);
  }
}

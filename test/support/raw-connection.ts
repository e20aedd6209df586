/** A TCP connection under a test's full control: which bytes leave when, what came, and how it ended. */
import { connect, type Socket } from "node:net";
import { until, within } from "./until.ts";

export type Bytes = string | Uint8Array;

/** Strings stand for their latin1 bytes. */
export function toBytes(bytes: Bytes): Buffer {
  return typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes);
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A new connection, established; either side may end it by itself. */
export async function connected(port: number, host = "127.0.0.1"): Promise<Socket> {
  const socket = connect({ port, host, allowHalfOpen: true });
  await within(
    `a connection to ${host}:${port}`,
    new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject)),
  );
  return socket;
}

export class RawConnection {
  readonly socket: Socket;
  /** How the peer ended its side: not yet, with FIN, or with RST. */
  peer: "open" | "ended" | "reset" = "open";
  /** Neither side can send any more. */
  closed = false;
  private readonly chunks: Buffer[] = [];
  private length = 0;

  constructor(socket: Socket, onData: (chunk: Buffer) => void = () => {}, onPeerEnd: (clean: boolean) => void = () => {}) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => {
      this.chunks.push(chunk);
      this.length += chunk.length;
      onData(chunk);
    });
    socket.on("end", () => {
      if (this.peer !== "open") return;
      this.peer = "ended";
      onPeerEnd(true);
    });
    socket.on("error", () => {
      if (this.peer === "open") {
        this.peer = "reset";
        onPeerEnd(false);
      }
    });
    socket.on("close", () => {
      this.closed = true;
      if (this.peer === "open") onPeerEnd(false);
    });
  }

  /** All bytes that came so far. */
  get received(): Buffer {
    const whole = Buffer.concat(this.chunks);
    this.chunks.length = 0;
    this.chunks.push(whole);
    return whole;
  }

  get receivedLength(): number {
    return this.length;
  }

  get receivedText(): string {
    return this.received.toString("latin1");
  }

  /** Everything in one write. */
  write(bytes: Bytes): boolean {
    return this.socket.writable && this.socket.write(toBytes(bytes));
  }

  /** Each segment in a packet of its own, as far as the system lets one say so. */
  async segments(parts: readonly Bytes[]): Promise<void> {
    for (const part of parts) {
      if (this.closed || !this.socket.writable) return;
      const bytes = toBytes(part);
      if (bytes.length === 0) continue;
      await new Promise<void>((resolve) => {
        const done = () => {
          this.socket.off("close", done);
          resolve();
        };
        this.socket.once("close", done);
        this.socket.write(bytes, done);
      });
      await nextTurn();
    }
  }

  bytewise(bytes: Bytes): Promise<void> {
    const whole = toBytes(bytes);
    return this.segments(Array.from(whole, (_, at) => whole.subarray(at, at + 1)));
  }

  /** `bytes` over and over until `total` were taken; waits for the peer to read. False when the connection ended before. */
  async pour(total: number, block: Buffer, onProgress: (sent: number) => void = () => {}): Promise<boolean> {
    let sent = 0;
    while (sent < total) {
      if (this.closed || !this.socket.writable) return false;
      const part = sent + block.length > total ? block.subarray(0, total - sent) : block;
      sent += part.length;
      const free = this.socket.write(part);
      onProgress(sent);
      if (!free) {
        await new Promise<void>((resolve) => {
          const done = () => {
            this.socket.off("drain", done).off("close", done);
            resolve();
          };
          this.socket.on("drain", done).on("close", done);
        });
      }
    }
    return !this.closed;
  }

  /** FIN: no more will be sent; reading goes on. */
  end(bytes?: Bytes): void {
    if (bytes === undefined) this.socket.end();
    else this.socket.end(toBytes(bytes));
  }

  /** RST. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  destroy(): void {
    this.socket.destroy();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  async untilPeerEnds(patience?: number): Promise<"ended" | "reset"> {
    await until("the peer to end the connection", () => this.peer !== "open" || this.closed, patience);
    return this.peer === "ended" ? "ended" : "reset";
  }

  async untilText(text: string, patience?: number): Promise<string> {
    await until(JSON.stringify(text), () => this.receivedText.includes(text), patience);
    return this.receivedText;
  }
}

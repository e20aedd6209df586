/**
 * A socket with what every owner of one needs: a queue for what the kernel did not take, a deadline, one clear end.
 * It knows bytes and nothing of any protocol.
 */
import type { Duplex } from "./duplex.ts";
import type { NetSocket, SocketOwner } from "./network.ts";
import { Leaving, NOBODY } from "./leaving.ts";
import { release } from "./release.ts";
import { Timed, type TimerWheel } from "./timers.ts";

/** Counts what goes through a connection, in bytes as they are without TLS. */
export interface Meter {
  received(bytes: number): void;
  sent(bytes: number): void;
}

/** How long a peer may read nothing of what it is still sent after we have ended, in ms. */
const PATIENCE = 30_000;
const RESET: Error = Object.assign(new Error("reset by the peer"), { code: "ECONNRESET" });

export abstract class Connection extends Timed implements SocketOwner, Duplex {
  protected socket: NetSocket | undefined = undefined;
  protected readonly wheel: TimerWheel;
  /** Undefined: nobody wants to know. What comes in is told to it by onData. */
  protected readonly meter: Meter | undefined;
  /** What the kernel did not take, oldest first, in buffers of its own; undefined: nothing waits. */
  private queue: Buffer[] | undefined = undefined;
  /** Bytes of the first in the queue that are written. */
  private queueOffset = 0;
  private reading = true;
  /** Close as soon as the queue is written. */
  private ending: "no" | "shutdown" | "end" = "no";
  private finished = false;
  /** A write found the connection reset. The system tells that once: what was to be read ends, after that, as if the peer had ended it. */
  private wasReset = false;

  constructor(wheel: TimerWheel, meter?: Meter) {
    super();
    this.wheel = wheel;
    this.meter = meter;
  }

  // What the protocol does with it.
  protected abstract opened(socket: NetSocket): void;
  abstract onData(chunk: Buffer): void;
  /** The peer has sent its last byte, and means it: writing is still possible. */
  protected abstract atEnd(): void;
  /** Gone for good; called exactly once, also after abort(). */
  protected abstract closed(error: Error | undefined): void;
  /** All that was queued is written: the source may go on. */
  protected abstract writable(): void;
  /** Some of what was queued, or all of it and a FIN, is written: the peer reads, if slowly. */
  protected progressed(): void {}
  /** Its deadline has come. */
  protected abstract due(): void;

  onOpen(socket: NetSocket): void {
    this.socket = socket;
    this.opened(socket);
  }

  onConnectError(): void {
    // Sockets come here connected.
  }

  onClose(error: Error | undefined): void {
    if (this.finished) return;
    this.finished = true;
    this.socket = undefined;
    this.queue = undefined;
    this.wheel.remove(this);
    this.closed(error ?? (this.wasReset ? RESET : undefined));
  }

  onEnd(): void {
    if (this.wasReset) this.tearDown();
    else this.atEnd();
  }

  /** Nothing can be sent any more, nor will anything come. */
  private tearDown(): void {
    const { socket } = this;
    if (socket === undefined) return;
    socket.data = NOBODY;
    socket.terminate();
    this.onClose(RESET);
  }

  onDrain(): void {
    const { queue, socket } = this;
    if (queue === undefined || socket === undefined) return;
    for (let some = false; queue.length > 0; some = true) {
      const first = queue[0]!;
      const left = first.length - this.queueOffset;
      const taken = socket.write(first, this.queueOffset, left);
      if (taken < 0) {
        this.wasReset = true;
        // Who has ended waits for nothing but this queue.
        if (this.ending === "end") this.tearDown();
        return;
      }
      if (taken < left) {
        this.queueOffset += taken;
        if (some || taken > 0) this.goesOn();
        return;
      }
      this.queueOffset = 0;
      queue.shift();
      release(first);
    }
    this.queue = undefined;
    if (this.ending === "shutdown") {
      socket.shutdown();
      this.progressed();
    } else if (this.ending === "end") this.close(socket);
    else this.writable();
  }

  private goesOn(): void {
    if (this.ending === "end") this.wheel.schedule(this, this.wheel.now + PATIENCE);
    else this.progressed();
  }

  onDeadline(): void {
    if (this.ending === "end") this.abort();
    else this.due();
  }

  get isOpen(): boolean {
    return this.socket !== undefined;
  }

  /** Something waits for the kernel: stop the source until writable(). */
  get congested(): boolean {
    return this.queue !== undefined;
  }

  /** Write, or queue a copy of what the kernel does not take: the caller keeps `bytes`. */
  write(bytes: Buffer, offset: number, length: number): void {
    const { socket } = this;
    if (socket === undefined || this.ending !== "no") return;
    this.meter?.sent(length);
    let taken = 0;
    if (this.queue === undefined) {
      taken = socket.write(bytes, offset, length);
      if (taken < 0) this.wasReset = true;
      if (taken === length || taken < 0) return;
      this.queue = [];
    }
    const rest = Buffer.allocUnsafeSlow(length - taken);
    bytes.copy(rest, 0, offset + taken, offset + length);
    this.queue.push(rest);
  }

  pause(): void {
    if (!this.reading || this.socket === undefined) return;
    this.reading = false;
    this.socket.pause();
  }

  resume(): void {
    if (this.reading || this.socket === undefined) return;
    this.reading = true;
    this.socket.resume();
  }

  /** FIN after what is queued; reading goes on. */
  shutdown(): void {
    if (this.ending !== "no") return;
    this.ending = "shutdown";
    if (this.queue === undefined) this.socket?.shutdown();
  }

  /** FIN after what is queued, then close. A peer that reads nothing of it for a while is cut off. */
  end(): void {
    if (this.ending === "end") return;
    this.ending = "end";
    if (this.socket === undefined) return;
    if (this.queue === undefined) this.close(this.socket);
    else this.goesOn();
  }

  private close(socket: NetSocket): void {
    socket.end();
    if (this.socket === undefined) return;
    // With TLS it stays until the peer has said its goodbye too (close_notify); what comes until then is for nobody.
    socket.data = new Leaving(socket, this.wheel);
    this.onClose(undefined);
  }

  /** RST now. */
  abort(): void {
    const { socket } = this;
    if (socket === undefined) return;
    this.ending = "end";
    socket.data = NOBODY;
    socket.terminate();
    // Some paths report the close at once, others with the next turn of the loop, a failed connect not at all.
    this.onClose(undefined);
  }

  /** Another owner goes on with the socket; this one hears nothing more. */
  protected handOver(next: SocketOwner): void {
    const { socket } = this;
    if (socket === undefined) return;
    this.wheel.remove(this);
    this.finished = true;
    this.socket = undefined;
    socket.data = next;
    next.onOpen(socket);
  }
}

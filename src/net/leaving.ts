/** Owners of sockets that nobody has use for any more. */
import type { NetSocket, SocketOwner } from "./network.ts";
import { Timed, type TimerWheel } from "./timers.ts";

/** How long a peer may take to end its side of a connection that we have ended, in ms. */
const PATIENCE = 2_000;

/** Of a socket that was cut. */
export const NOBODY: SocketOwner = { onOpen() {}, onData() {}, onDrain() {}, onEnd() {}, onClose() {}, onConnectError() {} };

/** Of a socket that was ended and is open until its peer ends it too. */
export class Leaving extends Timed implements SocketOwner {
  private readonly socket: NetSocket;
  private readonly wheel: TimerWheel;

  /** @param now clock ms */
  constructor(socket: NetSocket, wheel: TimerWheel) {
    super();
    this.socket = socket;
    this.wheel = wheel;
    // One that was stopped would never hear of the peer's end.
    socket.resume();
    wheel.schedule(this, wheel.now + PATIENCE);
  }

  onOpen(): void {}
  onData(): void {}
  onDrain(): void {}

  onEnd(): void {
    this.socket.end();
  }

  onClose(): void {
    this.wheel.remove(this);
  }

  onConnectError(): void {}

  onDeadline(): void {
    this.socket.data = NOBODY;
    this.socket.terminate();
  }
}

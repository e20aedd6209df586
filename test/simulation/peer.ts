/** One end of a connection that a client or a back end holds: writes what it is told at the pace that it is told, however the socket takes it. */
import type { ConnectOwner, NetSocket } from "../../src/net/network.ts";
import type { Actor, World } from "./world.ts";

/** What is to be done, one after the other. */
export interface Step {
  /** Before it, in ms; 0: at once. */
  readonly pause?: number;
  readonly bytes?: Buffer;
  /** Once all before it was taken by the socket. */
  readonly act?: () => void;
}

export abstract class Peer implements ConnectOwner {
  protected socket: NetSocket | undefined = undefined;
  protected readonly world: World;
  protected readonly actor: Actor;
  private steps: Step[] = [];
  private offset = 0;
  private pausing = false;
  private working = false;
  /** A write ran into a reset: what looks like an end after that is none. */
  private wasReset = false;

  constructor(world: World, actor: Actor) {
    this.world = world;
    this.actor = actor;
  }

  abstract onData(chunk: Buffer): void;
  /** The other side has sent its last byte, and means it. */
  protected abstract ended(): void;
  /** Once: it is gone, or it never came to be. */
  protected abstract over(error: string | undefined): void;
  protected opened(): void {}

  onSecuring(): void {}

  onOpen(socket: NetSocket): void {
    this.socket = socket;
    socket.data = this;
    this.opened();
    this.work();
  }

  onConnectError(code: string): void {
    this.over(code);
  }

  onClose(error: Error | undefined): void {
    this.socket = undefined;
    this.steps = [];
    this.over(error?.message ?? (this.wasReset ? "ECONNRESET" : undefined));
  }

  onEnd(): void {
    if (this.wasReset) this.socket?.terminate();
    else this.ended();
  }

  onDrain(): void {
    this.work();
  }

  /** Do this after all that was told before. */
  protected tell(...steps: readonly Step[]): void {
    this.steps.push(...steps);
    this.work();
  }

  /** What was told and not yet done will not be. */
  protected forgetSteps(): void {
    this.steps = [];
    this.offset = 0;
  }

  protected get isBusy(): boolean {
    return this.steps.length > 0;
  }

  private work(): void {
    // What a step does may bring the next ones.
    if (this.working) return;
    this.working = true;
    while (this.socket !== undefined && !this.pausing && this.steps.length > 0 && this.doNext());
    this.working = false;
  }

  /** False: it has to wait. */
  private doNext(): boolean {
    const step = this.steps[0]!;
    if (step.pause !== undefined && step.pause > 0) {
      this.steps[0] = { ...step, pause: 0 };
      this.pausing = true;
      this.world.after(step.pause, this.actor, () => {
        this.pausing = false;
        this.work();
      });
      return false;
    }
    if (step.bytes !== undefined) {
      const left = step.bytes.length - this.offset;
      const taken = this.socket!.write(step.bytes, this.offset, left);
      if (taken < 0) {
        // The socket's end will be told.
        this.wasReset = true;
        return false;
      }
      this.offset += taken;
      if (taken < left) return false;
    }
    this.offset = 0;
    this.steps.shift();
    step.act?.();
    return true;
  }
}

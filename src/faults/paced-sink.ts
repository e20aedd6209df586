/** Stands before one side of a relay: what is written to it goes on at so many bytes a second, and its end behind that. */
import type { Duplex } from "../net/duplex.ts";
import { Pacer, type PacerHost } from "./pacer.ts";

export class PacedSink implements Duplex {
  private readonly inner: Duplex;
  private readonly pacer: Pacer;
  private readonly gone: () => void;
  /** What is to follow behind what waits. */
  private last: "nothing" | "shutdown" | "end" = "nothing";

  /**
   * @param rate bytes a second
   * @param writable there is room again
   * @param gone nothing is written any more
   */
  constructor(inner: Duplex, rate: number, host: PacerHost, writable: () => void, gone: () => void) {
    this.inner = inner;
    this.gone = gone;
    this.pacer = new Pacer(rate, host, (buffer, start, end) => inner.write(buffer, start, end - start), () => {
      if (this.last === "nothing") writable();
      else this.finish();
    });
  }

  /** As fast as it comes from now on. */
  open(): void {
    this.pacer.open();
  }

  get congested(): boolean {
    return this.pacer.waits || this.inner.congested;
  }

  write(bytes: Buffer, offset: number, length: number): void {
    this.pacer.pass(bytes, offset, offset + length);
  }

  pause(): void {
    this.inner.pause();
  }

  resume(): void {
    this.inner.resume();
  }

  shutdown(): void {
    if (this.last === "nothing") this.last = "shutdown";
    if (!this.pacer.waits) this.finish();
  }

  end(): void {
    this.last = "end";
    if (!this.pacer.waits) this.finish();
  }

  private finish(): void {
    if (this.last === "end") {
      this.gone();
      this.inner.end();
    } else this.inner.shutdown();
  }

  /** The inner side is gone already, or will be by whoever says this. */
  abort(): void {
    this.pacer.drop();
    this.gone();
  }
}

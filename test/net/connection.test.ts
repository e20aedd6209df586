/** What every owner of a socket has: a queue that ends in bounded time, and ends that are what they look like. Each was found by a simulated world. */
import { expect, test } from "bun:test";
import { Connection } from "../../src/net/connection.ts";
import type { NetSocket } from "../../src/net/network.ts";
import { TICK, TimerWheel } from "../../src/net/timers.ts";

class Probe extends Connection {
  readonly heard: string[] = [];
  protected opened(): void {}
  onData(chunk: Buffer): void {
    this.heard.push(`data ${chunk.length}`);
  }
  protected atEnd(): void {
    this.heard.push("end");
  }
  protected closed(error: Error | undefined): void {
    this.heard.push(error === undefined ? "closed" : (error as NodeJS.ErrnoException).code!);
  }
  protected writable(): void {
    this.heard.push("writable");
  }
  protected override progressed(): void {
    this.heard.push("progressed");
  }
  protected due(): void {
    this.heard.push("due");
  }
}

/** A connection over a socket that takes `takes.bytes` of each write; -1: it was reset. */
function probe(): { readonly it: Probe; readonly takes: { bytes: number }; readonly did: string[]; readonly pass: (milliseconds: number) => void } {
  const wheel = new TimerWheel(0);
  let now = 0;
  const takes = { bytes: 0 };
  const did: string[] = [];
  const it = new Probe(wheel);
  const socket = {
    data: it,
    write: (_bytes: Uint8Array, _offset: number, length: number) => Math.min(length, takes.bytes),
    end: () => (did.push("end"), it.onClose(undefined)),
    terminate: () => void did.push("terminate"),
    shutdown: () => void did.push("shutdown"),
  };
  it.onOpen(socket as unknown as NetSocket);
  const pass = (milliseconds: number): void => {
    for (const until = now + milliseconds; now < until; ) wheel.sweep((now += TICK));
  };
  return { it, takes, did, pass };
}

const BYTES = Buffer.alloc(100);

test("what ends after a write that ran into a reset is broken off, not ended: a reply to the close is not whole, bytes of tcp are not all", () => {
  const { it, takes, did } = probe();
  takes.bytes = -1;
  it.write(BYTES, 0, BYTES.length);
  // As the system tells it: what came before the reset, then an end.
  it.onData(Buffer.alloc(5));
  it.onEnd();
  expect(it.heard).toEqual(["data 5", "ECONNRESET"]);
  expect(did).toEqual(["terminate"]);
});

test("so it is when a later write of what was queued ran into it, and the socket is closed without an end", () => {
  const { it, takes } = probe();
  it.write(BYTES, 0, BYTES.length);
  takes.bytes = -1;
  it.onDrain();
  it.onClose(undefined);
  expect(it.heard).toEqual(["ECONNRESET"]);
});

test("after end() a peer that reads on gets all, however long it takes", () => {
  const { it, takes, did, pass } = probe();
  it.write(BYTES, 0, BYTES.length);
  it.end();
  takes.bytes = 10;
  for (let round = 1; round < 10; round++) {
    pass(25_000);
    it.onDrain();
    expect(did).toEqual([]);
  }
  it.onDrain();
  expect(did).toEqual(["end"]);
  expect(it.heard).toEqual(["closed"]);
});

test("after end() one that reads nothing is cut off after 30 s, and one that is gone at once", () => {
  const silent = probe();
  silent.it.write(BYTES, 0, BYTES.length);
  silent.it.end();
  silent.pass(29_900);
  expect(silent.did).toEqual([]);
  silent.pass(200);
  expect(silent.did).toEqual(["terminate"]);
  expect(silent.it.heard).toEqual(["closed"]);

  const gone = probe();
  gone.it.write(BYTES, 0, BYTES.length);
  gone.it.end();
  gone.takes.bytes = -1;
  gone.it.onDrain();
  expect(gone.did).toEqual(["terminate"]);
  expect(gone.it.heard).toEqual(["ECONNRESET"]);
});

test("its owner hears of each part of the queue that is taken, and of the FIN behind it", () => {
  const { it, takes, did } = probe();
  it.write(BYTES, 0, BYTES.length);
  it.onDrain();
  expect(it.heard).toEqual([]);
  takes.bytes = 60;
  it.onDrain();
  expect(it.heard).toEqual(["progressed"]);
  it.shutdown();
  it.onDrain();
  expect(it.heard).toEqual(["progressed", "progressed"]);
  expect(did).toEqual(["shutdown"]);
});

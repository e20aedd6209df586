/** The scoreboard: exact over processes, no ghosts of the dead. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, openSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BYTES_RECEIVED, BYTES_SENT, CLIENTS, Flag, OPEN_CONNECTIONS, OPEN_EXCHANGES, OPEN_REQUESTS, Scoreboard, TOTAL_REQUESTS, WORKER_PID } from "../../src/scoreboard/scoreboard.ts";

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function path(): string {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-board-"));
  directories.push(directory);
  return join(directory, "board");
}

describe("the scoreboard", () => {
  test("cursors are exact over processes", async () => {
    const file = path();
    const board = Scoreboard.create(openSync(file, "wx+"), file, { workers: 4, targets: 2, upstreams: 2 });
    const script = `import { Scoreboard } from ${JSON.stringify(join(import.meta.dir, "../../src/scoreboard/scoreboard.ts"))};
      import { openSync } from "node:fs";
      const board = Scoreboard.open(openSync(${JSON.stringify(file)}, "r+")); for (let i = 0; i < 100000; i++) board.nextCursor(1);`;
    const children = [1, 2, 3].map(() => Bun.spawn([process.execPath, "-e", script]));
    for (const child of children) expect(await child.exited).toBe(0);
    expect(board.nextCursor(1)).toBe(300_000);
    expect(board.nextCursor(0)).toBe(0);
  });

  test("is a file that other processes can open, and refuses other files", () => {
    const file = path();
    const board = Scoreboard.create(openSync(file, "wx+"), file, { workers: 2, targets: 10, upstreams: 1 });
    board.setFlags(0, 7, Flag.DOWN);
    for (const other of [Scoreboard.open(openSync(file, "r+")), Scoreboard.copy(openSync(file, "r"))]) {
      expect(other.size).toEqual({ workers: 2, targets: 10, upstreams: 1 });
      expect([other.isUp(6), other.isUp(7)]).toEqual([true, false]);
    }
    const wrong = path();
    for (const length of [0, 4096]) {
      writeFileSync(wrong, Buffer.alloc(length));
      expect(() => Scoreboard.open(openSync(wrong, "r+"))).toThrow("not a Fairlead scoreboard");
    }
  });

  test("what a dead worker held is taken back, its totals stay, others keep theirs", () => {
    const board = Scoreboard.local({ workers: 2, targets: 3, upstreams: 1 });
    for (const worker of [0, 1]) {
      const column = board.column(worker, 2);
      for (let i = 0; i < 3; i++) column.connectionBegins();
      for (let i = 0; i < 10; i++) column.requestBegins();
      for (let i = 0; i < 8; i++) column.requestEnds();
      board.upstreamColumn(worker, 0).hold(OPEN_EXCHANGES, 2);
      board.addClient(worker, 1);
      board.listenerColumn(worker, 1).hold(CLIENTS, 1);
    }
    expect([board.targets.held(2, OPEN_CONNECTIONS), board.clients, board.clientsOf(1)]).toEqual([6, 2, 2]);
    board.reclaim(0);
    expect([board.targets.held(2, OPEN_CONNECTIONS), board.targets.held(2, OPEN_REQUESTS), board.targets.sum(2, TOTAL_REQUESTS), board.clients, board.clientsOf(1)]).toEqual([3, 2, 20, 1, 1]);
    expect([board.openConnections(2), board.openRequests(2), board.upstreams.held(0, OPEN_EXCHANGES)]).toEqual([3, 2, 2]);
  });

  test("a common count that a worker's death left too low is set right as soon as it shows", () => {
    const board = Scoreboard.local({ workers: 2, targets: 1, upstreams: 1 });
    board.column(0, 0).requestBegins();
    // Killed between the two counts of its end: the common one is lower than its own.
    Atomics.sub(board.words, board.openRequestsAt(0), 1);
    board.reclaim(0);
    expect(board.openRequests(0)).toBe(0);
    board.column(1, 0).requestBegins();
    expect(board.openRequests(0)).toBe(1);
    board.column(1, 0).requestEnds();
    expect(board.openRequests(0)).toBe(0);
  });

  test("each change of health moves the epoch", () => {
    const board = Scoreboard.local({ workers: 1, targets: 1, upstreams: 1 });
    const before = board.epoch;
    board.setFlags(0, 0, Flag.DOWN);
    expect(board.epoch).not.toBe(before);
  });

  test("where somebody has taken the file's name away, a worker's death and the end are no errors", () => {
    const file = path();
    const board = Scoreboard.create(openSync(file, "wx+"), file, { workers: 2, targets: 1, upstreams: 1 });
    board.setWorkerWord(1, WORKER_PID, 4711);
    rmSync(file);
    board.reclaim(1);
    expect(board.workerWord(1, WORKER_PID)).toBe(0);
    board.unlink();
  });

  test("a slot that was never used takes no memory, and a file without a name goes on being everybody's", () => {
    const file = path();
    const board = Scoreboard.create(openSync(file, "wx+"), file, { workers: 100, targets: 10_000, upstreams: 10 });
    const other = Scoreboard.open(openSync(file, "r+"));
    for (const worker of [0, 99]) board.listenerColumn(worker, 3).hold(CLIENTS, 1);
    expect([other.clientsOf(3), board.clientsOf(3)]).toEqual([2, 2]);
    for (let target = 0; target < 10_000; target++) board.targets.sum(target, TOTAL_REQUESTS);
    const { size, blocks } = statSync(file);
    expect(size).toBeGreaterThan(100 * 10_000 * 48 * 8);
    // Of two of a hundred slots each target was looked at.
    expect(blocks * 512).toBeLessThan(3 * 10_000 * 48 * 8 + 4 * 1024 * 1024);
    board.unlink();
    // A third worker comes, whose part nobody has looked at before.
    for (const worker of [0, 50]) board.listenerColumn(worker, 3).hold(CLIENTS, 1);
    expect([other.clientsOf(3), board.clientsOf(3)]).toEqual([4, 4]);
  });

  test("totals are exact beyond 32 bits", () => {
    const board = Scoreboard.local({ workers: 2, targets: 1, upstreams: 1 });
    board.column(0, 0).received(2 ** 40);
    board.column(1, 0).received(3);
    expect(board.targets.sum(0, BYTES_RECEIVED)).toBe(2 ** 40 + 3);
  });

  test("what a target counts its upstream counts too, and keeps when the target goes", () => {
    const board = Scoreboard.local({ workers: 1, targets: 2, upstreams: 1 });
    const upstream = board.upstreamColumn(0, 0);
    for (const target of [0, 1]) {
      const column = board.column(0, target, upstream);
      column.requestBegins();
      column.requestBegins();
      column.sent(10);
    }
    board.clearTarget(1);
    expect([board.targets.sum(0, TOTAL_REQUESTS), board.targets.sum(1, TOTAL_REQUESTS), board.upstreams.sum(0, TOTAL_REQUESTS), board.upstreams.sum(0, BYTES_SENT)]).toEqual([2, 0, 4, 20]);
  });
});

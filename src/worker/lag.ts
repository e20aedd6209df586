/** How late the event loop is: what a tick that should have come after so long came later. */
import { TICK } from "../net/timers.ts";
import { type Column, DURATIONS, type Scoreboard, WORKER_LAG } from "../scoreboard/scoreboard.ts";

/** The longest lag is that of one such window and the one before, in ms. */
const WINDOW = 5_000;

export class LoopLag {
  private readonly board: Scoreboard;
  private readonly slot: number;
  private readonly column: Column;
  private last: number;
  private windowEnd = 0;
  private longest = 0;
  private longestBefore = 0;

  constructor(board: Scoreboard, slot: number, now: number) {
    this.board = board;
    this.slot = slot;
    this.column = board.workerColumn(slot);
    this.last = now;
  }

  tick(now: number): void {
    const lag = Math.max(0, now - this.last - TICK);
    this.last = now;
    this.column.observe(DURATIONS, this.board.bounds.bucketOf(lag), lag);
    if (now >= this.windowEnd) {
      this.windowEnd = now + WINDOW;
      this.longestBefore = this.longest;
      this.longest = 0;
    }
    this.longest = Math.max(this.longest, lag);
    this.board.setWorkerWord(this.slot, WORKER_LAG, Math.round(Math.max(this.longest, this.longestBefore) * 1000));
  }
}

/** One row of the scoreboard as the sampler follows it: what it had counted at the last look, and since. */
import { ENDED, type Scoreboard, TOTAL_REQUESTS } from "../scoreboard/scoreboard.ts";
import type { Table } from "../scoreboard/table.ts";
import { COUNTS, type Counts } from "./counts.ts";
import type { Series } from "./history.ts";
import { Window } from "./window.ts";

export class Track {
  readonly window = new Window();
  /** Undefined: its history is not kept. */
  series: Series | undefined = undefined;
  /** The sample at which its history was last asked for. */
  asked = 0;
}

export class RowTrack extends Track {
  readonly row: number;
  /** Whose row it is; it may be another's one day. */
  readonly name: string;
  private readonly table: Table;
  private last: Counts | undefined;

  /** What was counted before is nobody's rate. */
  constructor(table: Table, row: number, name: string) {
    super();
    this.table = table;
    this.row = row;
    this.name = name;
    this.last = this.read();
  }

  /** What it has counted since the last call; undefined: nothing. */
  counted(): Counts | undefined {
    const { last } = this;
    const now = this.read();
    this.last = now;
    if (now === undefined) return undefined;
    if (last === undefined) return now;
    let any = false;
    const counted = now.map((total, index) => {
      const more = total - last[index]!;
      any ||= more > 0;
      // One that was taken back, or a histogram that began anew with other bounds.
      return Math.max(0, more);
    });
    return any ? counted : undefined;
  }

  /** Undefined: nothing at all, which takes no memory. */
  private read(): Counts | undefined {
    const now = this.table.sums(this.row, ENDED, COUNTS);
    return now.every((total) => total === 0) ? undefined : now;
  }
}

/** There may be ten thousand of them: one that rests is not read. */
export class TargetTrack extends RowTrack {
  private readonly board: Scoreboard;
  private begun = 0;
  private wasOpen = true;

  constructor(board: Scoreboard, row: number, name: string) {
    super(board.targets, row, name);
    this.board = board;
  }

  override counted(): Counts | undefined {
    return this.mayHaveCounted() ? super.counted() : undefined;
  }

  /** Without a request that began or was open, nothing has been counted. */
  private mayHaveCounted(): boolean {
    const begun = this.board.targets.sum(this.row, TOTAL_REQUESTS);
    const isOpen = this.board.openRequests(this.row) > 0;
    const may = begun !== this.begun || isOpen || this.wasOpen;
    this.begun = begun;
    this.wasOpen = isOpen;
    return may;
  }
}

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
  /** Undefined: nothing had been counted, which takes no memory. */
  private last: Counts | undefined = undefined;

  /** What was counted before is nobody's rate. */
  constructor(table: Table, row: number, name: string) {
    super();
    this.table = table;
    this.row = row;
    this.name = name;
    this.read(new Float64Array(COUNTS));
  }

  /** What it has counted since the last call. @param into where that is told @returns false: nothing */
  counted(into: Counts): boolean {
    return this.read(into);
  }

  private read(into: Counts): boolean {
    if (!this.table.readSums(this.row, ENDED, into) && this.last === undefined) return false;
    const last = (this.last ??= new Float64Array(COUNTS));
    let any = false;
    for (let word = 0; word < COUNTS; word++) {
      const now = into[word]!;
      const more = now - last[word]!;
      last[word] = now;
      // Less than before: one that was taken back, or a histogram that began anew with other bounds.
      into[word] = Math.max(0, more);
      any ||= more > 0;
    }
    return any;
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

  override counted(into: Counts): boolean {
    return this.mayHaveCounted() && super.counted(into);
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

/** Tables of text: columns as wide as what is in them, numbers to the right. */
import { printable } from "../observability/controls.ts";
import { type Paint, plain } from "./paint.ts";

export interface Column<Row> {
  readonly title: string;
  readonly text: (row: Row) => string;
  readonly right?: boolean;
  readonly style?: (row: Row) => Parameters<Paint>[0] | undefined;
  /** Gives way first where the room is short, down to so many characters. */
  readonly least?: number;
  /** Left out where there is no room for all, the last first. */
  readonly optional?: boolean;
}

const GAP = "  ";

/** @param width of the room, in characters; what does not fit is cut @returns lines, the titles first */
export function columns<Row>(rows: readonly Row[], wished: readonly Column<Row>[], width = Number.POSITIVE_INFINITY, paint: Paint = plain): string[] {
  const all = withRoom(rows, wished, width);
  const cells = rows.map((row) => all.map(({ text }) => printable(text(row))));
  const wanted = all.map(({ title }, index) => Math.max(title.length, ...cells.map((line) => line[index]!.length)));
  const widths = fitted(wanted, all, width);
  const line = (texts: readonly string[], row: Row | undefined): string => {
    const parts = texts.map((text, index) => {
      const { right = false, style } = all[index]!;
      const room = widths[index]!;
      const cut = text.length > room ? `${text.slice(0, Math.max(0, room - 1))}…` : text;
      // Nothing is padded at the end of a line.
      const padded = right ? cut.padStart(room) : index === all.length - 1 ? cut : cut.padEnd(room);
      const chosen = row === undefined ? "dim" : style?.(row);
      return chosen === undefined ? padded : paint(chosen, padded);
    });
    return parts.join(GAP);
  };
  return [line(all.map(({ title }) => title), undefined), ...rows.map((row, index) => line(cells[index]!, row))];
}

/** Without as many of the optional ones as it takes. */
function withRoom<Row>(rows: readonly Row[], all: readonly Column<Row>[], width: number): readonly Column<Row>[] {
  const needed = all.reduce((sum, { title, text, least }) => sum + Math.min(least === undefined ? Number.POSITIVE_INFINITY : Math.max(least, title.length), Math.max(title.length, ...rows.map((row) => text(row).length))), GAP.length * (all.length - 1));
  const last = all.findLast(({ optional }) => optional === true);
  return needed <= width || last === undefined ? all : withRoom(rows, all.filter((column) => column !== last), width);
}

/** The columns that may give way share what is missing, the widest first. */
function fitted<Row>(wanted: readonly number[], all: readonly Column<Row>[], width: number): number[] {
  const widths = [...wanted];
  let missing = widths.reduce((sum, one) => sum + one, 0) + GAP.length * (widths.length - 1) - width;
  while (missing > 0) {
    const widest = widths.reduce((best, room, index) => (room > (all[index]!.least ?? room) && (best < 0 || room > widths[best]!) ? index : best), -1);
    if (widest < 0) break;
    widths[widest]!--;
    missing--;
  }
  return widths;
}

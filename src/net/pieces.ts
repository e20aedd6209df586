/** Bytes that wait, in pieces as they came. A peer may send them one by one: each in a buffer of its own would take a hundred times its size. */

/** A piece grows up to this length; what comes in larger parts is not copied again. */
const SMALL = 512;

/**
 * Keep a copy of [start, end) behind the last of `pieces`, or as a part of it.
 * @param from the first of them that nobody has seen yet, and that may grow
 */
export function keepPiece(pieces: Buffer[], from: number, bytes: Buffer, start: number, end: number): void {
  const last = pieces.length - 1;
  const before = last >= from ? pieces[last]!.length : 0;
  const grows = before > 0 && before + end - start <= SMALL;
  const piece = Buffer.allocUnsafeSlow((grows ? before : 0) + end - start);
  if (grows) pieces[last]!.copy(piece);
  bytes.copy(piece, grows ? before : 0, start, end);
  if (grows) pieces[last] = piece;
  else pieces.push(piece);
}

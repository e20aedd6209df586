/** A reply's header block as an HTTP/1 head, to be read by the HTTP/1 parser (RFC 9113 section 8.3.2). */
import type { HeadArena } from "./head-arena.ts";
import { FieldFlag, Pseudo } from "./hpack/field-rules.ts";
import type { HeaderBlock } from "./hpack/header-block.ts";

const VERSION = Buffer.from("HTTP/1.1 ");
const LINE_END = Buffer.from(" \r\n");
const NO_BODY = Buffer.from("content-length: 0\r\n");

/**
 * Write the head to the arena, over what was there.
 * @param endsStream no body follows
 * @param toHead it answers a HEAD request
 * @returns false when it is malformed
 */
export function replyLines(block: HeaderBlock, endsStream: boolean, toHead: boolean, out: HeadArena): boolean {
  const { bytes, count, flags, id, valueStart, valueEnd, lineEnd } = block;
  if (block.malformed !== undefined || block.tooLarge || count === 0) return false;
  if ((flags[0]! & FieldFlag.PSEUDO) === 0 || id[0] !== Pseudo.STATUS || valueEnd[0]! - valueStart[0]! !== 3) return false;
  let hasLength = false;
  for (let i = 1; i < count; i++) {
    if ((flags[i]! & FieldFlag.PSEUDO) !== 0) return false;
    if ((flags[i]! & FieldFlag.CONTENT_LENGTH) !== 0) hasLength = true;
  }
  const status = Number(block.value(0));
  // Interim replies end nothing, and 101 has no meaning here (section 8.6).
  if (status === 101 || (status < 200 && endsStream)) return false;
  const saysEmpty = endsStream && !hasLength && !toHead && status !== 204 && status !== 304;
  out.end = 0;
  out.reserve(VERSION.length + 3 + LINE_END.length + block.end - lineEnd[0]! + NO_BODY.length + 2);
  out.put(VERSION, 0, VERSION.length);
  out.put(bytes, valueStart[0]!, valueEnd[0]!);
  out.put(LINE_END, 0, LINE_END.length);
  out.put(bytes, lineEnd[0]!, block.end);
  if (saysEmpty) out.put(NO_BODY, 0, NO_BODY.length);
  out.put(LINE_END, 1, LINE_END.length);
  return true;
}

/** WebSockets between HTTP/1 (Upgrade, RFC 6455) and HTTP/2 (extended CONNECT, RFC 8441). */
import { createHash } from "node:crypto";
import type { RequestHead } from "../h1/request-head.ts";
import type { HeadArena } from "./head-arena.ts";
import { FieldFlag } from "./hpack/field-rules.ts";
import type { HeaderBlock } from "./hpack/header-block.ts";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** What answers the key of this request: RFC 6455 section 4.2.2. */
export function acceptOf(head: RequestHead): string | undefined {
  const key = head.get("sec-websocket-key");
  return key === undefined ? undefined : createHash("sha1").update(key + GUID).digest("base64");
}

/** A 200 to an extended CONNECT, as the 101 that HTTP/1 has for it, to the arena. False: it is malformed. */
export function tunnelReplyLines(block: HeaderBlock, upgrade: string, accept: string | undefined, out: HeadArena): boolean {
  if (block.malformed !== undefined || block.tooLarge) return false;
  for (let i = 1; i < block.count; i++) if ((block.flags[i]! & FieldFlag.PSEUDO) !== 0) return false;
  const answer = accept === undefined ? "" : `sec-websocket-accept: ${accept}\r\n`;
  const first = `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${upgrade}\r\n${answer}`;
  out.end = 0;
  out.reserve(first.length + block.end + 2);
  out.text(first);
  out.put(block.bytes, block.lineEnd[0]!, block.end);
  out.text("\r\n");
  return true;
}

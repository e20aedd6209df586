/** Holds what we read of a message against what llhttp, Node's parser, reads of it: we may be stricter, and must never read something else. */
import { oracle, type REQUEST, RESPONSE } from "./llhttp.ts";
import { type Read, UNWANTED_TRAILER } from "./read.ts";

/** llhttp knows a list of methods; what is no method to it says nothing about framing. */
const INVALID_METHOD = 6;
/** It refuses `Connection: upgrade` and CONNECT with an "upgrade" pause: the rest is not HTTP to it. */
const PAUSED_UPGRADE = 22;

/** llhttp can say that a reply is whole: it ends with neither the connection nor its head, and is no interim one. */
export function endsByItself({ start, fields }: Read): boolean {
  return !start.startsWith("1") && fields.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name));
}

/** What the two disagree on; undefined: nothing. @param mine whole and accepted */
export function differsFromLlhttp(bytes: Buffer, mine: Read, type: typeof REQUEST | typeof RESPONSE): string | undefined {
  // Only our message: what follows it is the next one's business.
  let { error, messages } = oracle(type, bytes.subarray(0, mine.used));
  if (error === INVALID_METHOD || error === PAUSED_UPGRADE) return undefined;
  let trailers = mine.trailers;
  if (error !== 0 || messages.length !== 1) {
    // It refuses some chunk extensions, blanks and trailers that we take away: then what we send on must be good.
    trailers = trailers.filter(([name]) => !UNWANTED_TRAILER.test(name));
    ({ error, messages } = oracle(type, Buffer.from(mine.wire, "latin1")));
  }
  if (error === PAUSED_UPGRADE) return undefined;
  const [theirs] = messages;
  if (error !== 0 || messages.length !== 1 || theirs === undefined) return `llhttp reads ${messages.length} messages, error ${error}, of ${JSON.stringify(bytes.toString("latin1"))}`;
  const fields = [...mine.fields, ...trailers];
  const ours = JSON.stringify([mine.body, fields]);
  const other = JSON.stringify([theirs.body, theirs.names.map((name, i) => [name, theirs.values[i]!.replace(/[ \t]+$/, "")])]);
  return ours === other ? undefined : `${type === RESPONSE ? "a reply" : "a request"} is ${ours} to us and ${other} to llhttp: ${JSON.stringify(bytes.toString("latin1"))}`;
}

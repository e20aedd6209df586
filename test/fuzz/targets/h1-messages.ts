/** The HTTP/1 codec alone: heads of both kinds and the chunked coding, beside llhttp, cut anywhere. */
import { Framing, Parse } from "../../../src/http/h1/head.ts";
import { ReplyHead } from "../../../src/http/h1/reply-head.ts";
import { RequestHead } from "../../../src/http/h1/request-head.ts";
import { requestCases } from "../../conformance/requests/index.ts";
import { responseCases } from "../../conformance/responses/index.ts";
import { differsFromLlhttp, endsByItself } from "../../http/llhttp-compare.ts";
import { REQUEST, RESPONSE } from "../../http/llhttp.ts";
import { LIMITS, type Read, readBody, readReply, readRequest } from "../../http/read.ts";
import { type Fuzzer, hold, shown } from "../fuzzer.ts";
import { cuts } from "../segments.ts";

export const H1_WORDS = ["\r\n", "\n", "\r", "\r\n\r\n", " ", "\t", "\0", "\v", ":", ",", ";", "=", '"', "\\", "Content-Length: 3\r\n", "Content-Length", "Transfer-Encoding: chunked\r\n", "transfer-encoding", "chunked", "gzip", "identity", "Host: a\r\n", "Host", "Connection: close\r\n", "Connection: ", "Upgrade: websocket\r\n", "Expect: 100-continue\r\n", "TE: trailers\r\n", "Trailer: X\r\n", "X: y\r\n", "0\r\n\r\n", "5\r\nhello\r\n", "HTTP/1.1", "HTTP/1.0", "GET ", "POST ", "HEAD ", "OPTIONS * ", "CONNECT ", "http://", "https://", "\x7f", "\xff", "\xa0", "_", "%2F", "#", "?", "/../", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 204 X\r\n\r\n", "HTTP/1.1 304 X\r\n\r\n"];

/** Long cases say nothing that shorter ones do not. */
const SEED_LIMIT = 2_000;

export function h1Requests(): Buffer[] {
  return requestCases.filter(({ send }) => send.length <= SEED_LIMIT).map(({ send }) => Buffer.from(send, "latin1"));
}

export function h1Replies(): Buffer[] {
  return responseCases.filter(({ send }) => send.length <= SEED_LIMIT).map(({ send }) => Buffer.from(send, "latin1"));
}

/** What is known of a prefix never contradicts the whole: a head that is whole is not refused when it comes in pieces, and the other way round. */
function holdPrefixes(input: Buffer, result: number, end: number, parse: (to: number) => number): void {
  for (const cut of cuts(input)) {
    const early = parse(cut);
    if (result === Parse.OK) hold(cut >= end ? early === Parse.OK : early === Parse.MORE, `the first ${cut} bytes give ${early}, all of them ${result}`);
    // A limit may be met before another fault, but nothing is whole that is not.
    else hold(early !== Parse.OK, `the first ${cut} bytes are whole, all of them give ${result}`);
  }
}

/** What goes on is read again as the same. */
function holdIdempotent(mine: Read, again: Read): void {
  hold(again.result === Parse.OK && again.body === mine.body && again.start === mine.start, `what goes on is read as ${shown(JSON.stringify(again))} instead of ${shown(JSON.stringify(mine))}`);
  hold(again.wire === mine.wire, `what goes on changes when it goes on once more: ${shown(mine.wire)} and ${shown(again.wire)}`);
}

export const requestHead: Fuzzer = {
  name: "request-head",
  words: H1_WORDS,
  seeds: h1Requests,
  run(input) {
    const head = new RequestHead(200);
    const result = head.parse(input, 0, input.length, LIMITS);
    const { end } = head;
    holdPrefixes(input, result, end, (to) => new RequestHead(200).parse(input, 0, to, LIMITS));
    if (result !== Parse.OK) return `refused ${result}`;
    hold(end <= input.length && head.targetEnd <= end && head.pathEnd <= head.targetEnd && head.hostEnd <= end, "offsets beyond the head");
    // CONNECT is answered here, whatever it names.
    if (head.form === "authority") return "authority";
    const mine = readRequest(input);
    if (mine.result !== Parse.OK) return String(mine.result);
    hold(mine.used <= input.length, "more is used than came");
    const difference = differsFromLlhttp(input, mine, REQUEST);
    hold(difference === undefined, difference ?? "");
    holdIdempotent(mine, readRequest(Buffer.from(mine.wire, "latin1")));
    return `whole ${head.form} ${head.framing} ${head.seen} ${head.minor}`;
  },
};

export const replyHead: Fuzzer = {
  name: "reply-head",
  words: H1_WORDS,
  seeds: h1Replies,
  run(input) {
    const head = new ReplyHead(200);
    const result = head.parse(input, 0, input.length, LIMITS);
    holdPrefixes(input, result, head.end, (to) => new ReplyHead(200).parse(input, 0, to, LIMITS));
    if (result !== Parse.OK) return `refused ${result}`;
    const mine = readReply(input);
    if (mine.result !== Parse.OK) return String(mine.result);
    hold(mine.used <= input.length, "more is used than came");
    if (endsByItself(mine) && head.framing(false) !== Framing.NONE) {
      const difference = differsFromLlhttp(input, mine, RESPONSE);
      hold(difference === undefined, difference ?? "");
      holdIdempotent(mine, readReply(Buffer.from(mine.wire, "latin1")));
    }
    return `whole ${head.status < 200 ? head.status : Math.floor(head.status / 100)} ${head.framing(false)} ${head.seen}`;
  },
};

/** A chunk's line (RFC 9112 section 7.1), its extensions read mildly: whatever is printable. */
const SIZE_LINE = /^([0-9a-fA-F]{1,16})([ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/;
const TRAILER_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*$/;

/** The body of a chunked message that is exactly these bytes, by its grammar and nothing else; undefined: it is none. */
function bodyByGrammar(message: string): string | undefined {
  let body = "";
  for (let at = 0; ; ) {
    const end = message.indexOf("\r\n", at);
    const size = SIZE_LINE.exec(message.slice(at, Math.max(at, end)))?.[1];
    if (size === undefined) return undefined;
    at = end + 2;
    const length = Number.parseInt(size, 16);
    if (length === 0) {
      const trailers = message.slice(at).split("\r\n");
      return trailers.splice(-2).join("\n") === "\n" && trailers.every((line) => TRAILER_LINE.test(line)) ? body : undefined;
    }
    if (message.slice(at + length, at + length + 2) !== "\r\n") return undefined;
    body += message.slice(at, at + length);
    at += length + 2;
  }
}

const HEAD = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

export const chunks: Fuzzer = {
  name: "chunks",
  words: [...H1_WORDS, ";a=b", ';a="b"', "a\r\n0123456789\r\n", "0", "00", "f", "F", "1", "5"],
  seeds: () => h1Requests().flatMap((bytes) => {
    const text = bytes.toString("latin1");
    const at = text.indexOf("\r\n\r\n");
    return at >= 0 && /transfer-encoding: *chunked/i.test(text) ? [bytes.subarray(at + 4)] : [];
  }),
  run(input) {
    const read = (segments: readonly Buffer[]) => readBody(segments, (reader) => reader.begin(Framing.CHUNKED, 0, LIMITS));
    const whole = read([input]);
    const at = cuts(input);
    const pieces = read(at.map((from, i) => input.subarray(from, at[i + 1] ?? input.length)));
    const told = ({ result, body, trailers, used }: typeof whole) => JSON.stringify(result === "ok" ? [result, body, trailers, used] : [result]);
    // A fault in a line that is not whole may be seen now or when its end comes.
    hold(told(whole) === told(pieces) || (whole.result !== "ok" && pieces.result !== "ok"), `${told(whole)} in one piece, ${told(pieces)} in several`);
    if (whole.result === "ok") {
      hold(whole.used <= input.length, "more is used than came");
      const byGrammar = bodyByGrammar(input.latin1Slice(0, whole.used));
      hold(byGrammar === whole.body, `a body of ${shown(whole.body)}, and by its grammar of ${shown(String(byGrammar))}`);
      const message = Buffer.concat([Buffer.from(HEAD), input.subarray(0, whole.used)]);
      const difference = differsFromLlhttp(message, readRequest(message), REQUEST);
      hold(difference === undefined, difference ?? "");
    }
    return `${whole.result} ${whole.problem} ${whole.trailers.length}`;
  },
};

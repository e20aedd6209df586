/**
 * Attacks on an HTTP/2 server: frames that cost their sender little and a careless server much. Data only; attacks.alone.test.ts makes them.
 *
 * `stopped`: the server must end the connection before `most` frames have gone out. `endured`: it may let them pass, if it stays well.
 * The budgets of rule 63 decide: 1,000 resets and 33 more a second, 10,000 other frames that do nothing useful and 330 more a second.
 */
import { continuation, data, ErrorCode, frame, FrameType, goaway, headers, more, ping, priority, rstStream, Setting, settings, settingsAck, unfinished, windowUpdate } from "../../support/h2-frames.ts";
import { block, indexed, literal } from "../../support/h2-hpack.ts";
import { reply, type Script } from "../../support/raw-backend.ts";
import { asks, get, post } from "./cases.ts";

const { PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, COMPRESSION_ERROR } = ErrorCode;

export interface Attack {
  readonly name: string;
  readonly source: string;
  /** What goes out before the first volley. */
  readonly opening?: readonly Buffer[];
  /** The frames of volley `n`, counted from 0. */
  readonly volley: (n: number) => readonly Buffer[];
  readonly verdict: "stopped" | "endured";
  /** The most frames that may go out. */
  readonly most: number;
  /** Codes of GOAWAY that fit too, beside ENHANCE_YOUR_CALM. */
  readonly codes?: readonly number[];
  /** The client never reads. */
  readonly unread?: boolean;
  /** What the back end does; default: nothing. */
  readonly script?: Script;
  /** The most requests that may reach the back end. */
  readonly through?: number;
}

/** Frames in a volley: they go out in one write. */
const VOLLEY = 64;
/** Above the burst that the budgets allow, with what they grow by in ten seconds. */
const RESETS = 2_000;
const FRAMES = 20_000;

/** The same frame over and over. */
function over(again: Buffer): (n: number) => readonly Buffer[] {
  const volley = Array.from({ length: VOLLEY }, () => again);
  return () => volley;
}

/** The streams of volley `n`, each with these frames. */
function streams(make: (stream: number) => readonly Buffer[], each = VOLLEY / 2): (n: number) => readonly Buffer[] {
  return (n) => Array.from({ length: each }, (_, i) => make(2 * (n * each + i) + 1)).flat();
}

function flood(name: string, source: string, again: Buffer, extras: Partial<Attack> = {}): Attack {
  return { name, source, volley: over(again), verdict: "stopped", most: FRAMES, ...extras };
}

/** Streams that the server resets because of what follows their head (each counts two frames, and one reset). */
function provoked(name: string, make: (stream: number) => readonly Buffer[], extras: Partial<Attack> = {}): Attack {
  return { name: `made to reset: ${name}`, source: "rule 63, CVE-2025-8671", volley: streams(make), verdict: "stopped", most: 2 * RESETS, codes: [PROTOCOL_ERROR, STREAM_CLOSED, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR], ...extras };
}

/** A block whose 12,000 references of one byte stand for 48 MB. */
const bomb = (stream: number): Buffer => headers(stream, Buffer.concat([block(asks("GET", "/bomb")), literal("x-bomb", "b".repeat(4_000), "incremental"), Buffer.concat(Array.from({ length: 12_000 }, () => indexed(62)))]));

/** 1 MB, as long as it is taken. */
export const big: Script = (_request, connection) => {
  // Closed behind it: pooled, it would serve the bystander.
  connection.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n");
  void connection.pour(1_000_000, Buffer.alloc(65_536, 1));
};

const small: Script = async (request, connection) => {
  if (await request.ended) connection.write(reply(200, "ok"));
};

const open = post(1, "/upload");
const half = headers(1, asks("GET", "/half"), unfinished);
const pseudo = block(asks("GET", "/flood"));

export const attacks: readonly Attack[] = [
  { name: "rapid reset", source: "rule 63, CVE-2023-44487", volley: streams((stream) => [get(stream, "/reset"), rstStream(stream)]), verdict: "stopped", most: 2 * RESETS, through: RESETS },
  { name: "rapid reset of requests with a body", source: "rule 63, CVE-2023-44487", volley: streams((stream) => [post(stream, "/reset"), rstStream(stream)]), verdict: "stopped", most: 2 * RESETS, through: RESETS },
  { name: "resets of requests that are answered at once", source: "rule 63, CVE-2023-44487", volley: streams((stream) => [get(stream, "/reset"), rstStream(stream)]), verdict: "stopped", most: 2 * RESETS, script: small },
  { name: "resets in another volley than their requests", source: "rule 63, CVE-2023-44487", volley: (n) => Array.from({ length: VOLLEY / 2 }, (_, i) => 2 * (Math.floor(n / 2) * (VOLLEY / 2) + i) + 1).map((stream) => (n % 2 === 0 ? get(stream, "/reset") : rstStream(stream))), verdict: "stopped", most: 2 * RESETS },

  provoked("WINDOW_UPDATE of 0", (stream) => [get(stream), windowUpdate(stream, 0)]),
  provoked("WINDOW_UPDATE beyond 2^31 - 1", (stream) => [get(stream), windowUpdate(stream, 2 ** 31 - 1)]),
  provoked("DATA on a stream that is half-closed", (stream) => [get(stream), data(stream, "x")]),
  provoked("HEADERS on a stream that is half-closed", (stream) => [get(stream), headers(stream, [["x-test", "1"]])]),
  provoked("PRIORITY of a wrong length", (stream) => [get(stream), frame(FrameType.PRIORITY, 0, stream, "\0\0\0\0")]),
  provoked("PRIORITY on itself", (stream) => [get(stream), priority(stream, { on: stream })]),
  provoked("a body longer than its content-length", (stream) => [post(stream, "/", ["content-length", "1"]), data(stream, "long")]),
  provoked("a body shorter than its content-length", (stream) => [post(stream, "/", ["content-length", "10"]), data(stream, "short")]),
  provoked("trailers that are malformed", (stream) => [post(stream), headers(stream, [[":path", "/"]])]),
  provoked("heads that are malformed", (stream) => [headers(stream, asks("GET", "/", ["Upper", "1"]))], { most: RESETS, through: 0 }),
  provoked("heads without a byte", (stream) => [headers(stream, Buffer.alloc(0))], { most: RESETS, through: 0, codes: [PROTOCOL_ERROR] }),
  provoked("more streams than may be open", (stream) => [get(stream)], { most: RESETS, through: 100 }),

  { name: "CONTINUATION: nine and more in a block", source: "rule 51, CVE-2024-27316", opening: [half], volley: (n) => [continuation(1, literal(`x-${n}`, "1"), false)], verdict: "stopped", most: 32, codes: [PROTOCOL_ERROR], through: 0 },
  { name: "CONTINUATION: empty ones", source: "rule 51, CVE-2024-27316", opening: [half], volley: () => [continuation(1, Buffer.alloc(0), false)], verdict: "stopped", most: 32, codes: [PROTOCOL_ERROR], through: 0 },
  { name: "CONTINUATION: large ones without an end", source: "rule 51, CVE-2024-27316", opening: [half], volley: (n) => [continuation(1, literal(`x-${n}`, "v".repeat(16_000)), false)], verdict: "stopped", most: 256, codes: [PROTOCOL_ERROR, COMPRESSION_ERROR], through: 0 },
  { name: "CONTINUATION: one string that never ends", source: "rule 51, CVE-2024-27316", opening: [headers(1, Buffer.concat([pseudo, Buffer.from([0, 1, 120, 127, 128, 128, 128, 8])]), unfinished)], volley: () => [continuation(1, Buffer.alloc(16_000, "v"), false)], verdict: "stopped", most: 256, codes: [PROTOCOL_ERROR, COMPRESSION_ERROR], through: 0 },
  { name: "CONTINUATION: eight in each block, one block after the other", source: "rule 51", volley: streams((stream) => [headers(stream, pseudo, unfinished), ...Array.from({ length: 8 }, (_, i) => continuation(stream, literal(`x-${i}`, "1"), i === 7)), rstStream(stream)], 8), verdict: "stopped", most: 10 * RESETS },

  flood("SETTINGS that say nothing", "rule 63, CVE-2019-9515", settings()),
  flood("SETTINGS that change every window back and forth", "rule 63, CVE-2019-9515", Buffer.concat([settings([Setting.INITIAL_WINDOW_SIZE, 0]), settings([Setting.INITIAL_WINDOW_SIZE, 65_535])]), { opening: Array.from({ length: 100 }, (_, i) => get(2 * i + 1, "/held")), most: FRAMES / 2 }),
  flood("SETTINGS that change the table back and forth", "rule 63, CVE-2019-9515", settings([Setting.HEADER_TABLE_SIZE, 0], [Setting.HEADER_TABLE_SIZE, 4096])),
  flood("SETTINGS with 2,700 entries each", "rule 65, CVE-2019-9515", settings(...Array.from({ length: 2_700 }, (_, i) => [0x1000 + i, i] as const)), { volley: () => [settings(...Array.from({ length: 2_700 }, (_, i) => [0x1000 + i, i] as const))], most: 400 }),
  flood("acknowledgements of SETTINGS that nobody sent", "rule 65", settingsAck(), { codes: [PROTOCOL_ERROR] }),
  flood("SETTINGS whose acknowledgements are never read", "rule 64, CVE-2019-9515", settings(), { unread: true }),
  flood("PING", "rule 63, CVE-2019-9512", ping()),
  flood("PING whose answers are never read", "rule 64, CVE-2019-9512", ping(), { unread: true }),
  flood("PING that is an answer", "rule 65", ping("fairlead", 1)),
  flood("PING behind replies that are never read", "rule 64, CVE-2019-9512, CVE-2019-9517", ping(), { unread: true, script: big, opening: [settings([Setting.INITIAL_WINDOW_SIZE, 2 ** 31 - 1]), windowUpdate(0, 2 ** 31 - 1 - 65_535), ...Array.from({ length: 20 }, (_, i) => get(2 * i + 1, "/big"))] }),

  flood("DATA without a byte", "rule 65, CVE-2019-9518", data(1, "", more), { opening: [open] }),
  flood("DATA with padding only", "rule 65, CVE-2019-9518", data(1, "", { ...more, pad: 0 }), { opening: [open] }),
  flood("DATA on a closed stream", "rule 65", data(1, "", more), { opening: [open, rstStream(1)], codes: [STREAM_CLOSED] }),
  flood("PRIORITY of idle streams", "rule 65, CVE-2019-9513", priority(0, { on: 0 }), { volley: (n) => Array.from({ length: VOLLEY }, (_, i) => priority(2 * (n * VOLLEY + i) + 3, { on: 1 })) }),
  flood("PRIORITY of one stream, turned over again and again", "rule 65, CVE-2019-9513", Buffer.concat([priority(3, { on: 5, exclusive: true }), priority(5, { on: 3, exclusive: true })]), { most: FRAMES / 2 }),
  flood("RST_STREAM on a closed stream", "rule 65", rstStream(1), { opening: [open, rstStream(1)], codes: [STREAM_CLOSED] }),
  flood("WINDOW_UPDATE of 1 on the connection", "rule 65, CVE-2019-9517", windowUpdate(0, 1)),
  flood("WINDOW_UPDATE of 1 on a stream", "rule 65, CVE-2019-9517", windowUpdate(1, 1), { opening: [open] }),
  flood("a window that opens byte by byte", "rule 65, CVE-2019-9511", windowUpdate(1, 1), { opening: [settings([Setting.INITIAL_WINDOW_SIZE, 0]), get(1, "/big")], script: big }),
  flood("unknown frames", "rules 46, 65", frame(0x42, 0, 0, "")),
  flood("unknown frames on streams", "rules 46, 65", frame(0x42, 255, 1, "unknown"), { opening: [open] }),
  flood("GOAWAY", "rule 65", goaway(0, ErrorCode.NO_ERROR), { codes: [ErrorCode.NO_ERROR] }),

  { name: "HPACK bombs", source: "rule 54, CVE-2016-6581", volley: streams((stream) => [bomb(stream)], 1), verdict: "endured", most: 200, through: 0, codes: [PROTOCOL_ERROR, COMPRESSION_ERROR] },
  { name: "blocks that fill the table anew each time", source: "rule 54", volley: streams((stream) => [headers(stream, Buffer.concat([pseudo, ...Array.from({ length: 80 }, (_, i) => literal(`x-${i}`, `${stream}`.padStart(10, "v"), "incremental"))]))], 4), verdict: "endured", most: 1_000, script: small },
  { name: "names without a letter", source: "rule 65, CVE-2019-9516", volley: streams((stream) => [headers(stream, Buffer.concat([pseudo, Buffer.concat(Array.from({ length: 5_000 }, () => literal("", "")))]))], 1), verdict: "endured", most: 200, through: 0, codes: [PROTOCOL_ERROR, COMPRESSION_ERROR] },
  { name: "800 requests that are cancelled", source: "they are within the budget", volley: streams((stream) => [get(stream, "/cancelled"), rstStream(stream)], 8), verdict: "endured", most: 1_600 },
];

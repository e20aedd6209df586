/** How a connection starts, frames as such, streams and their states (RFC 9113 sections 3 to 5). */
import { continuation, data, ErrorCode, frame, FrameType, goaway, headers, more, ping, PREFACE, priority, pushPromise, rstStream, Setting, settings, settingsAck, unfinished, windowUpdate } from "../../support/h2-frames.ts";
import { block, type Field } from "../../support/h2-hpack.ts";
import { closed, connectionError, goawayWith, peerSetting, pong, reply, settingsAcks, streamError } from "../../support/h2.ts";
import { asks, blockOf, early, get, type H2Case, hold, line, post, posted, section } from "./cases.ts";

const { PROTOCOL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, COMPRESSION_ERROR, REFUSED_STREAM, CANCEL, NO_ERROR } = ErrorCode;
const LIMIT = 16_384;
const GET = line("GET");
const POST = line("POST");
const MORE: readonly Field[] = [["x-more", "1"]];
const text = (value: string): Buffer => Buffer.from(value, "latin1");
const WITHOUT_HTTP2 = { client: { handshake: "none" }, foreign: true } as const;
const PREFACE_ONLY = { client: { handshake: "preface" } } as const;
/** Of eight bytes, of a type that nobody knows. */
const unknown = (stream: number, type = 22): Buffer => frame(type, 0, stream, "whatever");

/** As many requests as the server takes at a time, without an answer; then one more. */
const fill: H2Case["steps"][number] = async (client) => {
  const most = peerSetting(client, Setting.MAX_CONCURRENT_STREAMS, 0);
  if (most === 0 || most > 10_000) throw new Error(`MAX_CONCURRENT_STREAMS is ${most}`);
  client.send(...Array.from({ length: most }, (_, i) => get(2 * i + 1, `/${i}`)));
  await client.roundTrip();
  client.send(get(2 * most + 1, "/beyond"));
  await client.expect(streamError(2 * most + 1, REFUSED_STREAM, PROTOCOL_ERROR));
};

export const connection: readonly H2Case[] = [
  ...section(
    "http2/3.5",
    "RFC 9113 3.4, rule 46",
    ["the preface", [get(1), reply(1)], [GET]],
    ["an invalid preface", [text("INVALID CONNECTION PREFACE\r\n\r\n"), closed], "nothing", WITHOUT_HTTP2],
    ["a preface that goes wrong in its second part", [text("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"), settings(), closed], "nothing", WITHOUT_HTTP2],
    ["a preface that goes wrong in its last byte", [text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"), settings(), closed], "nothing", WITHOUT_HTTP2],
    ["a preface that is a request with a field", [text("PRI * HTTP/2.0\r\nHost: a.test\r\n\r\n"), closed], "nothing", WITHOUT_HTTP2],
    ["a preface of HTTP/2.1", [text("PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n"), settings(), closed], "nothing", WITHOUT_HTTP2],
    ["frames without a preface", [settings(), get(1), closed], "nothing", WITHOUT_HTTP2],
    ["the preface behind a blank line", [text("\r\n"), PREFACE, settings(), closed], "nothing", WITHOUT_HTTP2],
    ["the preface behind an HTTP/1.1 request", [text("GET /first HTTP/1.1\r\nHost: a.test\r\n\r\n"), PREFACE, settings(), get(1, "/second"), closed], [line("GET", "/first")], WITHOUT_HTTP2],
    ["the preface, SETTINGS and a request in one write", [PREFACE, settings(), get(1), reply(1)], [GET], { client: { handshake: "none" } }],
    ["PING before SETTINGS", [ping(), connectionError(PROTOCOL_ERROR)], "nothing", PREFACE_ONLY],
    ["HEADERS before SETTINGS", [get(1), connectionError(PROTOCOL_ERROR)], "nothing", PREFACE_ONLY],
    ["WINDOW_UPDATE before SETTINGS", [windowUpdate(0, 1), connectionError(PROTOCOL_ERROR)], "nothing", PREFACE_ONLY],
    ["GOAWAY before SETTINGS", [goaway(0, NO_ERROR), connectionError(PROTOCOL_ERROR, NO_ERROR)], "nothing", PREFACE_ONLY],
    ["an unknown frame before SETTINGS", [unknown(0), connectionError(PROTOCOL_ERROR)], "nothing", PREFACE_ONLY],
    ["the preface twice", [PREFACE, closed], "nothing"],
    ["an HTTP/1.1 request behind the preface", [text("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"), connectionError(PROTOCOL_ERROR, FRAME_SIZE_ERROR)], "nothing", PREFACE_ONLY],
    [
      "the server's own SETTINGS come first, and say what it takes",
      [
        async (client) => {
          const said = [Setting.MAX_CONCURRENT_STREAMS, Setting.INITIAL_WINDOW_SIZE, Setting.MAX_FRAME_SIZE, Setting.HEADER_TABLE_SIZE, Setting.MAX_HEADER_LIST_SIZE, Setting.ENABLE_CONNECT_PROTOCOL];
          const values = said.map((setting, i) => peerSetting(client, setting, [0, 65_535, LIMIT, 4096, 0, 0][i]!));
          const wanted = [100, 65_536, LIMIT, 4096, 32_768, 1];
          if (JSON.stringify(values) !== JSON.stringify(wanted)) throw new Error(`settings ${JSON.stringify(wanted)} expected, got ${JSON.stringify(values)}`);
        },
      ],
      "nothing",
    ],
  ),

  ...section(
    "http2/4.1",
    "RFC 9113 4.1, rule 46",
    ["a frame of an unknown type", [unknown(0), ping("unknown!"), pong("unknown!")], "nothing"],
    ["undefined flags", [ping("flagged!", 0x16), pong("flagged!")], "nothing"],
    ["the reserved bit", [frame(FrameType.PING, 0, 2 ** 31, "reserved"), pong("reserved")], "nothing"],
    ["every unknown type once, on stream 0", [...Array.from({ length: 246 }, (_, i) => unknown(0, 10 + i)), ping("unknown!"), pong("unknown!")], "nothing"],
    ["an unknown frame on an idle stream, which stays idle", [unknown(5), get(1), reply(1), get(5), reply(5)], [GET, GET]],
    ["an unknown frame on an open stream", [post(1), unknown(1), data(1, "test"), reply(1)], [{ ...POST, body: "test" }]],
    ["an unknown frame on a closed stream", [get(1), reply(1), unknown(1), get(3), reply(3)], [GET, GET]],
    ["an unknown frame of the greatest length", [frame(200, 255, 0, Buffer.alloc(LIMIT)), get(1), reply(1)], [GET]],
    ["PRIORITY_UPDATE (RFC 9218) and ALTSVC, ORIGIN (RFC 7838, 8336) are ignored", [frame(16, 0, 0, "\0\0\0\x01u=1"), frame(10, 0, 0, "\0\0"), frame(12, 0, 0, ""), get(1), reply(1)], [GET]],
  ),

  ...section(
    "http2/4.2",
    "RFC 9113 4.2, rule 47",
    ["DATA of 2^14 bytes", [posted(1, "d".repeat(LIMIT)), reply(1)], [{ ...POST, body: "d".repeat(LIMIT) }]],
    ["DATA above MAX_FRAME_SIZE", [post(1), data(1, "d".repeat(LIMIT + 1)), streamError(1, FRAME_SIZE_ERROR)], "nothing whole"],
    ["HEADERS above MAX_FRAME_SIZE", [headers(1, asks("GET", "/", ["x-long", "l".repeat(LIMIT)])), connectionError(FRAME_SIZE_ERROR)], "nothing"],
    ["CONTINUATION above MAX_FRAME_SIZE", [headers(1, asks("GET"), unfinished), continuation(1, block([["x-long", "l".repeat(LIMIT)]])), connectionError(FRAME_SIZE_ERROR)], "nothing"],
    ["SETTINGS above MAX_FRAME_SIZE", [settings(...Array.from({ length: 2731 }, () => [0xff, 1] as const)), connectionError(FRAME_SIZE_ERROR)], "nothing"],
    ["an unknown frame above MAX_FRAME_SIZE", [frame(22, 0, 0, Buffer.alloc(LIMIT + 1)), connectionError(FRAME_SIZE_ERROR)], "nothing"],
    ["GOAWAY above MAX_FRAME_SIZE", [goaway(0, NO_ERROR, "d".repeat(LIMIT)), connectionError(FRAME_SIZE_ERROR, NO_ERROR)], "nothing"],
    ["a frame that says 2^24 - 1 bytes: refused before they come", [frame(FrameType.HEADERS, 4, 1, "", 2 ** 24 - 1), connectionError(FRAME_SIZE_ERROR)], "nothing"],
    ["HEADERS of exactly MAX_FRAME_SIZE", [headers(1, blockOf(LIMIT)), reply(1)], [GET]],
  ),

  ...section(
    "http2/4.3",
    "RFC 9113 4.3",
    // A string that says to be longer than the block.
    ["an invalid header block", [headers(1, Buffer.concat([block(asks("GET")), text("\x40\x7f\x10ab")])), connectionError(COMPRESSION_ERROR)], "nothing"],
    ["PRIORITY inside a header block", [headers(1, asks("GET"), unfinished), priority(1, { on: 0 }), continuation(1, block(MORE)), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["HEADERS of another stream inside a header block", [headers(1, asks("GET"), unfinished), headers(3, asks("GET")), continuation(1, block(MORE)), connectionError(PROTOCOL_ERROR)], "nothing"],
    ...(
      [
        ["DATA", data(1, "test")],
        ["RST_STREAM of the same stream", rstStream(1)],
        ["SETTINGS", settings()],
        ["the acknowledgement of SETTINGS", settingsAck()],
        ["PING", ping()],
        ["GOAWAY", goaway(0, NO_ERROR)],
        ["WINDOW_UPDATE", windowUpdate(0, 1)],
        ["CONTINUATION of another stream", continuation(3, block(MORE))],
        ["HEADERS of the same stream", headers(1, MORE)],
        ["PUSH_PROMISE", pushPromise(1, 2, asks("GET"))],
      ] as const
    ).map(([what, between]) => [`${what} inside a header block`, [headers(1, asks("GET"), unfinished), between, continuation(1, block(MORE)), connectionError(PROTOCOL_ERROR)], "nothing"] as const),
    ["an unfinished header block, and the end", [headers(1, asks("GET"), unfinished), async (client) => client.connection.end(), closed], "nothing"],
  ),

  ...section(
    "http2/5.1",
    "RFC 9113 5.1, rule 48",
    ["idle: DATA", [data(1, "test"), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["idle: RST_STREAM", [rstStream(1), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["idle: WINDOW_UPDATE", [windowUpdate(1, 100), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["idle: CONTINUATION", [continuation(1, block(asks("GET"))), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["half-closed (remote): DATA", [get(1), data(1, "test"), streamError(1, STREAM_CLOSED)], "anything", { script: hold }],
    ["half-closed (remote): HEADERS", [get(1), get(1), streamError(1, STREAM_CLOSED)], "anything", { script: hold }],
    ["half-closed (remote): CONTINUATION", [get(1), continuation(1, block(MORE)), streamError(1, STREAM_CLOSED, PROTOCOL_ERROR)], "anything", { script: hold }],
    ["closed: DATA after RST_STREAM", [post(1), rstStream(1), data(1, "test"), streamError(1, STREAM_CLOSED)], "nothing whole"],
    ["closed: HEADERS after RST_STREAM", [post(1), rstStream(1), headers(1, asks("POST")), streamError(1, STREAM_CLOSED)], "nothing whole"],
    ["closed: CONTINUATION after RST_STREAM", [post(1), rstStream(1), continuation(1, block(MORE)), streamError(1, STREAM_CLOSED, PROTOCOL_ERROR)], "nothing whole"],
    ["closed: DATA", [get(1), reply(1), data(1, "test"), connectionError(STREAM_CLOSED)], [GET]],
    ["closed: HEADERS", [get(1), reply(1), get(1), connectionError(STREAM_CLOSED)], [GET]],
    ["closed: CONTINUATION", [get(1), reply(1), continuation(1, block(MORE)), connectionError(STREAM_CLOSED, PROTOCOL_ERROR)], [GET]],
  ),
  ...section(
    "states",
    "RFC 9113 5.1, rule 48",
    ["idle: DATA on the stream after an open one", [post(1), data(3, "test"), connectionError(PROTOCOL_ERROR)], "nothing whole"],
    ["idle: WINDOW_UPDATE on a stream of the server's", [windowUpdate(2, 1), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["idle: RST_STREAM on a stream of the server's", [rstStream(2), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["idle: DATA on a stream of the server's", [data(2, "test"), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["half-closed (remote): WINDOW_UPDATE", [get(1), windowUpdate(1, 1), windowUpdate(1, 1), ping("halfopen"), pong("halfopen")], "anything", { script: hold }],
    ["half-closed (remote), by DATA: DATA", [posted(1, "test"), data(1, "more"), streamError(1, STREAM_CLOSED)], "anything", { script: hold }],
    ["half-closed (remote), by trailers: DATA", [post(1), data(1, "test", more), headers(1, MORE), data(1, "more"), streamError(1, STREAM_CLOSED)], "anything", { script: hold }],
    ["half-closed (remote): trailers", [posted(1, "test"), headers(1, MORE), streamError(1, STREAM_CLOSED)], "anything", { script: hold }],
    ["half-closed (local): the rest of the body, which nobody wants", [post(1), reply(1, 413), data(1, "test", more), data(1, "more"), ping("halfopen"), pong("halfopen")], "anything", { script: early }],
    ["closed: WINDOW_UPDATE is ignored", [get(1), reply(1), windowUpdate(1, 1), get(3), reply(3)], [GET, GET]],
    ["closed: RST_STREAM is ignored", [get(1), reply(1), rstStream(1), get(3), reply(3)], [GET, GET]],
    ["closed by RST_STREAM: WINDOW_UPDATE and another RST_STREAM are no connection error", [get(1), rstStream(1), windowUpdate(1, 1), rstStream(1), get(3, "/next"), reply(3)], "anything"],
    ["closed by RST_STREAM with NO_ERROR", [get(1), rstStream(1, NO_ERROR), get(3, "/next"), reply(3)], "anything"],
    ["skipped: HEADERS on a stream below an open one", [get(5), reply(5), get(3), connectionError(PROTOCOL_ERROR, STREAM_CLOSED)], [GET]],
    ["skipped: DATA on a stream below an open one", [get(5), reply(5), data(3, "test"), streamError(3, PROTOCOL_ERROR, STREAM_CLOSED)], [GET]],
    ["skipped: PRIORITY on a stream below an open one", [get(5), reply(5), priority(3, { on: 0 }), get(7), reply(7)], [GET, GET]],
  ),

  ...section(
    "http2/5.1.1",
    "RFC 9113 5.1.1, rule 48",
    ["an even stream", [get(2), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["a stream below the last one", [get(5), get(3), connectionError(PROTOCOL_ERROR)], "anything"],
    ["the highest stream, and none after it", [get(2 ** 31 - 1), reply(2 ** 31 - 1), get(1), connectionError(PROTOCOL_ERROR, STREAM_CLOSED)], [GET]],
    ["streams with gaps between them", [get(1), get(101), get(100_001), reply(1), reply(101), reply(100_001)], [GET, GET, GET]],
  ),
  ...section("http2/5.1.2", "RFC 9113 5.1.2, rule 49", ["more streams than MAX_CONCURRENT_STREAMS", [fill], "anything", { script: hold }]),

  ...section(
    "http2/5.3.1",
    "RFC 7540 5.3.1 (RFC 9113 5.3 takes no notice of priorities any more)",
    ["HEADERS that depends on itself", [headers(1, asks("GET"), { priority: { on: 1 } }), streamError(1, PROTOCOL_ERROR)], "anything"],
    ["PRIORITY that depends on itself", [priority(1, { on: 1 }), streamError(1, PROTOCOL_ERROR)], "nothing"],
  ),
  ...section(
    "http2/5.4.1",
    "RFC 9113 5.4.1",
    ["an invalid PING: the connection ends", [frame(FrameType.PING, 0, 3, "fairlead"), closed], "nothing"],
    ["an invalid PING: GOAWAY says why", [frame(FrameType.PING, 0, 3, "fairlead"), goawayWith(PROTOCOL_ERROR)], "nothing"],
    [
      "GOAWAY names the last stream that was begun",
      [
        get(1),
        get(3),
        reply(1),
        reply(3),
        frame(FrameType.PING, 0, 3, "fairlead"),
        goawayWith(PROTOCOL_ERROR),
        async ({ conversation }) => {
          if (conversation.goaways.at(-1)?.last !== 3) throw new Error(`last stream 3 expected, got ${conversation.goaways.at(-1)?.last}`);
        },
      ],
      [GET, GET],
    ],
    ["what was answered before an error still arrives", [get(1), reply(1), frame(FrameType.PING, 0, 3, "fairlead"), goawayWith(PROTOCOL_ERROR)], [GET]],
  ),
  ...section(
    "http2/5.5",
    "RFC 9113 5.5",
    ["an unknown frame", [unknown(0), ping("unknown!"), pong("unknown!")], "nothing"],
    ["an unknown frame inside a header block", [headers(1, asks("GET"), unfinished), unknown(0), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["an unknown frame of the same stream inside a header block", [headers(1, asks("GET"), unfinished), unknown(1), continuation(1, block(MORE)), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["an unknown setting", [settings([0xfe, 12_345], [0, 1], [0xffff, 2 ** 32 - 1]), settingsAcks(2), get(1), reply(1)], [GET]],
    ["an unknown error code", [get(1), rstStream(1, 0xfe), get(3, "/next"), reply(3)], "anything"],
    ["cancelling is not an error", [get(1), rstStream(1, CANCEL), get(3, "/next"), reply(3)], "anything"],
  ),
];

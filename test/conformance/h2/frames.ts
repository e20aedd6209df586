/** Each type of frame: its stream, its length, its values, and what windows mean (RFC 9113 section 6, rules 47, 50, 51). */
import { continuation, data, ErrorCode, Flag, frame, FrameType, goaway, headers, more, ping, priority, rstStream, Setting, settings, settingsAck, unfinished, windowUpdate } from "../../support/h2-frames.ts";
import { block, type Field } from "../../support/h2-hpack.ts";
import { bytes, connectionError, either, goawayWith, head, pong, reply, room, rstWith, settingsAcks, streamError, type H2Client } from "../../support/h2.ts";
import { asks, get, type H2Case, hold, line, mirror, post, posted, section, sized } from "./cases.ts";

const { PROTOCOL_ERROR, FRAME_SIZE_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, NO_ERROR, CANCEL } = ErrorCode;
const { INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, ENABLE_PUSH, HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS } = Setting;
const MOST = 2 ** 31 - 1;
const GET = line("GET");
const POST = line("POST");
const MORE: readonly Field[] = [["x-more", "1"]];
const ONE = windowUpdate(1, 1);
const priorityPayload = "\0\0\0\0\x10";

/** Its other settings must not matter. */
function window(size: number): Buffer {
  return settings([MAX_CONCURRENT_STREAMS, 7], [INITIAL_WINDOW_SIZE, size]);
}

/** Nothing of stream 1's body comes beyond `count`, though the server has had its time. */
function stays(count: number): (client: H2Client) => Promise<void> {
  return async (client) => {
    await client.expect(bytes(1, count));
    await client.roundTrip();
    await client.roundTrip();
    await client.expect(bytes(1, count));
  };
}

export const frames: readonly H2Case[] = [
  ...section(
    "http2/6.1",
    "RFC 9113 6.1, rule 47",
    ["DATA on stream 0", [data(0, "test"), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["DATA on a stream that is not open", [headers(1, asks("POST")), data(1, "test"), streamError(1, STREAM_CLOSED)], "anything", { script: hold }],
    ["DATA with more padding than payload", [post(1, "/", ["content-length", "4"]), frame(FrameType.DATA, Flag.PADDED | Flag.END_STREAM, 1, "\x06Test"), connectionError(PROTOCOL_ERROR)], "nothing whole"],
    ["DATA with as much padding as payload", [post(1), frame(FrameType.DATA, Flag.PADDED | Flag.END_STREAM, 1, "\x05Test"), connectionError(PROTOCOL_ERROR)], "nothing whole"],
    ["DATA with padding and no Pad Length", [post(1), frame(FrameType.DATA, Flag.PADDED | Flag.END_STREAM, 1, ""), connectionError(PROTOCOL_ERROR, FRAME_SIZE_ERROR)], "nothing whole"],
  ),
  ...section(
    "http2/6.2",
    "RFC 9113 6.2, rule 47",
    ["HEADERS without END_HEADERS, then PRIORITY", [headers(1, asks("GET"), unfinished), priority(1, { on: 0 }), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["HEADERS without END_HEADERS, then HEADERS of another stream", [headers(1, asks("GET"), unfinished), get(3), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["HEADERS on stream 0", [get(0), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["HEADERS with more padding than payload", [headers(1, asks("GET"), { pad: 0, saidPad: 255 }), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["HEADERS with padding and no Pad Length", [frame(FrameType.HEADERS, Flag.PADDED | Flag.END_HEADERS | Flag.END_STREAM, 1, ""), connectionError(PROTOCOL_ERROR, FRAME_SIZE_ERROR)], "nothing"],
    ["HEADERS too short for its priority", [frame(FrameType.HEADERS, Flag.PRIORITY | Flag.END_HEADERS | Flag.END_STREAM, 1, "\0\0\0\0"), connectionError(FRAME_SIZE_ERROR, PROTOCOL_ERROR)], "nothing"],
    ["HEADERS whose padding reaches into its priority", [frame(FrameType.HEADERS, Flag.PRIORITY | Flag.PADDED | Flag.END_HEADERS | Flag.END_STREAM, 1, `\x04${priorityPayload}\x82`), connectionError(PROTOCOL_ERROR, FRAME_SIZE_ERROR)], "nothing"],
    ["HEADERS with nothing in it", [headers(1, Buffer.alloc(0)), streamError(1, PROTOCOL_ERROR)], "nothing"],
  ),
  ...section(
    "http2/6.3",
    "RFC 9113 6.3, rule 47",
    ["PRIORITY on stream 0", [priority(0, { on: 1 }), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["PRIORITY of four bytes", [post(1), frame(FrameType.PRIORITY, 0, 1, "\0\0\0\x01"), streamError(1, FRAME_SIZE_ERROR)], "nothing whole"],
    ["PRIORITY of six bytes", [post(1), frame(FrameType.PRIORITY, 0, 1, "\0\0\0\0\x10\x10"), streamError(1, FRAME_SIZE_ERROR)], "nothing whole"],
  ),
  ...section(
    "http2/6.4",
    "RFC 9113 6.4, rule 47",
    ["RST_STREAM on stream 0", [rstStream(0), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["RST_STREAM on an idle stream", [rstStream(1), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["RST_STREAM of three bytes", [post(1), frame(FrameType.RST_STREAM, 0, 1, "\0\0\0"), connectionError(FRAME_SIZE_ERROR)], "nothing whole"],
    ["RST_STREAM of five bytes", [post(1), frame(FrameType.RST_STREAM, 0, 1, "\0\0\0\0\x08"), connectionError(FRAME_SIZE_ERROR)], "nothing whole"],
  ),
  ...section(
    "http2/6.5",
    "RFC 9113 6.5, rule 47",
    ["the acknowledgement of SETTINGS with a payload", [frame(FrameType.SETTINGS, Flag.ACK, 0, "\0\x03\0\0\0\x01"), connectionError(FRAME_SIZE_ERROR)], "nothing"],
    ["SETTINGS on a stream", [frame(FrameType.SETTINGS, 0, 1, "\0\x03\0\0\0\x01"), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["SETTINGS of three bytes", [frame(FrameType.SETTINGS, 0, 0, "\0\x03\0"), connectionError(FRAME_SIZE_ERROR)], "nothing"],
    ["SETTINGS of seven bytes", [frame(FrameType.SETTINGS, 0, 0, "\0\x03\0\0\0\x01\0"), connectionError(FRAME_SIZE_ERROR)], "nothing"],
    ["the acknowledgement of SETTINGS on a stream", [frame(FrameType.SETTINGS, Flag.ACK, 1), connectionError(PROTOCOL_ERROR)], "nothing"],
  ),
  ...section(
    "http2/6.5.2",
    "RFC 9113 6.5.2",
    ["ENABLE_PUSH that is neither 0 nor 1", [settings([ENABLE_PUSH, 2]), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["INITIAL_WINDOW_SIZE above 2^31 - 1", [settings([INITIAL_WINDOW_SIZE, MOST + 1]), connectionError(FLOW_CONTROL_ERROR)], "nothing"],
    ["MAX_FRAME_SIZE below 2^14", [settings([MAX_FRAME_SIZE, 16_383]), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["MAX_FRAME_SIZE above 2^24 - 1", [settings([MAX_FRAME_SIZE, 2 ** 24]), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["an unknown setting", [settings([0xff, 1]), ping("settings"), pong("settings")], "nothing"],
    ["ENABLE_PUSH 0 and 1", [settings([ENABLE_PUSH, 0]), settings([ENABLE_PUSH, 1]), settingsAcks(3), get(1), reply(1)], [GET]],
    ["MAX_FRAME_SIZE at its ends", [settings([MAX_FRAME_SIZE, 16_384]), settings([MAX_FRAME_SIZE, 2 ** 24 - 1]), settingsAcks(3), get(1), reply(1)], [GET]],
    ["MAX_CONCURRENT_STREAMS 0, which is about pushes", [settings([MAX_CONCURRENT_STREAMS, 0]), get(1), reply(1)], [GET]],
    ["ENABLE_CONNECT_PROTOCOL of a client, which means nothing", [settings([Setting.ENABLE_CONNECT_PROTOCOL, 1]), get(1), reply(1)], [GET]],
    ["MAX_HEADER_LIST_SIZE 0, which is advice", [settings([Setting.MAX_HEADER_LIST_SIZE, 0]), ping("settings"), pong("settings")], "nothing"],
    ["NO_RFC7540_PRIORITIES (RFC 9218)", [settings([9, 1]), get(1), reply(1)], [GET]],
  ),
  ...section(
    "http2/6.5.3",
    "RFC 9113 6.5.3",
    ["one setting twice: the last one counts", [settings([INITIAL_WINDOW_SIZE, 100], [INITIAL_WINDOW_SIZE, 1]), get(1), stays(1)], [GET]],
    ["SETTINGS is acknowledged", [settings(), settingsAcks(2)], "nothing"],
    ["each SETTINGS is acknowledged", [settings(), settings([ENABLE_PUSH, 0]), settings([HEADER_TABLE_SIZE, 0]), settings(), settingsAcks(5)], "nothing"],
    ["an acknowledgement of nothing changes nothing", [settingsAck(), get(1), either(reply(1), connectionError(PROTOCOL_ERROR))], "anything"],
    ["HEADER_TABLE_SIZE 0: the server's table shrinks before its next block", [get(1), reply(1), settings([HEADER_TABLE_SIZE, 0]), settingsAcks(2), get(3), reply(3), get(5), reply(5)], [GET, GET, GET]],
    ["HEADER_TABLE_SIZE 0, then 4096", [settings([HEADER_TABLE_SIZE, 0]), settings([HEADER_TABLE_SIZE, 4096]), settingsAcks(3), get(1), reply(1), get(3), reply(3)], [GET, GET]],
    ["HEADER_TABLE_SIZE of 4 GiB: the server uses what it likes of it", [settings([HEADER_TABLE_SIZE, 2 ** 32 - 1]), settingsAcks(2), get(1), reply(1), get(3), reply(3)], [GET, GET]],
  ),
  ...section("http2/6.6", "RFC 9113 6.6, 8.4", ["PUSH_PROMISE on stream 0", [frame(FrameType.PUSH_PROMISE, Flag.END_HEADERS, 0, "\0\0\0\x02\x82"), connectionError(PROTOCOL_ERROR)], "nothing"]),
  ...section(
    "http2/6.7",
    "RFC 9113 6.7, rule 47",
    ["PING", [ping("\0\x01\x02\x03\xfc\xfd\xfe\xff"), pong("\0\x01\x02\x03\xfc\xfd\xfe\xff")], "nothing"],
    ["PING with ACK is not answered", [ping("unwanted", Flag.ACK), ping("answered"), pong("answered"), async ({ conversation }) => {
      if (conversation.pongs.includes("unwanted")) throw new Error("it was answered");
    }], "nothing"],
    ["PING on a stream", [frame(FrameType.PING, 0, 1, "fairlead"), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["PING of six bytes", [ping("sixbyt"), connectionError(FRAME_SIZE_ERROR)], "nothing"],
    ["PING of nine bytes", [ping("ninebytes"), connectionError(FRAME_SIZE_ERROR)], "nothing"],
    ["PING of no bytes", [ping(""), connectionError(FRAME_SIZE_ERROR)], "nothing"],
    ["three PINGs are answered in their order", [ping("one-----"), ping("two-----"), ping("three---"), pong("three---"), async ({ conversation }) => {
      if (conversation.pongs.join(" ") !== "one----- two----- three---") throw new Error(`answered in the order ${conversation.pongs.join(" ")}`);
    }], "nothing"],
  ),
  ...section(
    "http2/6.8",
    "RFC 9113 6.8, rule 47",
    ["GOAWAY on a stream", [frame(FrameType.GOAWAY, 0, 1, "\0\0\0\0\0\0\0\0"), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["GOAWAY of seven bytes", [frame(FrameType.GOAWAY, 0, 0, "\0\0\0\0\0\0\0"), connectionError(FRAME_SIZE_ERROR)], "nothing"],
  ),
  ...section(
    "http2/6.9",
    "RFC 9113 6.9, rules 47, 50",
    ["WINDOW_UPDATE of 0 on the connection", [windowUpdate(0, 0), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["WINDOW_UPDATE of 0 on a stream", [post(1), windowUpdate(1, 0), streamError(1, PROTOCOL_ERROR)], "nothing whole"],
    ["WINDOW_UPDATE of three bytes", [frame(FrameType.WINDOW_UPDATE, 0, 0, "\0\0\x01"), connectionError(FRAME_SIZE_ERROR)], "nothing"],
    ["WINDOW_UPDATE of five bytes on a stream", [post(1), frame(FrameType.WINDOW_UPDATE, 0, 1, "\0\0\0\x01\0"), connectionError(FRAME_SIZE_ERROR)], "nothing whole"],
    ["WINDOW_UPDATE of 0 with the reserved bit", [frame(FrameType.WINDOW_UPDATE, 0, 0, "\x80\0\0\0"), connectionError(PROTOCOL_ERROR)], "nothing"],
  ),
  ...section(
    "http2/6.9.1",
    "RFC 9113 6.9.1, rule 50",
    ["a window of 1: one byte comes", [window(1), settingsAcks(2), get(1), stays(1)], [GET]],
    ["WINDOW_UPDATEs that bring the connection above 2^31 - 1", [windowUpdate(0, MOST), windowUpdate(0, MOST), goawayWith(FLOW_CONTROL_ERROR)], "nothing"],
    ["WINDOW_UPDATEs that bring a stream above 2^31 - 1", [post(1), windowUpdate(1, MOST), windowUpdate(1, MOST), rstWith(1, FLOW_CONTROL_ERROR)], "nothing whole"],
    ["a connection's window up to exactly 2^31 - 1", [windowUpdate(0, MOST - 65_535), get(1), reply(1)], [GET]],
    ["a stream's window up to exactly 2^31 - 1", [post(1), windowUpdate(1, MOST - 65_535), data(1, "test"), reply(1)], [{ ...POST, body: "test" }]],
    ["the connection's window holds all streams together", [window(MOST), settingsAcks(2), get(1), get(3), async (client) => {
      const [one, three] = [client.stream(1), client.stream(3)];
      await client.expect({ what: "65,535 bytes in all", look: () => one.bytes + three.bytes === 65_535 || undefined });
      await client.roundTrip();
      if (one.bytes + three.bytes !== 65_535) throw new Error(`${one.bytes} and ${three.bytes} bytes came`);
      client.send(windowUpdate(0, 100_000));
    }, reply(1), reply(3)], [GET, GET], { script: sized(60_000) }],
    ["no window, and a reply without a body", [window(0), settingsAcks(2), headers(1, asks("HEAD")), reply(1)], [line("HEAD")]],
    ["no window, and a reply with an empty body", [window(0), settingsAcks(2), get(1), reply(1)], [GET], { script: sized(0) }],
    ["a body byte by byte", [window(0), settingsAcks(2), get(1), head(1), ...Array.from({ length: 5 }, (_, i) => [ONE, bytes(1, i + 1)]).flat(), reply(1)], [GET]],
    ["a window of one stream that is shut does not stop another", [window(0), settingsAcks(2), get(1), get(3), windowUpdate(3, 100), reply(3), windowUpdate(1, 100), reply(1)], [GET, GET]],
    ["a reset of a stream that waits for its window", [window(0), settingsAcks(2), get(1), head(1), rstStream(1, CANCEL), windowUpdate(1, 100), get(3), windowUpdate(3, 100), reply(3)], [GET, GET]],
    ["padding counts", [post(1), async (client) => {
      // More than the stream's window in all, of which almost all is padding: credit must come for padding too.
      for (let sent = 0; sent < 400; sent++) {
        await client.expect(room(1, 257));
        client.send(data(1, "x", { ...more, pad: 255 }));
      }
      client.send(data(1, ""));
    }, reply(1)], [{ ...POST, body: "x".repeat(400) }]],
  ),
  ...section(
    "http2/6.9.2",
    "RFC 9113 6.9.2, rule 50",
    ["INITIAL_WINDOW_SIZE changes windows that are there", [window(0), settingsAcks(2), get(1), head(1), window(1), settingsAcks(3), stays(1)], [GET]],
    ["INITIAL_WINDOW_SIZE makes a window negative", [window(3), settingsAcks(2), get(1), bytes(1, 3), window(2), settingsAcks(3), windowUpdate(1, 2), stays(4), windowUpdate(1, 100), reply(1)], [GET]],
    ["INITIAL_WINDOW_SIZE above 2^31 - 1", [settings([INITIAL_WINDOW_SIZE, MOST + 1]), connectionError(FLOW_CONTROL_ERROR)], "nothing"],
    ["INITIAL_WINDOW_SIZE that brings a stream above 2^31 - 1", [post(1), windowUpdate(1, MOST - 65_535), window(65_536), connectionError(FLOW_CONTROL_ERROR)], "nothing whole"],
    ["INITIAL_WINDOW_SIZE does not change the connection's window", [window(MOST), settingsAcks(2), get(1), stays(65_535)], [GET], { script: sized(70_000) }],
    ["a window that is negative by far, and up again", [get(1), bytes(1, 65_535), window(0), settingsAcks(2), windowUpdate(0, 200_000), windowUpdate(1, 65_535), stays(65_535), window(65_535), reply(1)], [GET], { script: sized(70_000) }],
  ),
  ...section(
    "http2/6.10",
    "RFC 9113 6.10, rule 51",
    ["several CONTINUATION", [headers(1, asks("GET"), unfinished), continuation(1, block(MORE), false), continuation(1, block([["x-last", "2"]])), reply(1)], [{ ...GET, has: { "x-more": "1", "x-last": "2" } }]],
    ["CONTINUATION, then another frame", [headers(1, asks("POST"), { ...more, ...unfinished }), continuation(1, block(MORE), false), data(1, "test"), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["CONTINUATION on stream 0", [headers(1, asks("GET"), unfinished), continuation(0, block(MORE)), connectionError(PROTOCOL_ERROR)], "nothing"],
    ["CONTINUATION after HEADERS with END_HEADERS", [get(1), continuation(1, block(MORE)), connectionError(PROTOCOL_ERROR, STREAM_CLOSED)], "anything"],
    ["CONTINUATION after CONTINUATION with END_HEADERS", [headers(1, asks("GET"), unfinished), continuation(1, block(MORE)), continuation(1, block(MORE)), connectionError(PROTOCOL_ERROR, STREAM_CLOSED)], "anything"],
    ["CONTINUATION after DATA", [post(1), data(1, "test", more), continuation(1, block(MORE)), connectionError(PROTOCOL_ERROR)], "nothing whole"],
    ["eight CONTINUATION", [headers(1, asks("GET"), unfinished), ...Array.from({ length: 8 }, (_, i) => continuation(1, block([[`x-${i}`, "1"]]), i === 7)), reply(1)], [{ ...GET, has: { "x-0": "1", "x-7": "1" } }]],
    ["CONTINUATION of trailers", [post(1), data(1, "test", more), headers(1, [["x-a", "1"]], unfinished), continuation(1, block([["x-b", "2"]])), reply(1)], [{ ...POST, body: "test", trailers: ["x-a: 1", "x-b: 2"] }]],
    ["END_STREAM counts on HEADERS, not on CONTINUATION", [headers(1, asks("POST"), { ...more, ...unfinished }), frame(FrameType.CONTINUATION, Flag.END_HEADERS | Flag.END_STREAM, 1, block(MORE)), data(1, "test"), reply(1)], [{ ...POST, body: "test" }]],
  ),

  ...section(
    "flow",
    "RFC 9113 6.9, rule 50",
    ["an upload of 1 MB within the windows arrives whole", [upload(1_000_000)], [{ ...POST, body: "u".repeat(1_000_000) }]],
    ["a body of 1 MB with small windows comes whole", [window(1000), settingsAcks(2), get(1), download(1_000_000)], [GET], { script: sized(1_000_000) }],
    ["bytes that come back are the ones that went", [posted(1, "m".repeat(10_000)), reply(1), async (client) => {
      if (client.stream(1).text !== "m".repeat(10_000)) throw new Error(`${client.stream(1).bytes} bytes, or other ones, came back`);
    }], [POST], { script: mirror }],
    ["DATA of streams that were refused gives the connection its window back", [waste], "anything"],
    ["more DATA than the windows allow, to a back end that does not read", [flood], "nothing whole", { script: (_, connection) => connection.pause() }],
    ["GOAWAY of the client's does not stop what was begun", [get(1), goaway(0, NO_ERROR), reply(1)], [GET], { mayEnd: true }],
  ),
];

/** A POST on stream 1, as fast as the windows allow. */
function upload(total: number): (client: H2Client) => Promise<unknown> {
  return async (client) => {
    client.send(post(1));
    for (let sent = 0; sent < total; ) {
      const count = Math.min(16_384, total - sent);
      await client.expect(room(1, count));
      sent += count;
      client.send(data(1, "u".repeat(count), { endStream: sent === total }));
    }
    return client.expect(reply(1));
  };
}

/** Gives window for each piece that came. */
function download(total: number): (client: H2Client) => Promise<unknown> {
  return async (client) => {
    for (let granted = 1000, got = 0; got < total; ) {
      await client.expect({ what: `${granted} bytes`, look: () => client.stream(1).bytes >= Math.min(granted, total) || undefined });
      got = client.stream(1).bytes;
      client.send(windowUpdate(0, 20_000), windowUpdate(1, 20_000));
      granted += 20_000;
    }
    return client.expect(reply(1));
  };
}

/** More bytes than the connection's window holds, all on streams that end with an error; then a request that needs a little of it. */
async function waste(client: H2Client): Promise<void> {
  // A server may hold back credit until half of a window is used up.
  const parts = 2;
  const part = 12_000;
  const streams = Math.ceil((3 * client.conversation.sendWindow) / (parts * part));
  for (let stream = 1; stream < 2 * streams; stream += 2) {
    client.send(headers(stream, asks("POST", "/bad", ["Upper", "case"]), more));
    await client.expect(room(0, parts * part));
    client.send(...Array.from({ length: parts }, () => data(stream, Buffer.alloc(part), more)));
    await client.expect(rstWith(stream, PROTOCOL_ERROR));
  }
  client.send(posted(2 * streams + 1, "good", "/good"));
  await client.expect(reply(2 * streams + 1));
}

/** Sends without any regard for windows until the server objects. */
async function flood(client: H2Client): Promise<void> {
  client.send(post(1));
  const part = data(1, Buffer.alloc(16_384), more);
  const objection = streamError(1, FLOW_CONTROL_ERROR, ErrorCode.ENHANCE_YOUR_CALM);
  for (let sent = 0; sent < 4096 && objection.look(client) === undefined; sent++) {
    client.send(part);
    if (sent % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await client.expect(objection);
}

/** What every server must take: each frame in its plain and its less plain forms, and each representation of HPACK. */
import { continuation, data, ErrorCode, Flag, frame, FrameType, goaway, headers, more, ping, priority, rstStream, Setting, settings, unfinished, windowUpdate } from "../../support/h2-frames.ts";
import { block, type Field, indexed, literal, sizeUpdate } from "../../support/h2-hpack.ts";
import { bytes, connectionError, either, pong, reply, settingsAcks } from "../../support/h2.ts";
import { asks, get, type H2Case, hold, line, post, posted, type Row, section } from "./cases.ts";

const GET = line("GET");
const POST = line("POST");

/** A GET whose block ends in this representation of `x-test: test`, in which the back end must see the field. */
function represented(name: string, representation: Buffer, field: Field): Row {
  return [name, [headers(1, Buffer.concat([block(asks("GET")), representation])), reply(1)], [{ line: "GET / HTTP/1.1", has: { [field[0]]: field[1] } }]];
}

const TEST: Field = ["x-test", "test"];
const AGENT: Field = ["user-agent", "test"];
/** user-agent in the static table. */
const AGENT_INDEX = 58;
const HOWS = [
  ["with incremental indexing", "incremental"],
  ["without indexing", "plain"],
  ["never indexed", "never"],
] as const;

export const generic: readonly H2Case[] = [
  ...section("generic/1", "RFC 9113 3.4", ["the client's preface", [settings([Setting.MAX_CONCURRENT_STREAMS, 100]), settingsAcks(2), get(1), reply(1)], [GET]]),

  ...section(
    "generic/2",
    "RFC 9113 5.1",
    ["PRIORITY on an idle stream", [priority(1, { on: 0, weight: 256 }), ping("priority"), pong("priority")], "nothing"],
    ["WINDOW_UPDATE on a half-closed (remote) stream", [settings([Setting.INITIAL_WINDOW_SIZE, 0]), get(1), windowUpdate(1, 1), bytes(1, 1), windowUpdate(1, 100), reply(1)], [GET]],
    ["PRIORITY on a half-closed (remote) stream", [settings([Setting.INITIAL_WINDOW_SIZE, 0]), get(1), priority(1, { on: 0, weight: 256 }), windowUpdate(1, 1), bytes(1, 1), windowUpdate(1, 100), reply(1)], [GET]],
    ["RST_STREAM on a half-closed (remote) stream", [get(1), rstStream(1), ping("rststrea"), pong("rststrea")], "anything", { script: hold }],
    ["PRIORITY on a closed stream", [get(1), reply(1), priority(1, { on: 0, weight: 256 }), ping("priority"), pong("priority")], [GET]],
  ),

  ...section(
    "generic/3.1",
    "RFC 9113 6.1",
    ["DATA", [posted(1, "test"), reply(1)], [{ ...POST, body: "test" }]],
    ["several DATA", [post(1), data(1, "te", more), data(1, "st"), reply(1)], [{ ...POST, body: "test" }]],
    ["DATA with padding", [post(1), data(1, "test", { pad: 6 }), reply(1)], [{ ...POST, body: "test" }]],
  ),
  ...section(
    "generic/3.2",
    "RFC 9113 6.2",
    ["HEADERS", [get(1), reply(1)], [GET]],
    ["HEADERS with padding", [headers(1, asks("GET"), { pad: 6 }), reply(1)], [GET]],
    ["HEADERS with priority", [headers(1, asks("GET"), { priority: { on: 0, exclusive: true, weight: 256 } }), reply(1)], [GET]],
  ),
  ...section(
    "generic/3.3",
    "RFC 9113 6.3, RFC 7540 5.3",
    ["PRIORITY with weight 1", [priority(1, { on: 0, weight: 1 }), get(1), reply(1)], [GET]],
    ["PRIORITY with weight 256", [priority(1, { on: 0, weight: 256 }), get(1), reply(1)], [GET]],
    ["PRIORITY with a dependency", [priority(3, { on: 1 }), get(1), reply(1)], [GET]],
    ["PRIORITY that is exclusive", [priority(1, { on: 0, exclusive: true }), get(1), reply(1)], [GET]],
    ["PRIORITY of an idle stream, then HEADERS of a lower one", [priority(3, { on: 0 }), get(1), reply(1)], [GET]],
  ),
  ...section("generic/3.4", "RFC 9113 6.4", ["RST_STREAM", [get(1), rstStream(1), ping("rststrea"), pong("rststrea")], "anything"]),
  ...section("generic/3.5", "RFC 9113 6.5", ["SETTINGS", [settings([Setting.MAX_FRAME_SIZE, 65_536]), settingsAcks(2)], "nothing"]),
  ...section("generic/3.7", "RFC 9113 6.7", ["PING", [ping("h2spec\0\0"), pong("h2spec\0\0")], "nothing"]),
  ...section("generic/3.8", "RFC 9113 6.8", ["GOAWAY", [get(1), reply(1), goaway(0, ErrorCode.NO_ERROR)], [GET], { mayEnd: true }]),
  ...section(
    "generic/3.9",
    "RFC 9113 6.9",
    ["WINDOW_UPDATE of the connection", [windowUpdate(0, 1), ping("windowup"), pong("windowup")], "nothing"],
    ["WINDOW_UPDATE of a stream", [post(1), windowUpdate(1, 1), data(1, "test"), reply(1)], [{ ...POST, body: "test" }]],
  ),
  ...section(
    "generic/3.10",
    "RFC 9113 6.10",
    ["CONTINUATION", [headers(1, asks("GET"), unfinished), continuation(1, block([TEST])), reply(1)], [{ ...GET, has: { "x-test": "test" } }]],
    ["several CONTINUATION", [headers(1, asks("GET"), unfinished), continuation(1, block([["x-a", "1"]]), false), continuation(1, block([["x-b", "2"]])), reply(1)], [{ ...GET, has: { "x-a": "1", "x-b": "2" } }]],
  ),
  ...section(
    "generic/4",
    "RFC 9113 8.1",
    ["GET", [get(1), reply(1)], [GET]],
    ["HEAD", [headers(1, asks("HEAD")), reply(1)], [line("HEAD")]],
    ["POST", [posted(1, "test"), reply(1)], [{ ...POST, body: "test" }]],
    [
      "POST with trailers",
      [headers(1, asks("POST", "/", ["trailer", "x-test"]), more), data(1, "test", more), headers(1, [TEST]), reply(1)],
      [{ ...POST, body: "test", trailers: ["x-test: test"] }],
    ],
  ),
  ...section(
    "generic/5",
    "RFC 7541 6",
    ["an indexed field", [headers(1, Buffer.concat([indexed(2), indexed(6), indexed(4), literal(1, "a.test")])), reply(1)], [GET]],
    ...HOWS.flatMap(([what, how]) => [
      represented(`a literal ${what}, indexed name`, literal(AGENT_INDEX, "test", how), AGENT),
      represented(`a literal ${what}, indexed name, Huffman-coded value`, literal(AGENT_INDEX, "test", how, true), AGENT),
      represented(`a literal ${what}, new name`, literal("x-test", "test", how), TEST),
      represented(`a literal ${what}, new name, Huffman-coded`, literal("x-test", "test", how, true), TEST),
    ]),
    ["a dynamic table size update", [headers(1, Buffer.concat([sizeUpdate(128), block(asks("GET"))])), reply(1)], [GET]],
    ["two dynamic table size updates", [headers(1, Buffer.concat([sizeUpdate(128), sizeUpdate(4096), block(asks("GET"))])), reply(1)], [GET]],
  ),

  // What the frames above may look like besides.
  ...section(
    "frames",
    "RFC 9113 5.5, 6",
    ["padding of the greatest length", [post(1), data(1, "test", { pad: 255 }), reply(1)], [{ ...POST, body: "test" }]],
    ["padding of no length", [headers(1, asks("POST"), { ...more, pad: 0 }), data(1, "test", { pad: 0 }), reply(1)], [{ ...POST, body: "test" }]],
    ["padding and nothing else", [post(1), data(1, "test", more), data(1, "", { pad: 10 }), reply(1)], [{ ...POST, body: "test" }]],
    ["padding that is not zero", [post(1), frame(FrameType.DATA, Flag.PADDED | Flag.END_STREAM, 1, "\x03testabc"), either(reply(1), connectionError(ErrorCode.PROTOCOL_ERROR))], "anything"],
    ["padding and priority", [headers(1, asks("GET"), { pad: 20, priority: { on: 0 } }), reply(1)], [GET]],
    ["an empty DATA that ends the stream", [post(1), data(1, "test", more), data(1, ""), reply(1)], [{ ...POST, body: "test" }]],
    ["an empty DATA in the middle", [post(1), data(1, "te", more), data(1, "", more), data(1, "st"), reply(1)], [{ ...POST, body: "test" }]],
    ["a POST that ends without DATA", [headers(1, asks("POST")), reply(1)], [{ ...POST, body: "" }]],
    ["an empty fragment in HEADERS", [headers(1, Buffer.alloc(0), unfinished), continuation(1, block(asks("GET"))), reply(1)], [GET]],
    ["an empty CONTINUATION that ends the block", [headers(1, asks("GET"), unfinished), continuation(1, Buffer.alloc(0)), reply(1)], [GET]],
    ["a fragment that ends inside a string", [headers(1, block(asks("GET")).subarray(0, 20), unfinished), continuation(1, block(asks("GET")).subarray(20)), reply(1)], [GET]],
    ["unknown flags on HEADERS and DATA", [frame(FrameType.HEADERS, Flag.END_HEADERS | 0xd2, 1, block(asks("POST"))), frame(FrameType.DATA, 0xf6 | Flag.END_STREAM, 1, "test"), reply(1)], [{ ...POST, body: "test" }]],
    ["a reserved bit on HEADERS and DATA", [frame(FrameType.HEADERS, Flag.END_HEADERS, 2 ** 31 + 1, block(asks("POST"))), frame(FrameType.DATA, Flag.END_STREAM, 2 ** 31 + 1, "test"), reply(1)], [{ ...POST, body: "test" }]],
    ["a reserved bit in WINDOW_UPDATE", [frame(FrameType.WINDOW_UPDATE, 0, 0, "\x80\0\0\x01"), get(1), reply(1)], [GET]],
    ["GOAWAY with debug data in the middle of requests: what was begun goes on", [post(1), goaway(0, ErrorCode.NO_ERROR, "good bye"), data(1, "test"), reply(1)], [{ ...POST, body: "test" }], { mayEnd: true }],
  ),
];

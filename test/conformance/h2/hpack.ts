/** HPACK as the server must read it: tables, integers, strings, and what is an error of the whole connection (RFC 7541, rules 52 to 54). */
import { continuation, data, ErrorCode, headers, more, rstStream, Setting, settings, unfinished } from "../../support/h2-frames.ts";
import { block, EOS, type Field, huffman, indexed, integer, literal, sizeUpdate, text } from "../../support/h2-hpack.ts";
import { anyError, closed, connectionError, either, peerSetting, refusal, reply, settingsAcks, streamError, type Wish } from "../../support/h2.ts";
import type { Expected } from "../cases.ts";
import { asks, get, type H2Case, hold, line, post, type Row, section } from "./cases.ts";

const { COMPRESSION_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, STREAM_CLOSED } = ErrorCode;
const GET = line("GET");
/** The first index of the dynamic table. */
const FIRST = 62;
const ask = block(asks("GET"));
const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(" ", ""), "hex");

/** A GET on stream 1 whose block goes on, or begins, with these bytes. */
function behind(...bytes: readonly Buffer[]): Buffer {
  return headers(1, Buffer.concat([ask, ...bytes]));
}

function ahead(...bytes: readonly Buffer[]): Buffer {
  return headers(1, Buffer.concat([...bytes, ask]));
}

function broken(name: string, request: Buffer): Row {
  return [name, [request, connectionError(COMPRESSION_ERROR)], "nothing"];
}

/** Literal, new name `x-test`, and a Huffman-coded value of these bytes. */
function coded(value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0]), text("x-test"), integer(value.length, 7, 128), value]);
}

function sees(...fields: readonly Field[]): Expected {
  return { line: "GET / HTTP/1.1", has: Object.fromEntries(fields) };
}

/** A request that leaves `x-kept: <value>` at index 62, and one that uses it. */
function keep(stream: number, value: string): Buffer {
  return headers(stream, Buffer.concat([ask, literal("x-kept", value, "incremental")]));
}

function use(stream: number, index = FIRST): Buffer {
  return headers(stream, Buffer.concat([ask, indexed(index)]));
}

/** Each entry counts 128: name of 5, value of 91, and 32. */
function entry(number: number): Buffer {
  return literal(`x-${String(number).padStart(3, "0")}`, String(number).padStart(91, "v"), "incremental");
}

function entryField(number: number): Field {
  return [`x-${String(number).padStart(3, "0")}`, String(number).padStart(91, "v")];
}

const FULL = 4096 / 128;

/** A field of 4,000 bytes referred to `times` times by one byte each, in blocks that frames can hold. */
function bomb(stream: number, times: number): Buffer {
  return headers(stream, Buffer.concat([ask, literal("x-bomb", "b".repeat(4_000), "incremental"), ...Array.from({ length: times }, () => indexed(FIRST))]));
}

export const hpack: readonly H2Case[] = [
  ...section(
    "hpack/2.3.3",
    "RFC 7541 2.3.3",
    broken("an index of a table that has no such entry", behind(indexed(70))),
    broken("a name's index of a table that has no such entry", behind(literal(70, "test"))),
    broken("the first index of an empty dynamic table", behind(indexed(FIRST))),
    broken("a name's index of an empty dynamic table, incremental", behind(literal(FIRST, "test", "incremental"))),
    broken("a name's index of an empty dynamic table, never indexed", behind(literal(FIRST, "test", "never"))),
    broken("an index far beyond", behind(indexed(2 ** 31))),
    ["the last index of the static table", [behind(indexed(61)), reply(1)], [GET]],
  ),
  ...section(
    "hpack/4.2",
    "RFC 7541 4.2, rule 53",
    broken("a table size update at the end of a block", behind(sizeUpdate(1))),
    broken("a table size update between fields", headers(1, Buffer.concat([ask.subarray(0, block([[":method", "GET"]]).length), sizeUpdate(1), ask.subarray(block([[":method", "GET"]]).length)]))),
    ["a table size update to 0", [ahead(sizeUpdate(0)), reply(1)], [GET]],
    ["a table size update to the limit", [ahead(sizeUpdate(4096)), reply(1)], [GET]],
    ["a table of size 0 keeps nothing", [headers(1, Buffer.concat([sizeUpdate(0), ask, literal("x-kept", "1", "incremental")])), reply(1), use(3), connectionError(COMPRESSION_ERROR)], [sees(["x-kept", "1"])]],
    ["a table size update evicts", [keep(1, "1"), reply(1), headers(3, Buffer.concat([sizeUpdate(0), sizeUpdate(4096), ask, indexed(FIRST)])), connectionError(COMPRESSION_ERROR)], [GET]],
  ),
  ...section(
    "hpack/5.2",
    "RFC 7541 5.2, rule 53",
    broken("a string with padding of more than 7 bits", behind(coded(Buffer.concat([huffman("test"), Buffer.from([0xff])])))),
    broken("a string padded with zeros", behind(coded(huffman("test", "0".repeat(4))))),
    broken("a string with EOS in it", behind(coded(huffman([...Buffer.from("te"), EOS, ...Buffer.from("st")])))),
    broken("a string that ends in EOS", behind(coded(huffman([...Buffer.from("test"), EOS])))),
    broken("a string of nothing but padding", behind(coded(Buffer.from([0xff])))),
    broken("a string of EOS alone", behind(coded(hex("ff ff ff ff")))),
    broken("padding with one zero in it", behind(coded(huffman("te", "11101")))),
    ["a string without any bytes, Huffman-coded", [behind(coded(Buffer.alloc(0))), reply(1)], [sees(["x-test", ""])]],
    ["a string that needs no padding", [behind(coded(huffman("aaaaaaaa"))), reply(1)], [sees(["x-test", "aaaaaaaa"])]],
    ["every printable character, Huffman-coded", [behind(coded(huffman(printable()))), reply(1)], [sees(["x-test", printable()])]],
    ["every byte above 127, Huffman-coded", [behind(coded(huffman(highBytes()))), reply(1)], [sees(["x-test", highBytes()])]],
  ),
  ...section(
    "hpack/5.1",
    "RFC 7541 5.1, rule 53",
    broken("an integer without an end", behind(hex("ff ff ff ff ff ff ff ff ff ff ff ff"))),
    broken("an integer above 2^32", behind(hex("ff 80 80 80 80 10"))),
    broken("an integer above 2^64", behind(hex("ff ff ff ff ff ff ff ff ff ff 01"))),
    broken("an index with a tail of a hundred zeros", behind(Buffer.concat([hex("ff"), Buffer.alloc(100, 0x80), hex("00")]))),
    broken("a block that ends inside an integer", behind(hex("ff 80"))),
    broken("a block that ends inside a name's length", behind(hex("00 7f"))),
    broken("a block that ends inside a name", behind(hex("00 05 78 2d"))),
    broken("a block that ends before the value", behind(Buffer.concat([hex("00"), text("x-test")]))),
    broken("a block that ends inside a value", behind(hex("00 01 78 05 61 62"))),
    broken("a string of 2^28 bytes, which are not there", behind(hex("00 01 78 7f 81 ff ff 7f"))),
    broken("a string that says 2^32 + 1 bytes: the length must not wrap around", behind(hex("00 01 78 7f 82 ff ff ff 0f 61"))),
    ["a length with one superfluous zero", [behind(Buffer.concat([hex("00"), text("x-test"), hex("7f 80 00"), Buffer.alloc(127, "v")])), reply(1)], [sees(["x-test", "v".repeat(127)])]],
  ),
  ...section(
    "hpack/6.1",
    "RFC 7541 6.1",
    broken("index 0", behind(indexed(0))),
    broken("a block of index 0 alone", headers(1, indexed(0))),
  ),
  ...section(
    "hpack/6.3",
    "RFC 7541 6.3, rule 53",
    broken("a table size update above the limit", ahead(sizeUpdate(4097))),
    broken("a table size update of 2^31", ahead(sizeUpdate(2 ** 31))),
    broken("a table size update without an end", ahead(hex("3f ff ff ff ff ff ff ff ff ff"))),
    broken("a table size update above the limit behind a good one", ahead(sizeUpdate(0), sizeUpdate(1_000_000))),
    ["the client's HEADER_TABLE_SIZE has nothing to do with the server's limit", [settings([Setting.HEADER_TABLE_SIZE, 65_536]), settingsAcks(2), ahead(sizeUpdate(65_536)), connectionError(COMPRESSION_ERROR)], "nothing"],
  ),

  ...section(
    "hpack/table",
    "RFC 7541 2.3.2, 4.1, 4.4, rule 52",
    ["an entry is there for the next request", [keep(1, "one"), reply(1), use(3), reply(3)], [sees(["x-kept", "one"]), sees(["x-kept", "one"])]],
    ["the newest entry comes first", [headers(1, Buffer.concat([ask, literal("x-kept", "old", "incremental"), literal("x-kept", "new", "incremental")])), reply(1), use(3, FIRST), use(5, FIRST + 1), reply(3), reply(5)], [GET, sees(["x-kept", "new"]), sees(["x-kept", "old"])]],
    ["an entry's name alone", [keep(1, "one"), reply(1), headers(3, Buffer.concat([ask, literal(FIRST, "two")])), reply(3)], [sees(["x-kept", "one"]), sees(["x-kept", "two"])]],
    ["an entry with the name of an entry that its insertion evicts", [headers(1, Buffer.concat([sizeUpdate(60), ask, literal("x-kept", "one", "incremental")])), reply(1), headers(3, Buffer.concat([ask, literal(FIRST, "another", "incremental")])), reply(3), use(5), reply(5)], [sees(["x-kept", "one"]), sees(["x-kept", "another"]), sees(["x-kept", "another"])]],
    ["a table filled to its last byte", [headers(1, Buffer.concat([ask, ...Array.from({ length: FULL }, (_, i) => entry(i))])), reply(1), use(3, FIRST), use(5, FIRST + FULL - 1), reply(3), reply(5)], [GET, sees(entryField(FULL - 1)), sees(entryField(0))]],
    ["one more entry evicts the oldest", [headers(1, Buffer.concat([ask, ...Array.from({ length: FULL + 1 }, (_, i) => entry(i))])), reply(1), use(3, FIRST + FULL - 1), reply(3), use(5, FIRST + FULL), connectionError(COMPRESSION_ERROR)], [GET, sees(entryField(1))]],
    ["an entry larger than the table empties it", [keep(1, "one"), reply(1), headers(3, Buffer.concat([ask, literal("x-big", "b".repeat(4096), "incremental")])), reply(3), use(5), connectionError(COMPRESSION_ERROR)], [GET, GET]],
    ["an entry of exactly the table's size", [headers(1, Buffer.concat([ask, literal("x-big", "b".repeat(4096 - 32 - 5), "incremental")])), reply(1), use(3), reply(3)], [GET, sees(["x-big", "b".repeat(4096 - 32 - 5)])]],
    ["duplicates are entries of their own", [headers(1, Buffer.concat([ask, literal("x-kept", "one", "incremental"), literal("x-kept", "one", "incremental")])), reply(1), use(3, FIRST + 1), reply(3)], [GET, sees(["x-kept", "one"])]],
    ["pseudo-headers from the dynamic table", [headers(1, Buffer.concat([indexed(2), indexed(6), literal(4, "/indexed", "incremental"), literal(1, "a.test", "incremental")])), reply(1), headers(3, Buffer.concat([indexed(2), indexed(6), indexed(FIRST + 1), indexed(FIRST)])), reply(3)], [{ line: "GET /indexed HTTP/1.1" }, { line: "GET /indexed HTTP/1.1" }]],
    ["fragments that split every representation", [headers(1, Buffer.alloc(0), unfinished), ...pieces(Buffer.concat([ask, literal("x-kept", "one", "incremental", true), indexed(FIRST)]), 7).map((piece, i, all) => continuation(1, piece, i === all.length - 1)), reply(1)], [GET]],
  ),

  ...section(
    "hpack/sync",
    "RFC 9113 4.3, rule 52",
    ["the block of a request that is malformed counts", [headers(1, Buffer.concat([ask, literal("x-kept", "one", "incremental"), literal("Bad", "1")])), streamError(1, PROTOCOL_ERROR), use(3), reply(3)], [sees(["x-kept", "one"])]],
    ["the block of a request whose field list is too long counts", [headers(1, Buffer.concat([ask, literal("x-kept", "one", "incremental"), ...Array.from({ length: 300 }, (_, i) => literal(`x-${i}`, "1"))])), refusal(1), use(3), reply(3)], [sees(["x-kept", "one"])]],
    ["the block of a request that its client cancels counts", [keep(1, "one"), rstStream(1), use(3), reply(3)], "anything"],
    ["the block of trailers counts", [post(1), data(1, "test", more), headers(1, literal("x-kept", "one", "incremental")), reply(1), use(3), reply(3)], [line("POST"), sees(["x-kept", "one"])]],
    ["the block of trailers with a pseudo-header counts", [post(1), data(1, "test", more), headers(1, Buffer.concat([literal(":method", "GET"), literal("x-kept", "one", "incremental")])), streamError(1, PROTOCOL_ERROR), use(3, FIRST), reply(3)], "anything"],
    ["the block of a stream that the server has reset counts", [headers(1, asks("POST", "/", ["Bad", "1"]), more), streamError(1, PROTOCOL_ERROR), headers(1, literal("x-kept", "one", "incremental")), use(3), anyOf(3)], "anything"],
    [
      "the block of a refused stream counts",
      [
        async (client) => {
          const most = peerSetting(client, Setting.MAX_CONCURRENT_STREAMS, 0);
          client.send(...Array.from({ length: most }, (_, i) => get(2 * i + 1, "/held")));
          client.send(keep(2 * most + 1, "refused"));
          await client.expect(streamError(2 * most + 1, REFUSED_STREAM, PROTOCOL_ERROR));
          client.send(rstStream(1), use(2 * most + 3));
          await client.roundTrip();
        },
      ],
      "anything",
      { script: hold },
    ],
    ["an error in the block of trailers is one of the connection", [post(1), data(1, "test", more), headers(1, indexed(0)), connectionError(COMPRESSION_ERROR)], "nothing whole"],
    ["an error in the block of a malformed request is one of the connection", [headers(1, Buffer.concat([literal("Bad", "1"), ask, indexed(0)])), connectionError(COMPRESSION_ERROR)], "nothing"],
    ["an error in a block on a closed stream is one of the connection", [get(1), reply(1), headers(1, indexed(0)), connectionError(COMPRESSION_ERROR, STREAM_CLOSED, PROTOCOL_ERROR)], [GET]],
  ),

  ...section(
    "hpack/limits",
    "rule 54, RFC 9113 10.5.1, CVE-2016-6581",
    ["a field of 20,000 bytes", [headers(1, Buffer.concat([ask, literal("x-big", "b".repeat(15_000))]), unfinished), continuation(1, literal("x-two", "b".repeat(5_000))), reply(1)], [GET]],
    ["a field referred to 10 times: 40 KB in 4", [bomb(1, 10), refusal(1)], "nothing"],
    ["a field referred to 10,000 times: 40 MB in 14 KB", [bomb(1, 10_000), refusal(1)], "nothing"],
    ["a bomb does no harm to the next request", [bomb(1, 20), refusal(1), get(3, "/after"), either(closed, reply(3))], "anything"],
    ["5,000 fields of no length", [headers(1, Buffer.concat([ask, ...Array.from({ length: 5_000 }, () => indexed(15))])), refusal(1)], "nothing"],
    ["90 fields", [headers(1, Buffer.concat([ask, ...Array.from({ length: 90 }, (_, i) => literal(`x-${i}`, "1"))])), reply(1)], [GET]],
    ["a block of 100 KB in eight frames", [headers(1, Buffer.concat([ask, literal("x-a", "b".repeat(12_000))]), unfinished), ...Array.from({ length: 7 }, (_, i) => continuation(1, literal(`x-${i}`, "b".repeat(12_000)), i === 6)), refusal(1)], "nothing"],
    ["trailers of 100 KB", [post(1), data(1, "test", more), headers(1, literal("x-a", "b".repeat(12_000)), unfinished), ...Array.from({ length: 7 }, (_, i) => continuation(1, literal(`x-${i}`, "b".repeat(12_000)), i === 6)), anyError(1)], "nothing whole"],
    ["an empty field name", [headers(1, Buffer.concat([ask, literal("", "1")])), streamError(1, PROTOCOL_ERROR)], "nothing"],
  ),
];

function printable(): string {
  return Buffer.from(Array.from({ length: 94 }, (_, i) => i + 33)).toString("latin1");
}

function highBytes(): string {
  return Buffer.from(Array.from({ length: 128 }, (_, i) => i + 128)).toString("latin1");
}

function pieces(bytes: Buffer, count: number): Buffer[] {
  const size = Math.ceil(bytes.length / count);
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

/** A reply, or an error of the whole connection, but none of compression. */
function anyOf(stream: number): Wish {
  return { ...reply(stream), after: "may end", look: (client) => (client.gone || client.conversation.goaways.length > 0 ? client.conversation.goaways.every(({ code }) => code !== COMPRESSION_ERROR) || undefined : reply(stream).look(client)) };
}

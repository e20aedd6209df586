/**
 * `npm run bench:hpack`: what a header block costs to decode and to encode, in ns.
 *
 * The best of many short runs: the machine's other work only adds. Blocks are those of a connection in use, tables warm, unless it says otherwise.
 */
import { HpackDecoder } from "../src/http/h2/hpack/decoder.ts";
import { HpackEncoder } from "../src/http/h2/hpack/encoder.ts";
import { HeaderBlock } from "../src/http/h2/hpack/header-block.ts";

const RUNS = 60;
const BLOCKS = 20_000;
/** Messages that take turns. */
const MESSAGES = 256;
const TABLE = 4_096;
const LIST_LIMIT = 32 * 1024;
const FIELD_LIMIT = 100;

type Fields = readonly (readonly [name: string, value: string])[];

const SESSION = "session=5f0c1b7e9a3d4c6f8e2a1b0c9d8e7f60";

const request = (path: string): Fields => [
  [":method", "GET"],
  [":scheme", "https"],
  [":authority", "shop.example.com"],
  [":path", path],
  ["user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"],
  ["accept", "application/json, text/plain, */*"],
  ["accept-language", "en-US,en;q=0.5"],
  ["accept-encoding", "gzip, deflate, br, zstd"],
  ["referer", "https://shop.example.com/"],
  ["cookie", SESSION],
  ["sec-fetch-mode", "cors"],
  ["x-client-version", "4.12.0"],
];
const reply = (i: number): Fields => [
  ["Server", "nginx/1.28.0"],
  ["Date", "Fri, 21 Nov 2025 10:15:00 GMT"],
  ["Content-Type", "application/json; charset=utf-8"],
  ["Content-Length", `${1_000 + 37 * i}`],
  ["Cache-Control", "private, max-age=60"],
  ["Vary", "Accept-Encoding"],
];

/** Fields as they lie in a buffer that was read: `head` and five numbers for each. */
interface Message {
  readonly head: Buffer;
  readonly offsets: Int32Array;
}

function received(fields: Fields): Message {
  const offsets: number[] = [];
  let text = "";
  for (const [name, value] of fields) {
    offsets.push(text.length, text.length + name.length, text.length + name.length + 2, text.length + name.length + 2 + value.length);
    text += `${name}: ${value}\r\n`;
  }
  return { head: Buffer.from(text, "latin1"), offsets: Int32Array.from(offsets) };
}

const out = Buffer.alloc(64 * 1024);

function encode(encoder: HpackEncoder, status: number, { head, offsets }: Message): number {
  encoder.begin(out, 0);
  if (status > 0) encoder.status(status);
  for (let i = 0; i < offsets.length; i += 4) encoder.field(head, offsets[i]!, offsets[i + 1]!, offsets[i + 2]!, offsets[i + 3]!);
  return encoder.position;
}

/** Blocks of one connection, whose encoder has sent each message once before. */
function warmBlocks(messages: readonly Message[]): { first: Buffer[]; later: Buffer[] } {
  const encoder = new HpackEncoder();
  const [first, later] = [0, 1].map(() => messages.map((message) => Buffer.from(out.subarray(0, encode(encoder, 0, message)))));
  return { first: first!, later: later! };
}

/** Best time of one call, in ns. */
function measure(call: (i: number) => void): number {
  let best = Infinity;
  for (let run = 0; run < RUNS; run++) {
    const began = performance.now();
    for (let i = 0; i < BLOCKS; i++) call(i % MESSAGES);
    best = Math.min(best, performance.now() - began);
  }
  return (best * 1e6) / BLOCKS;
}

function show(what: string, bytes: number, ns: number): void {
  console.log(`${what.padEnd(72)} ${bytes.toFixed(0).padStart(5)} bytes ${ns.toFixed(0).padStart(6)} ns`);
}

const average = (blocks: readonly Buffer[]): number => blocks.reduce((sum, { length }) => sum + length, 0) / blocks.length;
const messages = <T>(make: (i: number) => T): T[] => Array.from({ length: MESSAGES }, (_, i) => make(i));

const block = new HeaderBlock();

function decode(decoder: HpackDecoder, bytes: Buffer): void {
  const fault = decoder.decode(bytes, 0, bytes.length, block, LIST_LIMIT, FIELD_LIMIT);
  if (fault !== undefined || block.malformed !== undefined || block.tooLarge) throw new Error(fault ?? block.malformed ?? "too large");
}

function decoding(what: string, fields: (i: number) => Fields): void {
  const { first, later } = warmBlocks(messages((i) => received(fields(i))));
  const decoder = new HpackDecoder(TABLE);
  for (const bytes of first) decode(decoder, bytes);
  show(`decode ${what}`, average(later), measure((i) => decode(decoder, later[i]!)));
}

decoding("a request: 12 fields, all of them indexed", () => request("/"));
decoding("a request: 12 fields, all but a path of 30 bytes indexed", (i) => request(`/api/v1/products/${10_000 + i}/reviews`));
const { first } = warmBlocks([received(request("/api/v1/products/10000/reviews"))]);
show("decode a connection's first request, decoder included", first[0]!.length, measure(() => decode(new HpackDecoder(TABLE), first[0]!)));

const replies = messages((i) => received(reply(i)));
const encoder = new HpackEncoder();
show("encode a reply: status and 6 fields, all but its length indexed", encode(encoder, 200, replies[0]!) && encode(encoder, 200, replies[0]!), measure((i) => encode(encoder, 200, replies[i]!)));
show("encode a connection's first reply, encoder included", encode(new HpackEncoder(), 200, replies[0]!), measure((i) => encode(new HpackEncoder(), 200, replies[i]!)));
const requests = messages((i) => received(request(`/api/v1/products/${10_000 + i}/reviews`)));
const upstream = new HpackEncoder();
show("encode a request: 12 fields, all but a path of 30 bytes indexed", encode(upstream, 0, requests[0]!) && encode(upstream, 0, requests[0]!), measure((i) => encode(upstream, 0, requests[i]!)));
const strangers = Array.from({ length: MESSAGES }, (_, i) => received([...reply(i), ["X-Trace", `${i}-0123456789abcdef`]]));
const thrashed = new HpackEncoder();
show("encode a reply with one more field that the table takes and never has", encode(thrashed, 200, strangers[0]!) && encode(thrashed, 200, strangers[1]!), measure((i) => encode(thrashed, 200, strangers[i]!)));

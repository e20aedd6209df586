/** The examples of RFC 7541 appendix C. */

export type FieldLine = readonly [name: string, value: string];

export interface ExampleBlock {
  readonly section: string;
  /** The block in hexadecimal. */
  readonly bytes: string;
  readonly fields: readonly FieldLine[];
  /** The dynamic table after it, the newest entry first. */
  readonly table: readonly FieldLine[];
  readonly tableSize: number;
}

export interface Example {
  readonly what: string;
  readonly maxTableSize: number;
  /** Sent one after the other. */
  readonly blocks: readonly ExampleBlock[];
}

const GET: FieldLine = [":method", "GET"];
const AUTHORITY: FieldLine = [":authority", "www.example.com"];
const NO_CACHE: FieldLine = ["cache-control", "no-cache"];
const CUSTOM: FieldLine = ["custom-key", "custom-value"];
const HTTP: FieldLine = [":scheme", "http"];

const REQUESTS: readonly Omit<ExampleBlock, "section" | "bytes">[] = [
  { fields: [GET, HTTP, [":path", "/"], AUTHORITY], table: [AUTHORITY], tableSize: 57 },
  { fields: [GET, HTTP, [":path", "/"], AUTHORITY, NO_CACHE], table: [NO_CACHE, AUTHORITY], tableSize: 110 },
  { fields: [GET, [":scheme", "https"], [":path", "/index.html"], AUTHORITY, CUSTOM], table: [CUSTOM, NO_CACHE, AUTHORITY], tableSize: 164 },
];

const PRIVATE: FieldLine = ["cache-control", "private"];
const DATE: FieldLine = ["date", "Mon, 21 Oct 2013 20:13:21 GMT"];
const NEXT_DATE: FieldLine = ["date", "Mon, 21 Oct 2013 20:13:22 GMT"];
const LOCATION: FieldLine = ["location", "https://www.example.com"];
const GZIP: FieldLine = ["content-encoding", "gzip"];
const SET_COOKIE: FieldLine = ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"];

const REPLIES: readonly Omit<ExampleBlock, "section" | "bytes">[] = [
  { fields: [[":status", "302"], PRIVATE, DATE, LOCATION], table: [LOCATION, DATE, PRIVATE, [":status", "302"]], tableSize: 222 },
  { fields: [[":status", "307"], PRIVATE, DATE, LOCATION], table: [[":status", "307"], LOCATION, DATE, PRIVATE], tableSize: 222 },
  { fields: [[":status", "200"], PRIVATE, NEXT_DATE, LOCATION, GZIP, SET_COOKIE], table: [SET_COOKIE, GZIP, NEXT_DATE], tableSize: 215 },
];

function blocks(section: string, messages: readonly Omit<ExampleBlock, "section" | "bytes">[], bytes: readonly string[]): ExampleBlock[] {
  return messages.map((message, i) => ({ ...message, section: `${section}.${i + 1}`, bytes: bytes[i]! }));
}

export const REQUESTS_WITH_HUFFMAN: Example = {
  what: "requests with Huffman coding",
  maxTableSize: 4096,
  blocks: blocks("C.4", REQUESTS, [
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
  ]),
};

export const EXAMPLES: readonly Example[] = [
  ...(
    [
      ["C.2.1", "a literal with indexing", "400a637573746f6d2d6b65790d637573746f6d2d686561646572", ["custom-key", "custom-header"], true],
      ["C.2.2", "a literal without indexing", "040c2f73616d706c652f70617468", [":path", "/sample/path"], false],
      ["C.2.3", "a literal never indexed", "100870617373776f726406736563726574", ["password", "secret"], false],
      ["C.2.4", "an indexed field", "82", GET, false],
    ] as const
  ).map(([section, what, bytes, field, added]): Example => ({
    what,
    maxTableSize: 4096,
    blocks: [{ section, bytes, fields: [field], table: added ? [field] : [], tableSize: added ? 55 : 0 }],
  })),
  {
    what: "requests without Huffman coding",
    maxTableSize: 4096,
    blocks: blocks("C.3", REQUESTS, [
      "828684410f7777772e6578616d706c652e636f6d",
      "828684be58086e6f2d6361636865",
      "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ]),
  },
  REQUESTS_WITH_HUFFMAN,
  {
    what: "replies without Huffman coding, with evictions",
    maxTableSize: 256,
    blocks: blocks("C.5", REPLIES, [
      "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
      "4803333037c1c0bf",
      "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
    ]),
  },
  {
    what: "replies with Huffman coding, with evictions",
    maxTableSize: 256,
    blocks: blocks("C.6", REPLIES, [
      "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
      "4883640effc1c0bf",
      "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ]),
  },
];

/** Integers (C.1) by the size update that says them. */
export const SIZE_UPDATES: readonly { readonly section: string; readonly bytes: string; readonly size: number }[] = [
  { section: "C.1.1", bytes: "2a", size: 10 },
  { section: "C.1.2", bytes: "3f9a0a", size: 1337 },
];

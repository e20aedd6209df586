/** What targets send, through the whole data plane: a client gets exactly that reply, or is told that it is broken; and the same however its bytes come. */
import { data, FrameReader, frame, FrameType, goaway, headers, rstStream, settings, windowUpdate } from "../../support/h2-frames.ts";
import { type Message, MessageReader } from "../../support/messages.ts";
import { type Fuzzer, hold, shown } from "../fuzzer.ts";
import type { Peer } from "../memory-network.ts";
import { FuzzedPlane, PORTS } from "../plane.ts";
import { diceOf, pieces } from "../segments.ts";
import { H1_WORDS, h1Replies } from "./h1-messages.ts";

const plane = await FuzzedPlane.start();

/** An input's first byte says what is asked, and whether the target ends when it has answered; the rest is the answer. */
const ASKED = [
  "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
  "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
  "GET / HTTP/1.0\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\r\n",
];
const NEXT = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
const PLAIN = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext";

interface Reply {
  readonly status: number;
  readonly state: Message["state"];
  readonly text: string;
}

function repliesOf(client: Peer, asked: string, next: boolean): readonly Reply[] {
  const reader = new MessageReader("reply");
  reader.methods.push(asked.split(" ", 1)[0]!, ...(next ? ["GET"] : []));
  reader.feed(client.bytes);
  hold(reader.malformed === undefined, `the client gets malformed bytes: ${reader.malformed} in ${shown(client.bytes)}`);
  reader.finish(client.ended !== "reset");
  return reader.messages.map(({ status, state, text }) => ({ status, state, text }));
}

/** What a client may rely on: replies that are whole. Where one breaks, how much of it came is a matter of time. */
function wholeOnes(replies: readonly Reply[]): string {
  const first = replies.find(({ status }) => status >= 200 && status !== 502);
  return first?.state === "complete" ? JSON.stringify(first) : "";
}

function seedsOf(replies: readonly Buffer[]): Buffer[] {
  return replies.map((bytes, i) => Buffer.concat([Buffer.of((i % ASKED.length) | (i % 3 === 0 ? 0x80 : 0)), bytes]));
}

function h1Conversation(input: Buffer, parts: readonly Buffer[], cut: boolean): readonly Reply[] {
  const asked = ASKED[(input[0]! & 0x7f) % ASKED.length]!;
  const ends = input[0]! >= 0x80;
  let client: Peer | undefined;
  let first: Peer | undefined;
  let next = false;
  plane.play(
    (peer, opened) => {
      if (opened) return;
      const text = peer.bytes.toString("latin1");
      // It is asked again on the same connection only when all was well.
      if (text.includes("GET /next ")) {
        if (!text.includes("GET /next ", text.indexOf("GET /next ") + 1) && peer.ended === "open") peer.send(Buffer.from(PLAIN));
        return;
      }
      if (first !== undefined) return;
      first = peer;
    },
    (network) => {
      client = network.dial(PORTS.h1);
      client.send(Buffer.from(asked));
      network.pump();
      hold(first !== undefined, "the request does not reach the target");
      for (const part of parts) {
        first.send(part);
        network.pump();
      }
      if (ends) first.end();
      network.pump();
      if (client.ended === "open" && asked.includes("HTTP/1.1") && !asked.includes("close") && !asked.includes("websocket")) {
        next = true;
        client.send(Buffer.from(NEXT));
        network.pump();
      }
      client.end();
      network.pump();
    },
    cut ? diceOf(input) : undefined,
  );
  const replies = repliesOf(client!, asked, next);
  const finals = replies.filter(({ status }) => status >= 200);
  hold(finals.length <= (next ? 2 : 1), `${finals.length} replies to ${next ? 2 : 1} requests: ${shown(client!.bytes)}`);
  return replies;
}

export const targetH1: Fuzzer = {
  name: "target-h1",
  words: H1_WORDS,
  seeds: () => seedsOf(h1Replies()),
  run(input) {
    if (input.length === 0) return "nothing";
    const answer = input.subarray(1);
    const whole = h1Conversation(input, [answer], false);
    const cut = h1Conversation(input, pieces(answer), true);
    hold(wholeOnes(whole) === wholeOnes(cut), `in one piece the client gets ${shown(wholeOnes(whole))}, in several ${shown(wholeOnes(cut))}`);
    return `${(input[0]! & 0x7f) % ASKED.length} ${whole.map(({ status, state }) => `${status} ${state}`).join()}`;
  },
};

function h2Conversation(input: Buffer, parts: readonly Buffer[], cut: boolean): readonly Reply[] {
  const asked = ASKED[(input[0]! & 0x7f) % 4]!;
  let client: Peer | undefined;
  let first: Peer | undefined;
  plane.play(
    (peer, opened) => {
      if (opened && first === undefined) {
        first = peer;
        peer.send(settings());
      }
    },
    (network) => {
      client = network.dial(PORTS.h2c);
      client.send(Buffer.from(asked));
      network.pump();
      hold(first !== undefined, "no connection reaches the target");
      for (const part of parts) {
        first.send(part);
        network.pump();
      }
      if (input[0]! >= 0x80) first.end();
      network.pump();
      client.end();
      network.pump();
      // What we send is HTTP/2 to its end.
      const sent = first.bytes;
      const reader = new FrameReader();
      reader.feed(sent.subarray(24));
      hold(reader.unread.length === 0 || first.ended === "reset", `${reader.unread.length} bytes of no frame at the target`);
    },
    cut ? diceOf(input) : undefined,
  );
  return repliesOf(client!, asked, false);
}

const OK = headers(1, [[":status", "200"], ["content-length", "5"]], { endStream: false });
const H2_REPLIES: readonly Buffer[] = [
  Buffer.concat([OK, data(1, "hello")]),
  headers(1, [[":status", "204"]]),
  Buffer.concat([headers(1, [[":status", "100"]], { endStream: false }), headers(1, [[":status", "103"], ["link", "x"]], { endStream: false }), OK, data(1, "hello")]),
  Buffer.concat([headers(1, [[":status", "200"]], { endStream: false }), data(1, "hel", { endStream: false }), data(1, "lo", { endStream: false }), headers(1, [["x-sum", "1"]])]),
  Buffer.concat([headers(1, [[":status", "200"], ["set-cookie", "a=b"], ["set-cookie", "c=d"], ["x-\xe9", "1"]], { endStream: false }), data(1, "hello", { pad: 10 })]),
  rstStream(1, 7),
  Buffer.concat([OK, rstStream(1, 0)]),
  Buffer.concat([goaway(0, 0), OK, data(1, "hello")]),
  Buffer.concat([settings([4, 0]), settings([3, 0]), windowUpdate(1, 10), windowUpdate(0, 2 ** 31 - 1), OK, data(1, "hello")]),
  Buffer.concat([headers(1, Buffer.from("\x88", "latin1"), { endStream: false, endHeaders: false }), frame(FrameType.CONTINUATION, 4, 1, "\x5c\x015"), data(1, "hello")]),
  headers(1, [[":status", "302"], ["location", "/a\r\nx: y"]]),
  headers(1, [[":status", "101"], ["upgrade", "h2c"]]),
  Buffer.concat([headers(1, [[":status", "200"], ["content-length", "500"]], { endStream: false }), data(1, "hello")]),
];

export const targetH2: Fuzzer = {
  name: "target-h2",
  words: [...H2_REPLIES.map((bytes) => bytes.toString("latin1")), ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((type) => frame(type, 0, 1, "").toString("latin1")), "\x88", "\x89", "\x8d", "\x00\x0econtent-length\x015", "\x00\x11transfer-encoding\x07chunked", "\x00\x0aconnection\x05close", "\x00\x04X-Up\x01a", "\x00\x07:status\x03200", "\r\n", "\0", "200", "100", "204", "304"],
  seeds: () => seedsOf(H2_REPLIES),
  run(input) {
    if (input.length === 0) return "nothing";
    const answer = input.subarray(1);
    const whole = h2Conversation(input, [answer], false);
    const cut = h2Conversation(input, pieces(answer), true);
    // What goes beyond a length may be seen before the client has all of it, or behind that.
    hold(wholeOnes(whole) === "" || wholeOnes(cut) === "" || wholeOnes(whole) === wholeOnes(cut), `in one piece the client gets ${shown(wholeOnes(whole))}, in several ${shown(wholeOnes(cut))}`);
    return `${(input[0]! & 0x7f) % 4} ${whole.map(({ status, state }) => `${status} ${state}`).join()}`;
  },
};

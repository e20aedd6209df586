/** What clients send, through the whole data plane: each request reaches the target well-formed and once, the same however its bytes come. */
import { Conversation } from "../../support/h2-conversation.ts";
import { FrameReader, frame, FrameType, PREFACE, settings, windowUpdate } from "../../support/h2-frames.ts";
import { MessageReader } from "../../support/messages.ts";
import { connection } from "../../conformance/h2/connection.ts";
import { downgrade } from "../../conformance/h2/downgrade.ts";
import { frames } from "../../conformance/h2/frames.ts";
import { generic } from "../../conformance/h2/generic.ts";
import { hpack } from "../../conformance/h2/hpack.ts";
import { messages } from "../../conformance/h2/messages.ts";
import { type Fuzzer, hold, shown } from "../fuzzer.ts";
import type { MemoryNetwork, Peer } from "../memory-network.ts";
import { FuzzedPlane, PORTS } from "../plane.ts";
import { diceOf, pieces } from "../segments.ts";
import { H1_WORDS, h1Requests } from "./h1-messages.ts";

const plane = await FuzzedPlane.start();

/** A target that answers each whole request, and reads strictly. */
class Target {
  readonly requests: string[] = [];
  malformed: string | undefined;
  private readonly readers = new Map<Peer, { readonly reader: MessageReader; read: number; answered: number }>();
  private readonly onRequest: (method: string) => void;

  constructor(onRequest: (method: string) => void = () => {}) {
    this.onRequest = onRequest;
  }

  readonly hear = (peer: Peer): void => {
    let state = this.readers.get(peer);
    if (state === undefined) this.readers.set(peer, (state = { reader: new MessageReader("request", ({ method }) => this.onRequest(method)), read: 0, answered: 0 }));
    const { reader } = state;
    for (; state.read < peer.received.length; state.read++) reader.feed(peer.received[state.read]!);
    this.malformed ??= reader.malformed;
    for (; state.answered < reader.messages.length; state.answered++) {
      const message = reader.messages[state.answered]!;
      if (message.state !== "complete") break;
      const trailers = message.trailers.map(([name, value]) => `${name}: ${value}`).join("\n");
      this.requests.push(`${message.head}${message.text}${trailers}`);
      peer.send(Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${message.method === "HEAD" ? 0 : 2}\r\n\r\n${message.method === "HEAD" ? "" : "ok"}`));
    }
    if (peer.ended === "shutdown") peer.end();
  };
}

function talk(network: MemoryNetwork, port: number, parts: readonly Buffer[], behind: (client: Peer) => void): Peer {
  const client = network.dial(port);
  for (const part of parts) {
    client.send(part);
    network.pump();
  }
  behind(client);
  network.pump();
  client.end();
  network.pump();
  client.reset();
  return client;
}

interface Told {
  readonly requests: readonly string[];
  readonly answers: readonly (number | string)[];
}

function h1Conversation(parts: readonly Buffer[], chance: Parameters<FuzzedPlane["play"]>[2]): Told {
  const reader = new MessageReader("reply");
  const target = new Target((method) => reader.methods.push(method));
  let client: Peer | undefined;
  plane.play(target.hear, (network) => (client = talk(network, PORTS.h1, parts, () => {})), chance);
  hold(target.malformed === undefined, `malformed bytes at the target: ${target.malformed}`);
  const { bytes } = client!;
  reader.feed(bytes);
  // What we answer ourselves to HEAD has a length and no body, and the reader does not know of it.
  const all = Buffer.concat(parts).toString("latin1");
  if (!all.includes("HEAD")) hold(reader.malformed === undefined, `the client gets malformed bytes: ${reader.malformed} in ${shown(bytes)}`);
  return { requests: target.requests, answers: reader.messages.map(({ status }) => status) };
}

export const clientH1: Fuzzer = {
  name: "client-h1",
  words: H1_WORDS,
  seeds: h1Requests,
  run(input) {
    const whole = h1Conversation([input], undefined);
    const cut = h1Conversation(pieces(input), diceOf(input));
    hold(JSON.stringify(whole.requests) === JSON.stringify(cut.requests), `in one piece the target gets ${shown(JSON.stringify(whole.requests))}, in several ${shown(JSON.stringify(cut.requests))}`);
    // What is wrong with a line is said when the line is whole, or when it came in one piece with others.
    const later = whole.answers.slice(cut.answers.length).every((status) => Number(status) >= 400);
    if (!input.includes("HEAD")) hold(later && whole.answers.slice(0, cut.answers.length).join() === cut.answers.join(), `in one piece the client gets ${whole.answers.join()}, in several ${cut.answers.join()}`);
    return `${whole.requests.length} ${whole.answers.join()}`;
  },
};

function h2Conversation(input: Buffer, parts: readonly Buffer[], chance: Parameters<FuzzedPlane["play"]>[2]): Told {
  const conversation = new Conversation();
  const [incoming, outgoing] = [new FrameReader(), new FrameReader()];
  const target = new Target();
  let client: Peer | undefined;
  const hello = settings();
  for (const each of [...outgoing.feed(hello), ...outgoing.feed(input)]) conversation.sent(each);
  plane.play(target.hear, (network) => (client = talk(network, PORTS.h1, [Buffer.concat([PREFACE, hello]), ...parts], () => {})), chance);
  hold(target.malformed === undefined, `malformed bytes at the target: ${target.malformed}`);
  // The connection's preface is whole, so whatever comes are frames.
  for (const each of incoming.feed(client!.bytes)) conversation.received(each);
  hold(incoming.unread.length === 0 || client!.ended === "reset", `${incoming.unread.length} bytes of no frame at the end`);
  hold(conversation.violation === undefined, `the client gets frames against the rules: ${conversation.violation}; ${conversation.story.slice(-10).join(", ")}`);
  const answers = [...conversation.streams].map(([id, { status }]) => `${id}: ${status || conversation.resets.get(id)}`);
  return { requests: target.requests.toSorted(), answers: [...answers, ...conversation.goaways.map(({ code }) => `goaway ${code}`)] };
}

const H2_WORDS: readonly string[] = [
  ...[0, 1, 2, 3, 4, 6, 7, 8, 9, 10].map((type) => frame(type, 0, 1, "")),
  frame(FrameType.HEADERS, 5, 3, "\x82\x86\x84\x41\x01a"),
  frame(FrameType.HEADERS, 4, 5, "\x83\x86\x84\x41\x01a"),
  frame(FrameType.DATA, 1, 5, "hello"),
  frame(FrameType.DATA, 8, 5, "\x02hi\0\0"),
  frame(FrameType.RST_STREAM, 0, 5, "\0\0\0\x08"),
  frame(FrameType.CONTINUATION, 4, 5, "\x82"),
  windowUpdate(0, 1),
  windowUpdate(1, 2 ** 31 - 1),
  settings([4, 0]),
  settings([4, 2 ** 31 - 1]),
  settings([1, 0]),
  settings([5, 16_384]),
]
  .map((bytes) => bytes.toString("latin1"))
  .concat(["\x82", "\x83", "\x84", "\x86", "\x87", "\x00\x0econtent-length\x015", "\x00\x02te\x08trailers", "\x00\x11transfer-encoding\x07chunked", "\x00\x04host\x01a", "\x00\x06expect\x0c100-continue", "\x00\x09:protocol\x09websocket", "\x02\x07CONNECT"]);

/** Nothing was refused or broken off. */
function isWell({ answers }: Told): boolean {
  return answers.every((answer) => String(answer).endsWith(" 200"));
}

export const clientH2: Fuzzer = {
  name: "client-h2",
  words: H2_WORDS,
  seeds: () => {
    const cases = [...downgrade, ...frames, ...generic, ...hpack, ...messages, ...connection];
    return cases.map(({ steps }) => Buffer.concat(steps.filter((step) => Buffer.isBuffer(step)))).filter(({ length }) => length > 0 && length < 4_000);
  },
  run(input) {
    const whole = h2Conversation(input, [input], undefined);
    const cut = h2Conversation(input, pieces(input), diceOf(input));
    // An error of the connection ends requests that were on their way, or comes too late for them.
    hold(!isWell(whole) || !isWell(cut) || JSON.stringify(whole.requests) === JSON.stringify(cut.requests), `in one piece the target gets ${shown(JSON.stringify(whole.requests))}, in several ${shown(JSON.stringify(cut.requests))}`);
    return `${whole.requests.length} ${whole.answers.join()}`;
  },
};

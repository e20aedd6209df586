/** What comes before a protocol: ClientHello and the PROXY protocol's header. */
import { readClientHello } from "../../../src/accept/client-hello.ts";
import { readProxyHeader } from "../../../src/accept/proxy-header.ts";
import { alpn, clientHello, extension, helloMessage, records, sni } from "../../support/client-hello.ts";
import { type Fuzzer, hold, shown } from "../fuzzer.ts";
import { cuts } from "../segments.ts";

/** Of a hello, and of a header of version 2: what the product uses. */
const LIMIT = 16 * 1024;

type Told = "more" | { readonly problem: string } | object;

/** A prefix is `more` or says what the whole says: it never says something else. */
function holdPrefixes(input: Buffer, whole: Told, needed: number, read: (bytes: Buffer) => Told): void {
  for (const cut of cuts(input)) {
    const early = read(input.subarray(0, cut));
    const same = JSON.stringify(early) === JSON.stringify(whole);
    if (early === "more") hold(whole === "more" || "problem" in (whole as object) || cut < needed, `the first ${cut} bytes are not enough, though ${needed} are`);
    else if ("problem" in early) hold(whole !== "more" && "problem" in (whole as object), `the first ${cut} bytes are refused (${early.problem}), all of them are ${shown(JSON.stringify(whole))}`);
    else hold(same, `the first ${cut} bytes are ${shown(JSON.stringify(early))}, all of them ${shown(JSON.stringify(whole))}`);
  }
}

export const clientHelloFuzzer: Fuzzer = {
  name: "client-hello",
  words: ["\x16\x03\x01", "\x16\x03\x03", "\x01\x00", "\x00\x00", "\x00\x10", "\x00\x0b\x00\x09\x00\x00\x06a.test", "\x02h2", "\x08http/1.1", "a.test", "A.Test", "..", "*", "\xfe\x0d"],
  seeds: () => [
    clientHello(sni("a.test"), alpn("h2", "http/1.1")),
    clientHello(sni("A.Test")),
    clientHello(),
    records(helloMessage(undefined)),
    records(helloMessage([extension(43, Buffer.from([2, 3, 4])), sni("a.test"), extension(0xfe0d, Buffer.alloc(40)), alpn("h2")]), 50),
    clientHello(sni("a.test", "b.test")),
  ],
  run(input) {
    const hello = readClientHello(input, LIMIT);
    holdPrefixes(input, hello, input.length, (bytes) => readClientHello(bytes, LIMIT));
    if (hello === "more") return "more";
    if ("problem" in hello) return hello.problem.replaceAll(/\d+/g, "N");
    hold(/^[a-z0-9._-]{0,255}$/.test(hello.serverName), `a name of ${shown(hello.serverName)}`);
    hold(hello.alpn.every((name) => name.length <= 255), "a protocol of more than 255 bytes");
    return `${hello.serverName === "" ? "no name" : "a name"}, ${Math.min(hello.alpn.length, 4)} protocols`;
  },
};

const SIGNATURE = "\r\n\r\n\0\r\nQUIT\n";
const V4 = "\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x02\x30\x39\x00\x50";

export const proxyHeader: Fuzzer = {
  name: "proxy-header",
  words: ["PROXY ", "TCP4", "TCP6", "UNKNOWN", " ", "\r\n", "127.0.0.1", "::1", "::ffff:1.2.3.4", "fe80::1%eth0", "65535", "65536", "01", SIGNATURE, "\x21\x11", "\x21\x21", "\x20\x00", "\x21\x31", "\x01\x00\x02h2", "\x02\x00\x06a.test", "\x03\x00\x04\x00\x00\x00\x00", "\x05\x00\x04abcd", "\x20\x00\x05\x01\x00\x00\x00\x00", "\x04\x00\x00"],
  seeds: () =>
    [
      "PROXY TCP4 127.0.0.1 127.0.0.2 12345 80\r\nGET / HTTP/1.1\r\n\r\n",
      "PROXY TCP6 ::1 2001:db8::1 12345 80\r\n",
      "PROXY UNKNOWN\r\n",
      "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
      `${SIGNATURE}${V4}`,
      `${SIGNATURE}\x20\x00\x00\x00GET`,
      `${SIGNATURE}\x21\x11\x00\x1e\x7f\x00\x00\x01\x7f\x00\x00\x02\x30\x39\x00\x50\x01\x00\x02h2\x02\x00\x03a.b\x05\x00\x04abcd`,
      `${SIGNATURE}\x21\x21\x00\x24${"\0".repeat(15)}\x01${"\0".repeat(15)}\x02\x30\x39\x00\x50`,
    ].map((text) => Buffer.from(text, "latin1")),
  run(input) {
    const header = readProxyHeader(input, LIMIT);
    holdPrefixes(input, header, header === "more" || "problem" in header ? input.length : header.length, (bytes) => readProxyHeader(bytes, LIMIT));
    if (header === "more") return "more";
    if ("problem" in header) return header.problem.replaceAll(/\d+/g, "N");
    const { length, peer, alpn, authority, uniqueId } = header;
    hold(length > 0 && length <= input.length, `a header of ${length} bytes in ${input.length}`);
    if (peer !== undefined) {
      for (const port of [peer.remotePort, peer.localPort]) hold(Number.isInteger(port) && port >= 0 && port <= 65_535, `port ${port}`);
      for (const address of [peer.remoteAddress, peer.localAddress]) hold(/^[0-9a-f:.]*$/.test(address), `address ${shown(address)}`);
    }
    return `${peer === undefined ? "no peer" : peer.remoteAddress.includes(":") ? "v6" : "v4"} ${alpn !== ""} ${authority !== ""} ${uniqueId !== undefined}`;
  },
};

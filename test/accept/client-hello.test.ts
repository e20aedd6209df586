/** The reader of ClientHellos: what it finds, what it refuses, in whatever records and pieces it comes. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createServer, type Socket } from "node:net";
import { connect } from "node:tls";
import { readClientHello } from "../../src/accept/client-hello.ts";
import { alpn, clientHello, extension, helloMessage, records, sni } from "../support/client-hello.ts";
import { freePort } from "../support/ports.ts";
import { run } from "../support/real-clients.ts";

const LIMIT = 16 * 1024;

function read(bytes: Buffer, limit = LIMIT): ReturnType<typeof readClientHello> {
  return readClientHello(bytes, limit);
}

/** The first bytes that a client sends. */
async function firstBytes(start: (port: number) => unknown, wanted: (bytes: Buffer) => boolean): Promise<Buffer> {
  const port = await freePort();
  return new Promise((resolve) => {
    const server = createServer((socket: Socket) => {
      let bytes = Buffer.alloc(0);
      socket.on("error", () => {});
      socket.on("data", (chunk: Buffer) => {
        bytes = Buffer.concat([bytes, chunk]);
        if (!wanted(bytes)) return;
        socket.destroy();
        server.close();
        resolve(bytes);
      });
    }).listen(port, "127.0.0.1", () => start(port));
  });
}

describe("a ClientHello", () => {
  test("says the name and the protocols", () => {
    expect(read(clientHello(sni("Api.Example.test"), alpn("h2", "http/1.1")))).toEqual({ serverName: "api.example.test", alpn: ["h2", "http/1.1"] });
    expect(read(clientHello(extension(0xfe0d, Buffer.alloc(200)), sni("a.test")))).toEqual({ serverName: "a.test", alpn: [] });
    expect(read(clientHello(alpn("h2")))).toEqual({ serverName: "", alpn: ["h2"] });
    expect(read(clientHello())).toEqual({ serverName: "", alpn: [] });
    expect(read(records(helloMessage(undefined)))).toEqual({ serverName: "", alpn: [] });
  });

  for (const name of ["", "::1", "a.test:443", "a test", "a\0.test", "münchen.test", "../x", "a".repeat(300)])
    test(`with ${JSON.stringify(name)} for a name has none`, () => expect(read(clientHello(sni(name)))).toEqual({ serverName: "", alpn: [] }));

  test("may be followed by anything", () => {
    const hello = clientHello(sni("a.test"));
    expect(read(Buffer.concat([hello, Buffer.from("garbage")]))).toMatchObject({ serverName: "a.test" });
    expect(read(records(Buffer.concat([helloMessage([sni("a.test")]), Buffer.from([11, 0, 0, 0])])))).toMatchObject({ serverName: "a.test" });
  });

  test("of OpenSSL, curl and the runtime is understood", async () => {
    const whole = (bytes: Buffer): boolean => read(bytes) !== "more";
    const openssl = await firstBytes((port) => run("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, "-servername", "openssl.test", "-alpn", "h2,x"]), whole);
    expect(read(openssl)).toEqual({ serverName: "openssl.test", alpn: ["h2", "x"] });
    const nameless = await firstBytes((port) => run("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, "-noservername", "-tls1_2"]), whole);
    expect(read(nameless)).toEqual({ serverName: "", alpn: [] });
    const curl = await firstBytes((port) => run("curl", ["--disable", "--noproxy", "*", "-k", "--resolve", `curl.test:${port}:127.0.0.1`, `https://curl.test:${port}/`]), whole);
    expect(read(curl)).toMatchObject({ serverName: "curl.test" });
    const bun = await firstBytes((port) => connect({ port, host: "127.0.0.1", servername: "bun.test", ALPNProtocols: ["h2"] }).on("error", () => {}), whole);
    expect(read(bun)).toEqual({ serverName: "bun.test", alpn: ["h2"] });
  });
});

describe("refused is", () => {
  const hello = helloMessage([sni("a.test")]);
  const record = (type: number, version: number, body: Buffer): Buffer => Buffer.concat([Buffer.from([type, version, 1, body.length >> 8, body.length & 255]), body]);
  for (const [what, bytes] of [
    ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["a hello of SSL 2", Buffer.from([0x80, 0x2e, 0x01, 0x03, 0x01])],
    ["an alert", record(21, 3, Buffer.from([1, 0]))],
    ["application data", record(23, 3, Buffer.from("x"))],
    ["another major version", record(22, 2, hello)],
    ["a record without a byte", record(22, 3, Buffer.alloc(0))],
    ["a record without a byte between two good ones", Buffer.concat([record(22, 3, hello.subarray(0, 9)), record(22, 3, Buffer.alloc(0)), record(22, 3, hello.subarray(9))])],
    ["an alert between two good ones", Buffer.concat([record(22, 3, hello.subarray(0, 9)), record(21, 3, Buffer.from([1, 0])), record(22, 3, hello.subarray(9))])],
    ["a record beyond what is allowed", Buffer.from([22, 3, 1, 0x40, 0x01])],
    ["a ServerHello", records(Buffer.concat([Buffer.from([2]), hello.subarray(1)]))],
    ["a name twice", clientHello(sni("a.test", "b.test"))],
    ["an extension twice", clientHello(sni("a.test"), alpn("h2"), sni("b.test"))],
    ["an extension that reaches beyond", clientHello(Buffer.from([0, 0, 0, 9, 1]))],
    ["a name list that reaches beyond", clientHello(extension(0, Buffer.from([0, 9, 0, 0, 1, 97])))],
    ["bytes behind the name list", clientHello(extension(0, Buffer.from([0, 4, 0, 0, 1, 97, 1])))],
    ["bytes behind the extensions", records(helloMessage([sni("a.test")], Buffer.from("x")))],
    ["a message that is empty", records(Buffer.from([1, 0, 0, 0]))],
    ["a hello over the limit", clientHello(extension(21, Buffer.alloc(LIMIT)))],
    ["one that says that it will be", records(Buffer.from([1, 0x01, 0, 0]))],
  ] as const)
    test(what, () => expect(read(bytes)).toHaveProperty("problem"));

  test("what is over the limit as soon as that is known", () => {
    const long = clientHello(sni("a.test"), extension(21, Buffer.alloc(2000)));
    expect(read(long, long.length)).toMatchObject({ serverName: "a.test" });
    expect(read(long, long.length - 1)).toHaveProperty("problem");
    expect(read(long.subarray(0, 9), long.length)).toBe("more");
    expect(read(long.subarray(0, 9), long.length - 1)).toHaveProperty("problem");
  });
});

const label = fc.stringMatching(/^[a-z0-9]{1,20}$/);
const anyHello = fc
  .record({ name: fc.option(fc.tuple(label, label).map((labels) => labels.join("."))), protocols: fc.array(label, { minLength: 1, maxLength: 4 }), more: fc.uniqueArray(fc.integer({ min: 17, max: 65_535 }), { maxLength: 6 }), size: fc.integer({ min: 0, max: 300 }) })
  .map(({ name, protocols, more, size }) => ({
    message: helloMessage([...more.map((type) => extension(type, Buffer.alloc(size))), ...(name === null ? [] : [sni(name)]), alpn(...protocols)]),
    expected: { serverName: name ?? "", alpn: protocols },
  }));

describe("any ClientHello", () => {
  test("is the same in any records, and is waited for until its last byte", () => {
    fc.assert(
      fc.property(anyHello, fc.integer({ min: 1, max: 600 }), ({ message, expected }, size) => {
        const bytes = records(message, size);
        for (let length = 0; length < bytes.length; length++) expect(read(bytes.subarray(0, length))).toBe("more");
        expect(read(bytes)).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });

  test("however it is changed, is read, refused or waited for within its limit", () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 8 });
    fc.assert(
      fc.property(anyHello, fc.integer({ min: 1, max: 600 }), changes, fc.nat(), ({ message }, size, each, cut) => {
        const bytes = records(message, size);
        for (const [at, value] of each) bytes[at % bytes.length] = value;
        const result = read(bytes.subarray(0, cut % (bytes.length + 1)), 4096);
        if (result === "more") expect(cut % (bytes.length + 1)).toBeLessThan(4096);
        else if ("serverName" in result) expect(result.serverName).toMatch(/^[a-z0-9._-]*$/);
      }),
      { numRuns: 3000 },
    );
  });
});

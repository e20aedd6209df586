/** What an access log reads from a request's bytes is what an account says in strings, and an account that somebody keeps stays as it was. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { compileFormat, FORMATS } from "../../src/observability/access/format.ts";
import { Line } from "../../src/observability/access/line.ts";
import type { Account, Witness } from "../../src/observability/account.ts";
import { HeadText, type Passing, Slot } from "../../src/observability/head-text.ts";
import { get } from "../conformance/h2/cases.ts";
import { ACCOUNT } from "../support/account.ts";
import { endings } from "../support/endings.ts";
import { H2Client } from "../support/h2.ts";
import { Plane } from "../support/plane.ts";
import { RawBackend, reply, sayWhich } from "../support/raw-backend.ts";
import { RawClient } from "../support/raw-client.ts";
import { until } from "../support/until.ts";

const open = endings(afterEach);

const HEADERS = ["referer", "user-agent"];

/** The texts behind one another, somewhere in a buffer. */
function inBytes(texts: readonly string[], before: number): HeadText {
  const text = new HeadText();
  let at = 0;
  for (const each of texts) text.add(at, (at += each.length));
  text.buffer = Buffer.from(`${"#".repeat(before)}${texts.join("")}###`, "latin1");
  text.base = before;
  return text;
}

describe("a line of bytes", () => {
  const bytes = fc.uint8Array({ maxLength: 60 }).map((each) => Buffer.from(each).toString("latin1"));
  const formats = [FORMATS["json"]!, FORMATS["combined"]!, { kind: "template", template: "$uri|$args|$request_uri|$host" }, { kind: "json", fields: ["request", "remote_addr", "http_referer"] }] as const;

  test("is the line of the same strings, whatever they hold", () => {
    const makers = formats.map((format) => compileFormat(format, HEADERS));
    fc.assert(
      fc.property(fc.tuple(bytes, bytes, bytes, bytes, bytes), fc.nat(50), ([method, host, path, referer, agent], before) => {
        const text = inBytes([method, host, path, "", referer, agent], before);
        const account: Account = { ...ACCOUNT, method, host, path, fields: [referer, agent] };
        for (const make of makers) {
          const [ofBytes, ofStrings] = [new Line(), new Line()];
          make({ ...account, text } satisfies Passing, ofBytes);
          make(account, ofStrings);
          expect(ofBytes.toString()).toBe(ofStrings.toString());
        }
      }),
      { numRuns: 300 },
    );
  });

  test("tells every whole number, and literals of every length", () => {
    fc.assert(
      fc.property(fc.oneof(fc.maxSafeNat(), fc.nat(2_000), fc.constantFrom(9, 10, 99, 100, 2 ** 31 - 1, 2 ** 31)), fc.string({ unit: fc.constantFrom(..."abc 0"), maxLength: 40 }), (bytesOut, literal) => {
        const line = new Line();
        compileFormat({ kind: "template", template: `${literal}\${bytes_out}${literal}\${listener}${literal}` }, [])({ ...ACCOUNT, method: "", host: "", path: "", fields: [], bytesOut }, line);
        expect(line.toString()).toBe(`${literal}${bytesOut}${literal}front${literal}\n`);
      }),
    );
  });

  test("ends where there is no room, and says that it is too long", () => {
    const line = new Line();
    const make = compileFormat(FORMATS["json"]!, HEADERS);
    make({ ...ACCOUNT, method: "GET", host: "h", path: `/${"x".repeat(70_000)}`, fields: [] }, line);
    expect(line.length).toBeGreaterThan(64 * 1024);
    make({ ...ACCOUNT, method: "GET", host: "h", path: "/", fields: [] }, line);
    expect(JSON.parse(line.toString())).toMatchObject({ path: "/", target: ACCOUNT.target });
  });
});

test("of a place that nobody took down nothing is told", () => {
  const text = new HeadText();
  expect([text.isEmpty, text.isWhole(Slot.PATH), text.text(Slot.PATH)]).toEqual([true, false, ""]);
});

/** Keeps accounts, and what they said at once. */
class Keeper implements Witness {
  readonly kept: Account[] = [];
  readonly said: string[] = [];

  wants(): boolean {
    return true;
  }

  tell(account: Account): void {
    this.kept.push(account);
    this.said.push(JSON.stringify(account));
  }
}

const BIG = "b".repeat(200_000);
/** By their kind: what is hard to read from bytes later. */
const REQUESTS = {
  plain: "GET /plain?a=b HTTP/1.1\r\nHost: a.example\r\nReferer: https://r.example/\r\nUser-Agent: wrk/4\r\nX-Request-ID: r1\r\n\r\n",
  "without more": "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n",
  absolute: "GET http://c.example/p?q HTTP/1.1\r\nHost: c.example\r\n\r\n",
  "absolute without a path": "GET http://c.example?q HTTP/1.1\r\nHost: c.example\r\n\r\n",
  "fields that come twice": "GET /twice HTTP/1.1\r\nHost: a.example\r\nuser-agent: one\r\nUSER-AGENT: two\r\nX-Request-ID: 1\r\nX-Request-ID: 2\r\n\r\n",
  "behind empty lines": "\r\n\r\nPUT /late HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\nUser-Agent: \"quoted\"\r\n\r\nok",
  "with a body whose memory goes back": `POST /big HTTP/1.1\r\nHost: a.example\r\nUser-Agent: poster\r\nContent-Length: ${BIG.length}\r\n\r\n${BIG}`,
  last: "DELETE /last HTTP/1.1\r\nHost: d.example\r\n\r\n",
};

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-head-text-"));
  open.push(() => rmSync(directory, { recursive: true }));
  return directory;
}

function configOf(target: RawBackend, accessLog: string): string {
  return `[[listeners]]\nname = "front"\naddress = "127.0.0.1:0"\nupstream = "main"\n[access_log]\n${accessLog}\n[[upstreams]]\nname = "main"\ntargets = [{ address = "${target.address}" }]`;
}

for (const sample of ["", "sample = 0.4"]) {
  test(`log lines, and accounts that are kept, of many requests on one connection${sample && ", none of which was looked at before its end"}`, async () => {
    const path = join(newDirectory(), "access.log");
    const target = await RawBackend.start(sayWhich);
    open.push(() => target.stop());
    const keeper = new Keeper();
    const front = await Plane.start(configOf(target, `format = "json"\npath = "${path}"\n${sample}`), { witnesses: [keeper], random: () => 0 });
    open.push(() => front.stop());
    const client = await RawClient.connect(front.port());
    open.push(() => client.destroy());
    for (const request of Object.values(REQUESTS)) expect((await client.ask(request)).status).toBe(200);
    // Pipelined: one read, three heads.
    client.write([1, 2, 3].map((number) => `GET /pipe${number} HTTP/1.1\r\nHost: p.example\r\nReferer: ${number}\r\n\r\n`).join(""));
    for (let number = 1; number <= 3; number++) await client.reply();
    const h2 = await H2Client.connect(front.port());
    open.push(() => h2.destroy());
    // Two heads in one piece of memory.
    for (const [index, wanted] of ["/h2?x", "/h2?y"].entries()) {
      h2.send(get(1 + index * 2, wanted, ["user-agent", "h2-client"]));
      await until("its account", () => keeper.kept.length === 12 + index);
    }

    const kept = await until("all accounts", () => (keeper.kept.length === 13 ? keeper.kept : undefined));
    expect(kept.map((account) => JSON.stringify(account))).toEqual(keeper.said);
    expect(kept.map(({ path: asked }) => asked)).toEqual(["/plain?a=b", "/", "/p?q", "/?q", "/twice", "/late", "/big", "/last", "/pipe1", "/pipe2", "/pipe3", "/h2?x", "/h2?y"]);
    expect(kept[0]).toMatchObject({ method: "GET", host: "a.example", fields: ["wrk/4", "https://r.example/"], requestId: "r1" });
    expect(kept[4]).toMatchObject({ fields: ["one, two", ""], requestId: "1, 2" });
    const lines = await until("all lines", () => {
      const all = readFileSync(path, "utf8").split("\n").filter(Boolean);
      return all.length === 13 ? all.map((line) => JSON.parse(line) as Record<string, unknown>) : undefined;
    });
    for (const [index, { method, host, path: asked, client: who, fields, requestId, protocol, target: where, bytesIn, bytesOut, listener }] of kept.entries()) {
      const line = lines[index]!;
      expect({ method, host, path: asked, client: who, protocol, target: where, listener, bytes_in: bytesIn, bytes_out: bytesOut }).toEqual({ method: line["method"], host: line["host"], path: line["path"], client: line["client"], protocol: line["protocol"], target: line["target"], listener: line["listener"], bytes_in: line["bytes_in"], bytes_out: line["bytes_out"] } as never);
      expect([...fields, requestId]).toEqual([line["http_user_agent"] ?? "", line["http_referer"] ?? "", line["request_id"] ?? ""] as string[]);
    }
  });
}

for (const sample of ["", "sample = 0.4"]) {
  test(`a request that goes on over a reload tells the headers of the log that its line stands in${sample && ", where it was not looked at before"}`, async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const target = await RawBackend.start(async (_request, connection) => {
      await held;
      connection.write(reply(200, "late"));
    });
    open.push(() => target.stop());
    const directory = newDirectory();
    const logTo = (name: string, format: string): string => configOf(target, `path = "${join(directory, name)}"\nformat = "${format}"\n${sample}`);
    const front = await Plane.start(logTo("first.log", "$http_a $http_b"), { random: () => 0 });
    open.push(() => front.stop());
    const client = await RawClient.connect(front.port());
    open.push(() => client.destroy());
    client.request("GET / HTTP/1.1\r\nHost: a.example\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n");
    await until("the request", () => target.requests.length === 1);
    await front.apply(logTo("second.log", "$http_c $http_b"));
    release();
    expect((await client.reply()).text).toBe("late");
    expect(await until("its line", () => readFileSync(join(directory, "second.log"), "utf8") || undefined)).toBe("3 2\n");
    expect(readFileSync(join(directory, "first.log"), "utf8")).toBe("");
  });
}

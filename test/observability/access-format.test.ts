/** Lines of the access log: whatever a client says, one exchange is one line, and whoever reads it gets every byte back. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { type AccessFormat, compileFormat, FORMATS, headersOf, templateProblem } from "../../src/observability/access/format.ts";
import { Line } from "../../src/observability/access/line.ts";
import { JSON_FIELDS, VARIABLES } from "../../src/observability/access/variables.ts";
import type { Account } from "../../src/observability/account.ts";
import { LOG_MODULES } from "../../src/observability/log.ts";
import { ACCOUNT } from "../support/account.ts";

const HEADERS = ["referer", "user-agent"];

function line(format: AccessFormat, account: Partial<Account> = {}): string {
  const made = new Line();
  compileFormat(format, HEADERS)({ ...ACCOUNT, ...account }, made);
  return made.toString();
}

function own(template: string, account: Partial<Account> = {}): string {
  return line({ kind: "template", template }, account);
}

/** As a reader of logs does it: the bytes behind `\x0a`. */
function unescape(text: string): string {
  return text.replaceAll(/\\x([0-9a-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

const COMBINED = /^(\S+) - - \[(\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "([^"]*)" (\d+) (\d+) "([^"]*)" "([^"]*)"\n$/;
/** Every byte, as a character. */
const bytes = fc.uint8Array({ maxLength: 200 }).map((each) => Buffer.from(each).toString("latin1"));

describe("a Combined line", () => {
  test("is what every reader of such lines knows", () => {
    expect(line(FORMATS["combined"]!)).toMatch(/^192\.0\.2\.1 - - \[01\/Jul\/2026:\d\d:\d\d:01 [+-]\d{4}\] "GET \/v1\/x\?a=b HTTP\/1\.1" 200 1234 "https:\/\/example\.net\/" "wrk\/4"\n$/);
    expect(line(FORMATS["common"]!)).toMatch(/^192\.0\.2\.1 - - \[[^\]]+\] "GET \/v1\/x\?a=b HTTP\/1\.1" 200 1234\n$/);
  });

  test("parses back, whatever is in method, path and headers", () => {
    fc.assert(
      fc.property(bytes, bytes, bytes, bytes, (method, path, referer, agent) => {
        const match = COMBINED.exec(line(FORMATS["combined"]!, { method: `M${method}`, path, fields: [referer, agent] }));
        expect(match).not.toBeNull();
        expect(unescape(match![3]!)).toBe(`M${method} ${path} HTTP/1.1`);
        expect([match![6]!, match![7]!].map(unescape)).toEqual([referer || "-", agent || "-"]);
      }),
      { numRuns: 500 },
    );
  });
});

describe("a JSON line", () => {
  test("is valid JSON that gives every byte back", () => {
    fc.assert(
      fc.property(bytes, bytes, bytes, bytes, bytes, bytes, (method, host, path, referer, agent, detail) => {
        const made = line(FORMATS["json"]!, { method, host, path, detail, route: path, target: host, client: agent, requestId: referer, fields: [referer, agent] });
        expect(made.indexOf("\n")).toBe(made.length - 1);
        expect(made).toMatch(/^[\x20-\x7e]*\n$/);
        const read = JSON.parse(made) as Record<string, unknown>;
        expect(read).toMatchObject({ status: 200, milliseconds: 12.346 });
        // What is empty is left out.
        const told = ["method", "host", "path", "target", "client", "detail", "route", "request_id", "http_referer", "http_user_agent"].map((name) => read[name] ?? "");
        expect(told).toEqual([method, host, path, host, agent, detail, path, referer, referer, agent]);
      }),
      { numRuns: 500 },
    );
  });

  test("tells the time of the end, and times in ms", () => {
    expect(JSON.parse(line(FORMATS["json"]!))).toEqual({
      level: "info",
      time: "2026-07-01T12:00:01.135Z",
      msg: "access",
      client: "192.0.2.1:4711",
      method: "GET",
      host: "example.org",
      path: "/v1/x?a=b",
      protocol: "HTTP/1.1",
      status: 200,
      listener: "front",
      route: "/v1",
      upstream: "main",
      target: "127.0.0.1:9001",
      attempts: 1,
      milliseconds: 12.346,
      queued: 0,
      connect: 0.25,
      first_byte: 11,
      bytes_in: 0,
      bytes_out: 1234,
      cause: "done",
      http_user_agent: "wrk/4",
      http_referer: "https://example.net/",
    });
  });

  test("has the fields that were asked for, in their order, the first one always", () => {
    const fields = ["detail", "status", "uri", "args", "remote_addr", "grpc_status"];
    expect(line({ kind: "json", fields })).toBe('{"detail":null,"status":200,"uri":"/v1/x","args":"a=b","remote_addr":"192.0.2.1"}\n');
    expect(line({ kind: "json", fields }, { grpcStatus: 14, detail: "no" })).toEndWith('"remote_addr":"192.0.2.1","grpc_status":14}\n');
  });

  test("is valid for any choice of fields", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...Object.keys(VARIABLES), "http_referer"], { minLength: 1 }), bytes, (fields, path) => {
        expect(Object.keys(JSON.parse(line({ kind: "json", fields }, { path, method: "", tries: [] })) as object)).toContain(fields[0]!);
      }),
    );
  });
});

describe("a format string of one's own", () => {
  test("has variables with and without braces, and dollars", () => {
    expect(own("$$${status}x $cause/$attempts $$1")).toBe("$200x done/1 $1\n");
  });

  test("has a - where there is nothing", () => {
    expect(own("$detail|$grpc_status|$http_referer|$remote_user|$upstream_addr|$request", { fields: [], tries: [], method: "", path: "" })).toBe("-|-|-|-|-|-\n");
  });

  test("lists attempts as nginx does", () => {
    const refused = { ...ACCOUNT.tries[0]!, target: "127.0.0.1:9000", connect: 0, firstByte: 0, milliseconds: 1.4, status: 0 };
    expect(own("$upstream_addr; $upstream_status; $upstream_header_time; $upstream_response_time", { tries: [refused, ACCOUNT.tries[0]!] })).toBe("127.0.0.1:9000, 127.0.0.1:9001; -, 200; -, 0.011; 0.001, 0.012\n");
  });

  test("tells addresses without their ports", () => {
    expect(["[2001:db8::1]:80", "192.0.2.1:80", "unix"].map((client) => own("$remote_addr", { client }))).toEqual(["2001:db8::1\n", "192.0.2.1\n", "unix\n"]);
  });

  test("tells times in the units that the name stands for", () => {
    expect(own("$request_time $milliseconds $msec $time_iso8601", { milliseconds: 61_234.5678 })).toMatch(/^61\.235 61234\.568 1782907262\.358 2026-07-01T\d\d:\d\d:02[+-]\d\d:\d\d\n$/);
  });

  test("may hold what looks like code: it is text", () => {
    const template = '`${status}` "; process.exit(1); // \\ $status';
    expect(own(template)).toBe('`200` "; process.exit(1); // \\ 200\n');
  });

  test("is refused with what is wrong with it", () => {
    expect([templateProblem("$stauts"), templateProblem("$http_authorization"), templateProblem("$http_proxy_authorization"), templateProblem("$$"), templateProblem("ä $status")]).toEqual([
      { message: "there is no variable $stauts", name: "stauts" },
      { message: "$http_authorization would write credentials into the log", name: "http_authorization" },
      { message: "$http_proxy_authorization would write credentials into the log", name: "http_proxy_authorization" },
      { message: "a format string has at least one $variable" },
      { message: "a format string has printable ASCII characters only" },
    ]);
    expect(templateProblem("$constructor $toString")?.message).toBe("there is no variable $constructor");
  });

  test("names the headers that it needs", () => {
    expect(headersOf({ kind: "template", template: "$http_x_request_id $http_host ${http_x_request_id}" })).toEqual(["x-request-id", "host"]);
    expect(headersOf({ kind: "json", fields: JSON_FIELDS })).toEqual(["user-agent", "referer"]);
  });
});

test("the text form for people stays one line without forged fields", () => {
  fc.assert(
    fc.property(bytes, bytes, (host, path) => {
      const made = line({ kind: "text" }, { host, path });
      expect(made.split(" ")).toHaveLength(10);
      expect(made).toMatch(/^[\x20-\x7e]*\n$/);
    }),
  );
  expect(line({ kind: "text" }, { attempts: 2, queued: 1.5, cause: "target-reset", grpcStatus: 14 })).toBe("12:00:01.135 ACCESS 192.0.2.1:4711 GET example.org/v1/x?a=b 200 12.346ms -> 127.0.0.1:9001 upstream=main grpc=14 attempts=2 queued=1.500ms cause=target-reset\n");
});

test("docs/logs.md tells of every variable and module, in the words of the code", () => {
  const text = readFileSync(join(import.meta.dir, "../../docs/logs.md"), "utf8");
  const rows = [...Object.entries(VARIABLES).map(([name, { about }]) => `| \`$${name}\` | ${about} |`), ...Object.entries(LOG_MODULES).map(([name, about]) => `| \`${name}\` | ${about} |`)];
  expect(rows.filter((row) => !text.includes(`${row}\n`))).toEqual([]);
});

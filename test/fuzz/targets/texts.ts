/** Small texts that strangers write: Cookie, traceparent; and those that operators write: format strings, bodies of the admin API. */
import { ACCESS, admit } from "../../../src/admin/access.ts";
import { requestToExplain } from "../../../src/admin/explained.ts";
import { faultEndpoints } from "../../../src/admin/faults.ts";
import { heartbeatEndpoints } from "../../../src/admin/heartbeats.ts";
import { logEndpoints } from "../../../src/admin/log.ts";
import { Problem } from "../../../src/admin/problem.ts";
import { targetEndpoints } from "../../../src/admin/targets.ts";
import { compileFormat, FORMATS, headersOf, templateProblem } from "../../../src/observability/access/format.ts";
import { Line, LONGEST_LINE } from "../../../src/observability/access/line.ts";
import { VARIABLES } from "../../../src/observability/access/variables.ts";
import { formatTraceparent, parseTraceparent } from "../../../src/observability/tracing/traceparent.ts";
import { cookieOf } from "../../../src/upstream/cookie.ts";
import { ACCOUNT } from "../../support/account.ts";
import { type Fuzzer, hold, shown } from "../fuzzer.ts";

function texts(...all: readonly string[]): () => Buffer[] {
  return () => all.map((text) => Buffer.from(text, "latin1"));
}

/** As RFC 6265 section 5.4 has pairs joined, read the slow way. */
function cookieSlowly(field: string, name: string): string | undefined {
  const pair = field
    .split(/[;,]/)
    .map((part) => part.replace(/^[ \t]+/, ""))
    .find((part) => part.startsWith(`${name}=`));
  return pair?.slice(name.length + 1).trim();
}

export const cookie: Fuzzer = {
  name: "cookie",
  words: ["s=", "s", "; ", ";", ",", "=", " ", "\t", "ss=", "=s=", '"', "s =1", "S=1", "\xa0", "\x85"],
  seeds: texts("s=1", "a=b; s=1; c=d", "a=b,s=2", "s", "", "ss=1; s=2", "s=a=b", ' s = "1" ', "\ts=1\t"),
  run(input) {
    const field = input.toString("latin1");
    const value = cookieOf(field, "s");
    hold(value === cookieSlowly(field, "s"), `${shown(String(value))}, and ${shown(String(cookieSlowly(field, "s")))} read slowly`);
    hold(value === undefined || !/[;,]/.test(value), `a value of several cookies: ${shown(String(value))}`);
    return value === undefined ? "none" : value === "" ? "empty" : `${Math.min(3, value.length)}`;
  },
};

export const traceparent: Fuzzer = {
  name: "traceparent",
  words: ["00-", "ff-", "01-", "-01", "-00", "-", "0", "f", "F", "0".repeat(32), "a".repeat(32), "0".repeat(16), "b".repeat(16), "\n", " "],
  seeds: texts(`00-${"a".repeat(32)}-${"b".repeat(16)}-01`, `cc-${"a".repeat(32)}-${"b".repeat(16)}-01-what-will-be`, `00-${"0".repeat(32)}-${"b".repeat(16)}-01`, `ff-${"a".repeat(32)}-${"b".repeat(16)}-00`),
  run(input) {
    const parsed = parseTraceparent(input.toString("latin1"));
    if (parsed === undefined) return "none";
    const again = parseTraceparent(formatTraceparent(parsed));
    hold(JSON.stringify(again) === JSON.stringify(parsed), `${shown(JSON.stringify(parsed))} becomes ${shown(JSON.stringify(again))}`);
    hold(/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]$/.test(formatTraceparent(parsed)), formatTraceparent(parsed));
    return `${parsed.sampled} ${input.subarray(0, 2).toString("latin1")}`;
  },
};

/** What a client said is the input's second half: everything of it stays one value of one line. */
export const accessFormat: Fuzzer = {
  name: "access-format",
  words: [...Object.keys(VARIABLES).map((name) => `$${name}`), "$$", "$", "${", "}", "$http_", "$http_user_agent", "${http_referer}", "$nothing", '"', "\\", "\n", "\t", "\0", "é", "`", "*/", "//", "\u2028"],
  seeds: texts('$remote_addr "$request" $status\0GET', "${time} $$ $path\0/\r\n", '$http_user_agent "$http_referer"\0"\\\n', "x\0y"),
  run(input) {
    const at = input.indexOf(0);
    const [template, said] = at < 0 ? [input.toString("utf8"), ""] : [input.toString("utf8", 0, at), input.toString("latin1", at + 1)];
    const problem = templateProblem(template);
    const lines = [FORMATS["json"]!, ...(problem === undefined ? [{ kind: "template", template } as const] : []), { kind: "text" } as const].map((format) => {
      const headers = headersOf(format);
      const line = new Line();
      compileFormat(format, headers)({ ...ACCOUNT, method: said, host: said, path: said, requestId: said, fields: headers.map(() => said) }, line);
      return line;
    });
    for (const line of lines) {
      if (line.length > LONGEST_LINE) continue;
      const text = line.toString();
      hold(/^[\t\x20-\x7e]*\n$/.test(text), `a line of ${shown(text)}`);
    }
    const [json] = lines;
    if (json!.length <= LONGEST_LINE) hold((JSON.parse(json!.toString()) as { path?: string }).path === (said === "" ? undefined : said), `JSON tells of a path ${shown(json!.toString())}`);
    return problem === undefined ? `good, ${Math.min(9, template.split("$").length)}` : problem.message.replaceAll(/"[^"]*"/g, "…").slice(0, 60);
  },
};

const nobody = () => {
  throw new Error("not to be called");
};
const BODIES = [...targetEndpoints(nobody), ...heartbeatEndpoints({} as never), ...logEndpoints({} as never, nobody, {} as never), ...faultEndpoints({} as never, nobody)].flatMap(({ body, path }) => (body === undefined || body === "text" ? [] : [{ path, body }]));
BODIES.push({ path: "/v1/explain", body: requestToExplain });

const ADMIN = { address: { kind: "tcp", host: "127.0.0.1", port: 1 }, tokens: [{ name: "t", token: "a long token", access: "steer" }] } as const;

/** The first line is what a request shows of itself (Host, Origin, Authorization by `|`), the rest its body. */
export const admin: Fuzzer = {
  name: "admin",
  words: ['"delay"', '"abort"', '"percentage"', '"for"', '"weight"', '"state"', '"drain"', '"policy"', '"zone"', '"level"', '"ttl"', '"load"', '"path"', '"method"', '"headers"', "{", "}", "[", "]", ":", ",", "null", "true", "1e400", "-0", "1.5", '"__proto__"', '"constructor"', '""', '"p2c"', "\n", "|", "Bearer ", "Bearer a long token", "127.0.0.1", "localhost:1", "[::1]", "http://", "evil.test", "0x7f.1", "\ufeff"],
  seeds: texts('127.0.0.1:1||Bearer a long token\n{"weight": 2}', 'localhost|http://localhost|\n{"state": "drain"}', '[::1]:1|null|x\n{"policy": "p2c"}', 'a|b|c\n{"level": "debug", "modules": {"http": "info"}}', '|||\n{"listener": "l", "method": "GET", "path": "/", "headers": {"a": "b"}}', '|||\n{"ttl": "10s", "weight": 3, "load": 0.5}'),
  run(input) {
    const text = input.toString("utf8");
    const end = text.indexOf("\n");
    const [host = "", origin = "", authorization = ""] = text.slice(0, Math.max(0, end)).split("|");
    let outcome = "";
    const headers = new Headers();
    for (const [name, value] of [["Host", host], ["Origin", origin], ["Authorization", authorization]] as const) {
      try {
        if (value !== "") headers.set(name, value);
      } catch {
        outcome += "no header ";
      }
    }
    const request = new Request("http://ignored/", { headers });
    for (const config of [{ ...ADMIN, tokens: [] }, ADMIN]) {
      for (const access of ACCESS) {
        try {
          const { name } = admit(request, access, config);
          hold(access === "open" || config.tokens.length === 0 || name === "t", `${access} without the token`);
          hold(access === "open" || config.tokens.length > 0 || /^(localhost|127\.[\d.]+|\[[0-9a-f:.]+\]|[0-9a-fx.]+|\d+)(:\d+)?$/i.test(headers.get("host") ?? ""), `${access} as ${shown(host)}`);
          outcome += access[0];
        } catch (error) {
          if (!(error instanceof Problem)) throw error;
          outcome += error.status;
        }
      }
    }
    let value: unknown;
    try {
      value = JSON.parse(text.slice(end + 1));
    } catch {
      return `${outcome} no JSON`;
    }
    const taken = BODIES.flatMap(({ path, body }) => {
      const result = body.safeParse(value);
      return result.success ? [path] : [];
    });
    hold(({} as Record<string, unknown>)["weight"] === undefined, "every object has a weight now");
    return `${outcome} ${taken.join()}`;
  },
};

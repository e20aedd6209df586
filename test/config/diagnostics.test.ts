/** Configs that are wrong: every error at once, each at its place, with what to write instead. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { diagnosticLine, formatDiagnostics, loadConfigText, SlotAllocator, type Diagnostic } from "../../src/config/load.ts";

function diagnose(text: string): readonly Diagnostic[] {
  const loaded = loadConfigText(text, "f.toml", { slots: new SlotAllocator({ targets: 100, upstreams: 10 }), generation: 1 });
  return loaded.ok ? [] : loaded.diagnostics;
}

const lines = (text: string): string[] => diagnose(text).map(diagnosticLine);

/** A good config with one line changed. */
function broken(from: string, to: string): string {
  const good = `[[listeners]]
address = ":8080"
upstream = "api"
[[upstreams]]
name = "api"
policy = "round-robin"
[[upstreams.targets]]
address = "127.0.0.1:9001"
`;
  expect(good).toContain(from);
  return good.replace(from, to);
}

describe("one error, its place and its cure", () => {
  for (const [from, to, expected] of [
    ["policy =", "polcy =", 'f.toml:6:1: unknown key "polcy" in [[upstreams]] (did you mean "policy"?)'],
    ['":8080"', '"8080"', 'f.toml:2:11: "8080" is not an address, as "0.0.0.0:8080", ":8080", "[::]:8080" or "unix:/run/x.sock"'],
    ['"127.0.0.1:9001"', '"127.0.0.1:99999"', 'f.toml:8:11: "127.0.0.1:99999" is not an address, as "127.0.0.1:9001", "host:80", "[::1]:9001" or "unix:/run/x.sock"'],
    ['"127.0.0.1:9001"', "9001", 'f.toml:8:11: "address" must be a text, not 9001'],
    ['upstream = "api"', 'upstream = "apy"', 'f.toml:3:12: there is no upstream "apy" (did you mean "api"?)'],
    ['"round-robin"', '"round-robn"', 'f.toml:6:10: there is no policy "round-robn" (did you mean "round-robin"?; a file of your own starts with "./")'],
    ['"round-robin"', '"./nowhere.ts"', `f.toml:6:10: no file ${process.cwd()}/nowhere.ts (a policy's path is relative to the config file)`],
    ['address = ":8080"', 'address = ":8080"\nprotocol = "htpp"', 'f.toml:3:12: "protocol" must be "http", "tcp", "tls-passthrough" or "udp", not "htpp" (did you mean "http"?)'],
    ['address = ":8080"', 'address = ":8080"\nmax_clients = 0', 'f.toml:3:15: "max_clients" must be at least 1, not 0'],
    ['address = ":8080"', 'address = ":8080"\ntimeouts = { client_idle = "5 minutes" }', 'f.toml:3:28: "5 minutes" is not a duration, as "250ms", "5s", "1m" or "off"'],
    ['address = ":8080"', 'address = ":8080"\nforwarding = { trusted_proxies = ["10.0.0.0/33"] }', 'f.toml:3:35: "10.0.0.0/33" is not an address, a CIDR block as "10.0.0.0/8", or "unix"'],
    ['address = ":8080"', 'address = ":8080"\nproxy_protocol = { from = [] }', "f.toml:3:27: from needs at least one address or CIDR block"],
    ['address = ":8080"', 'address = ":8080"\nproxy_protocol = {}', 'f.toml:3:1: [listeners.proxy_protocol] needs "from" (add from = …)'],
    ['address = ":8080"', 'address = ":8080"\nprotocol = "tls-passthrough"\ntcp_unavailable = "http-503"', 'f.toml:4:19: a client that speaks TLS cannot read an HTTP answer (set "close", or leave it out)'],
    ["[[upstreams]]", '[tracing]\nbatch = 100\nqueue = 50\n[[upstreams]]', 'f.toml:5:9: a batch of 100 spans does not fit into a queue of 50 (make queue larger, or batch smaller)'],
    ["[[upstreams]]", '[tracing]\nendpoint = "http://a:b@c"\n[[upstreams]]', "f.toml:5:12: an endpoint is an http:// or https:// URL, without name and password: those go into headers"],
    ["[[upstreams]]", '[tracing]\nendpoint = "grpc://c:4317"\n[[upstreams]]', "f.toml:5:12: an endpoint is an http:// or https:// URL, without name and password: those go into headers"],
    ["[[upstreams]]", '[[routes]]\nname = "a"\nupstream = "api"\n[[routes]]\nname = "a"\nupstream = "api"\n[[upstreams]]', 'f.toml:8:8: there is already a route "a" (each route has a name of its own)'],
    ["[[upstreams]]", '[[routes]]\nhosts = []\nupstream = "api"\n[[upstreams]]', "f.toml:5:1: hosts names nobody (name some, or leave it out, which means all)"],
    ["[[upstreams]]", '[[routes]]\nlisteners = ["wbe", "listener-1"]\nupstream = "api"\n[[upstreams]]', 'f.toml:5:14: there is no listener "wbe" (known: listener-1)'],
    ["[[upstreams]]", '[[listeners]]\nname = "sql"\naddress = ":5432"\nprotocol = "tcp"\nupstream = "api"\n[[routes]]\nlisteners = ["sql"]\nupstream = "api"\n[[upstreams]]', 'f.toml:10:14: listener "sql" is tcp: it knows no hosts, and all of it goes to its upstream (leave it out, or make the listener protocol = "http" or "tls-passthrough")'],
    ["[[upstreams]]", '[[listeners]]\nname = "tls"\naddress = ":443"\nprotocol = "tls-passthrough"\n[[routes]]\npath_prefix = "/a"\nupstream = "api"\n[[upstreams]]', 'f.toml:9:1: listener "tls" is tls-passthrough: it sees the name that a client asks for, and nothing of its requests (leave it out, or say which http listeners the route is for: listeners = ["…"])'],
    ["[[upstreams]]", '[[listeners]]\nname = "tls"\naddress = ":443"\nprotocol = "tls-passthrough"\n[[routes]]\nlisteners = ["listener-1"]\npath_prefix = "/a"\nupstream = "api"\n[[upstreams]]', 'f.toml:4:1: this listener has no upstream, and there are no routes (add upstream = "…" or [[routes]])'],
    ["[[upstreams]]", '[[listeners]]\naddress = "[::]:8080"\nupstream = "api"\n[[upstreams]]', 'f.toml:5:11: [::]:8080 and 0.0.0.0:8080 of listener 1 are the same: [::] takes IPv4 clients too (leave out the listener on 0.0.0.0)'],
    ['"round-robin"', '"round-robin"\nprotocol = "h2c"\nproxy_protocol = "v2"', 'f.toml:8:1: h2c connections carry requests of many clients, and the PROXY protocol names one (leave it out (X-Forwarded-For names the client), or set protocol = "h1")'],
    ['"round-robin"', '"round-robin"\nproxy_protocol = "v3"', 'f.toml:7:18: "proxy_protocol" must be "v1" or "v2", not "v3" (did you mean "v1"?)'],
    ['address = ":8080"\n', "", 'f.toml:1:1: [[listeners]] needs "address" (add address = …)'],
    ['upstream = "api"\n', "", 'f.toml:1:1: this listener has no upstream, and there are no routes (add upstream = "…" or [[routes]])'],
    ['address = ":8080"', 'address = ":8080"\nprotocol = "tcp"\nhealth_path = "/up"', 'f.toml:4:1: health_path goes with protocol = "http" (leave it out)'],
    ['"round-robin"', '"round-robin"\nsticky = "a-secret-of-16-or-more"', 'f.toml:7:10: "sticky" must be a table, not a text'],
    ['address = ":8080"', 'address = ":8080"\ntls = true', 'f.toml:3:7: "tls" must be a table or "self-signed", not true'],
    ['address = ":8080"', 'address = ":8080"\nredirect_https = 70000', 'f.toml:3:18: "redirect_https" must be at most 65535, not 70000'],
    ['"round-robin"', '"round-robin"\ntls = "self-signed"', 'f.toml:7:7: "tls" must be a table or true or false, not "self-signed"'],
    ['"round-robin"', '"round-robin"\npanic_threshold = "much"', 'f.toml:7:19: "much" is not a percentage, as "50%" or "off"'],
    ['"round-robin"', '"round-robin"\nretry_on = ["reset", 9]', 'f.toml:7:22: "retry_on" must be at least 400, not 9'],
    ["[[listeners]]", 'workers = "two"\n[[listeners]]', 'f.toml:1:11: "workers" must be "auto" or a number from 1 to 256, not "two"'],
    ["[[listeners]]", "address = ':1'\n[[listeners]]", 'f.toml:1:1: "address" at the top belongs to the short form, which has [[targets]] (write it in [[listeners]], or add [[targets]])'],
    ["[[listeners]]", "[[targets]]\naddress = 'a:1'\n[[listeners]]", "f.toml:3:1: [[listeners]] cannot stand beside the short form's top-level [[targets]] (move the targets into [[upstreams.targets]], or leave the rest out)"],
    ['"127.0.0.1:9001"', '"127.0.0.1:9001"\n[[upstreams.targets]]\naddress = "127.0.0.1:9001"', 'f.toml:10:11: 127.0.0.1:9001 is in upstream "api" already (give it a weight instead of naming it twice)'],
    ["[[listeners]]", "[[listeners]]\n[[listeners]]", 'f.toml:1:1: [[listeners]] needs "address" (add address = …)'],
  ] as const) {
    test(expected, () => expect(lines(broken(from, to))[0]!).toBe(expected));
  }

  test("of very many no further ones are sought", () => {
    const text = (keys: number): string => `${broken('upstream = "api"', 'upstream = "nope"')}${Array.from({ length: keys }, (_, index) => `key-${index} = 1
`).join("")}`;
    expect([lines(text(100))[0], lines(text(101))[0]]).toEqual([expect.stringContaining('there is no upstream "nope"'), expect.stringContaining('unknown key "key-0"')]);
  });

  test("of very many a hundred are told of, the first ones, and how many more there are", () => {
    const all = diagnose(Array.from({ length: 5_000 }, (_, index) => `key-${index} = 1\n`).join(""));
    expect([all.length, all[99]!.place?.line, diagnosticLine(all[100]!)]).toEqual([101, 100, "f.toml: and 4900 more"]);
    expect(formatDiagnostics(all, { color: false })).toEndWith("f.toml: error: and 4900 more\n\n5000 errors\n");
  });

  for (const [what, text, place] of [
    ["a key of 100,000 parts", `a${".a".repeat(100_000)} = 1`, "1:63"],
    ["a table of 100,000 parts", `[a${".a".repeat(100_000)}]`, "1:1"],
    ["one of few too many within a table that there is", `[limits]\nheader_count${".a".repeat(40)} = 1`, "2:72"],
    ["inline tables", `a = ${"{ a = ".repeat(40)}1${" }".repeat(40)}`, "1:187"],
  ] as const) {
    test(`${what}: how deep it nests, where that is too much`, () => expect(lines(text)).toEqual([`f.toml:${place}: this nests more than 32 deep (tables of a configuration are within a few others at most)`]));
  }

  test("no message and no line that is shown has more than a thousand characters", () => {
    for (const { message, quoted } of [...diagnose(`${"x".repeat(50_000)} = 1`), ...diagnose(`a = "${"x".repeat(50_000)}" 1`)]) expect([message.length <= 1_001, quoted]).toEqual([true, undefined]);
  });

  test("TOML itself", () => expect(lines("a = [1, 2\n")[0]).toStartWith("f.toml:2:1: not valid TOML: "));
  test("an empty file", () => expect(lines("")).toEqual(["f.toml: nothing to listen on (add [[listeners]] and [[upstreams]], or just [[targets]])"]));
});

test("all errors of a file are reported at once, those between tables too, in file order", () => {
  const text = `workrs = 2
[[listeners]]
address = ":1"
upstream = "nope"
[[listeners]]
address = ":1"
upstream = "api"
[[upstreams]]
name = "api"
policy = "randm"
retries = "many"
[[upstreams.targets]]
address = "x"
`;
  expect(diagnose(text).map(({ place, message }) => `${place!.line} ${message.split(",", 1)[0]}`)).toEqual([
    '1 unknown key "workrs"',
    '4 there is no upstream "nope"',
    "6 0.0.0.0:1 is taken by listener 1",
    '10 there is no policy "randm"',
    '11 "retries" must be a number',
    '13 "x" is not an address',
  ]);
});

test("a person sees the line, the part underlined, and the cure", () => {
  expect(formatDiagnostics(diagnose(broken("policy =", "polcy =")), { color: false })).toBe(`f.toml:6:1: error: unknown key "polcy" in [[upstreams]]
  6 | polcy = "round-robin"
    | ^^^^^
  did you mean "policy"?

1 error
`);
});

test("headers for a collector are secrets, wherever the error is", () => {
  for (const table of [
    '[tracing]\nheaders = { "a b" = "hush-hush" }',
    "[tracing.headers]\nx-team = 4711",
    '[tracing.headers]\n"x-team" = ["hush-hush"]',
    'tracing = { sample = 7, headers = { x-team = "hush-hush" } }',
    '[tracing.headers]\nAuthorization = "hush-hush',
  ]) {
    const text = formatDiagnostics(diagnose(broken("[[listeners]]", `${table}\n[[listeners]]`)), { color: false });
    expect(text).toContain("error:");
    expect(text).not.toMatch(/hush|4711/);
  }
});

test("whatever is in the file, the answer is diagnostics, never an exception", () => {
  const seed = broken("round-robin", "round-robin");
  fc.assert(
    fc.property(fc.nat(seed.length), fc.nat(20), fc.oneof(fc.string({ maxLength: 8 }), fc.constantFrom('"', "[", "]", "=", "{", "}", "\n", "'", "#", ".", "1", "true", "[[x]]\n")), (at, cut, text) => {
      diagnose(seed.slice(0, at) + text + seed.slice(at + cut));
    }),
    { numRuns: 500 },
  );
});

/** What is told of two configurations: every change that means something, none that does not, and no secret. */
import { describe, expect, test } from "bun:test";
import { parse } from "smol-toml";
import { type ConfigDiff, diffConfigs, inShort, inWords, isUnchanged } from "../../src/config/diff.ts";
import { effective, shown as shownOf } from "../../src/config/effective.ts";
import type { UpstreamOverride } from "../../src/config/overrides.ts";

const BASE = `
[admin]
address = "127.0.0.1:9000"
token = "a-secret-token"
[[listeners]]
name = "front"
address = "127.0.0.1:8080"
upstream = "main"
[[routes]]
path_prefix = "/a"
upstream = "main"
[[routes]]
path_prefix = "/b"
upstream = "main"
[[upstreams]]
name = "main"
policy = "p2c"
[[upstreams.targets]]
address = "127.0.0.1:1"
[[upstreams.targets]]
address = "127.0.0.1:2"
weight = 2
`;

function between(before: string, after: string): ConfigDiff {
  return diffConfigs(effective(parse(before)), effective(parse(after)));
}

/** BASE with one text in place of another. */
function changed(from: string, to: string): ConfigDiff {
  expect(BASE).toContain(from);
  return between(BASE, BASE.replace(from, to));
}

describe("a change is told in words", () => {
  const cases: readonly (readonly [what: string, from: string, to: string, words: readonly string[], short: string])[] = [
    ["a setting", "[admin]", "workers = 3\n[admin]", ["workers auto → 3"], "settings ~1"],
    ["a setting in a table", "[admin]", "[log]\naccess = true\n[admin]", ["log.access false → true"], "settings ~1"],
    ["a default for listeners, once for each that has it", "[admin]", '[timeouts]\nclient_idle = "5s"\n[admin]', ["timeouts.client_idle 60s → 5s", 'listener "front": timeouts.client_idle 60s → 5s'], "settings ~1, listeners ~1"],
    ["a secret, without saying it", "a-secret-token", "another-token", ["admin.token is another one"], "settings ~1"],
    ["a listener's address", "127.0.0.1:8080", "127.0.0.1:8081", ['listener "front": address 127.0.0.1:8080 → 127.0.0.1:8081'], "listeners ~1"],
    ["another name, which is another listener", '"front"', '"gate"', ['listener "gate" is added', 'listener "front" is removed'], "listeners +1 -1"],
    ["http2 in its short form", 'upstream = "main"\n[[routes]]', 'upstream = "main"\nhttp2 = false\n[[routes]]', ['listener "front": http2.enabled true → false'], "listeners ~1"],
    ["a route that is added", "[[upstreams]]", '[[routes]]\nhosts = ["x.test"]\nmethods = ["GET"]\nupstream = "main"\n[[upstreams]]', ['route "GET x.test" is added'], "routes +1"],
    ["what a route looks for, which is no secret", 'path_prefix = "/a"', 'path_prefix = "/a"\nname = "r"\nheaders = { x-a = "1" }', ['route "r" is added', 'route "/a" is removed'], "routes +1 -1"],
    ["the order of routes", 'path_prefix = "/a"\nupstream = "main"\n[[routes]]\npath_prefix = "/b"', 'path_prefix = "/b"\nupstream = "main"\n[[routes]]\npath_prefix = "/a"', ["routes are in another order"], "routes reordered"],
    ["a policy", '"p2c"', '"random"', ['upstream "main": policy p2c → random'], "upstreams ~1"],
    ["a key that is gone", 'policy = "p2c"\n', "", ['upstream "main": policy p2c → round-robin'], "upstreams ~1"],
    ["a table whose being there means something, with a secret", '"p2c"', '"p2c"\nsticky = { secret = "sixteen letters!" }', [expect.stringMatching(/^upstream "main": sticky is set to \{"cookie":"fairlead".*"secret":"\(secret\)"/) as unknown as string], "upstreams ~1"],
    ["a key within such a table", '"p2c"', '"p2c"\ncircuit_breaker = { window = "3s" }', [expect.stringContaining('upstream "main": circuit_breaker is set to {"failure_rate":"50%"') as unknown as string], "upstreams ~1"],
    ["a target that is added and one that is removed", "127.0.0.1:1", "127.0.0.1:3", ['upstream "main": target "127.0.0.1:3" is added', 'upstream "main": target "127.0.0.1:1" is removed'], "targets +1 -1"],
    ["a target's weight", "weight = 2", "weight = 5", ['upstream "main": target "127.0.0.1:2": weight 2 → 5'], "targets ~1"],
    ["a backup", "weight = 2", "weight = 2\nbackup = true", ['upstream "main": target "127.0.0.1:2": priority 0 → 1'], "targets ~1"],
    ["an upstream", "[[upstreams]]", '[[upstreams]]\nname = "other"\ntargets = [{ address = "127.0.0.1:9" }]\n[[upstreams]]', ['upstream "other" is added'], "upstreams +1"],
  ];
  for (const [what, from, to, words, short] of cases) {
    test(what, () => {
      const diff = changed(from, to);
      expect(inWords(diff)).toEqual([...words]);
      expect(inShort(diff)).toBe(short);
      expect(isUnchanged(diff)).toBe(false);
    });
  }
});

describe("nothing is told of", () => {
  const cases: readonly (readonly [what: string, from: string, to: string])[] = [
    ["a default that is written out", 'name = "main"', 'name = "main"\nretries = 1\npool_size = 256'],
    ["a table of defaults", 'name = "main"', 'name = "main"\ntimeouts = { connect = "5000ms" }'],
    ["the same duration and size in other words", "[admin]", 'drain_timeout = "0.5m"\n[limits]\nheader_bytes = 32768\n[admin]'],
    ["the order of upstreams' targets and of keys", 'address = "127.0.0.1:2"\nweight = 2', 'weight = 2\naddress = "127.0.0.1:2"'],
    ["comments", "[admin]", "# a comment\n[admin]"],
  ];
  for (const [what, from, to] of cases) {
    test(what, () => {
      const diff = changed(from, to);
      expect(inWords(diff)).toEqual([]);
      expect(isUnchanged(diff)).toBe(true);
      expect(inShort(diff)).toBe("nothing has changed");
    });
  }

  test("the short form and what it stands for", () => {
    const short = '[[targets]]\naddress = "127.0.0.1:1"\n[[targets]]\naddress = "127.0.0.1:2"\nweight = 3\n';
    const long = '[[listeners]]\nname = "default"\naddress = "0.0.0.0:80"\nupstream = "default"\ntcp_unavailable = "http-503"\n[[upstreams]]\nname = "default"\nhealth_check = { type = "tcp", interval = "5s", rise = 1, fall = 1 }\ntargets = [{ address = "127.0.0.1:1" }, { address = "127.0.0.1:2", weight = 3 }]\n';
    expect(inWords(between(short, long))).toEqual([]);
  });
});

test("what was said by the API is part of what is in force", () => {
  const said = new Map<string, UpstreamOverride>([
    [
      "main",
      {
        policy: { policy: "hash", hash_key: "header:X-User" },
        targets: new Map([
          ["127.0.0.1:1", { how: "removed", keys: {} }],
          ["127.0.0.1:2", { how: "changed", keys: { weight: 7, backup: true } }],
          ["127.0.0.1:3", { how: "added", keys: { zone: "b" } }],
          ["127.0.0.1:4", { how: "changed", keys: { weight: 7 } }],
        ]),
      },
    ],
  ]);
  const value = parse(BASE);
  expect(inWords(diffConfigs(effective(value), effective(value, said)))).toEqual([
    'upstream "main": policy p2c → hash',
    'upstream "main": hash_key client-ip → header:X-User',
    'upstream "main": target "127.0.0.1:3" is added',
    'upstream "main": target "127.0.0.1:1" is removed',
    'upstream "main": target "127.0.0.1:2": weight 2 → 7',
    'upstream "main": target "127.0.0.1:2": priority 0 → 1',
  ]);
  // A file that says by now what was said beside it changes nothing.
  const written = parse(BASE.replace("127.0.0.1:1", "127.0.0.1:3").replace("weight = 2", "weight = 7"));
  expect(inWords(diffConfigs(effective(value, said), effective(written, said)))).toEqual([]);
});

test("no secret is shown", () => {
  const text = `
[admin]
address = "127.0.0.1:9000"
token = "SECRET-1"
[[admin.tokens]]
name = "ci"
token = "SECRET-2"
access = "read"
[[admin.tokens]]
name = "ops"
token_file = "shown.token"
access = "read"
[[listeners]]
address = "127.0.0.1:8080"
upstream = "main"
[[routes]]
headers = { x-shown = "shown" }
upstream = "main"
[[upstreams]]
name = "main"
sticky = { secret = "SECRET-3-of-sixteen" }
health_check = { headers = { Authorization = "Bearer SECRET-4" } }
supervised = { command = ["shown"], environment = { PASSWORD = "SECRET-5" } }
`;
  const shown = JSON.stringify(shownOf(effective(parse(text))));
  expect(shown).not.toContain("SECRET");
  expect(shown.match(/\(secret\)/g)).toHaveLength(5);
  expect(shown.match(/"shown"/g)).toHaveLength(2);
  expect(shown).toContain("shown.token");
  const words = JSON.stringify(between(text, text.replaceAll("SECRET", "OTHER")));
  expect(words).not.toMatch(/SECRET|OTHER/);
});

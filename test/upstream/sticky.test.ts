/** Sticky sessions: a cookie brings a client back, nobody else can make one, and it tells nothing. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { RoutingRequest } from "../../src/policies/policy.ts";
import { Flag } from "../../src/scoreboard/scoreboard.ts";
import { cookieOf } from "../../src/upstream/cookie.ts";
import { Sticky } from "../../src/upstream/sticky.ts";
import type { Target } from "../../src/upstream/target.ts";
import type { Upstream } from "../../src/upstream/upstream.ts";
import { ANYBODY, type AtWork, atWork, manyTargets } from "../support/upstreams.ts";

const SECRET = "sixteen characters, or more";

/** A request with this Cookie field. */
const withCookie = (field: string): RoutingRequest => ({ ...ANYBODY, header: (name) => (name === "cookie" ? field : undefined) });

function sticking(sticky: object = {}, more: object = {}, workers = 1): AtWork {
  return atWork({ panic_threshold: "0%", sticky: { secret: SECRET, ...sticky }, targets: manyTargets(4), ...more }, { workers });
}

/** `NAME=TOKEN` of a target, as its Set-Cookie line has it. */
function cookieFor(sticky: Sticky, target: Target): string {
  return /^Set-Cookie: ([^;]+);/.exec(sticky.line(ANYBODY, target)!)![1]!;
}

const indexOf = (upstream: Upstream, request: RoutingRequest, tried: readonly Target[] = []): number => upstream.targets.indexOf(upstream.pick(request, tried) as Target);

/** The cookie says nothing: picks go round. */
function expectNoMemory(upstream: Upstream, request: RoutingRequest): void {
  expect(new Set(Array.from({ length: upstream.targets.length }, () => indexOf(upstream, request))).size).toBe(upstream.targets.length);
}

describe("a cookie", () => {
  test("brings back to its target, in every worker", () => {
    const { workers, upstream } = sticking({}, {}, 3);
    for (const [index, target] of upstream.targets.entries()) {
      const request = withCookie(cookieFor(upstream.sticky!, target));
      for (const worker of workers) for (let i = 0; i < 5; i++) expect(indexOf(worker, request)).toBe(index);
    }
  });

  test("is found among others, under the name that the configuration gives it", () => {
    const { upstream } = sticking({ cookie: "srv" });
    const cookie = cookieFor(upstream.sticky!, upstream.targets[2]!);
    expect(cookie).toStartWith("srv=");
    expect(indexOf(upstream, withCookie(`a=1; ${cookie}; xsrv=2; srv=later`))).toBe(2);
  });

  test("is not set again where the client has the right one", () => {
    const { upstream } = sticking();
    const [a, b] = upstream.targets;
    const request = withCookie(cookieFor(upstream.sticky!, a!));
    expect(upstream.sticky!.line(request, a!)).toBeUndefined();
    expect(upstream.sticky!.line(request, b!)).toContain(cookieFor(upstream.sticky!, b!));
  });

  test("is the same after a restart, whatever else changed", () => {
    const first = sticking().upstream;
    const second = sticking({}, { policy: "random", targets: manyTargets(6).toReversed() }).upstream;
    for (const target of first.targets) expect(cookieFor(second.sticky!, second.targets.find(({ name }) => name === target.name)!)).toBe(cookieFor(first.sticky!, target));
  });

  test("without attributes asked for has Path, HttpOnly and SameSite=Lax", () => {
    const { upstream } = sticking();
    expect(upstream.sticky!.line(ANYBODY, upstream.targets[0]!)).toMatch(/^Set-Cookie: fairlead=[\w-]{22}; Path=\/; HttpOnly; SameSite=Lax\r\n$/);
  });

  test("has the attributes that are asked for", () => {
    const { upstream } = sticking({ path: "/app", domain: "example.org", max_age: "90s", secure: true, http_only: false, same_site: "none" });
    expect(upstream.sticky!.line(ANYBODY, upstream.targets[0]!)).toMatch(/^Set-Cookie: fairlead=[\w-]{22}; Path=\/app; Domain=example.org; Max-Age=90; Secure; SameSite=None\r\n$/);
  });
});

describe("a token", () => {
  test("has no address, plain or encoded, and every target has another", () => {
    const { upstream } = sticking();
    const tokens = upstream.targets.map((target) => cookieFor(upstream.sticky!, target).slice("fairlead=".length));
    expect(new Set(tokens).size).toBe(4);
    for (const [index, token] of tokens.entries()) {
      const { name } = upstream.targets[index]!;
      for (const form of [token, Buffer.from(token, "base64url").toString("latin1")]) expect(form).not.toContain(name.split(":", 1)[0]!);
      for (const encoding of ["base64", "base64url", "hex"] as const) expect(token).not.toContain(Buffer.from(name).toString(encoding).slice(0, 8));
    }
  });

  test("that is made up, cut, lengthened or empty is ignored", () => {
    const { upstream } = sticking();
    const right = cookieFor(upstream.sticky!, upstream.targets[1]!);
    const { name } = upstream.targets[1]!;
    for (const forged of ["fairlead=", "fairlead=AAAAAAAAAAAAAAAAAAAAAA", "fairlead=1", `fairlead=${name}`, right.slice(0, -1), `${right}A`, right.toUpperCase(), `"${right}"`, "fairlead=__proto__"]) {
      expectNoMemory(upstream, withCookie(forged));
      expect(upstream.sticky!.line(withCookie(forged), upstream.targets[1]!)).toContain(right);
    }
  });

  test("of another upstream or another secret is ignored", () => {
    const { config, upstream } = sticking();
    const { targets } = upstream;
    const others = [new Sticky(config.sticky!, "other", targets), new Sticky({ ...config.sticky!, secret: "another secret, as long" }, "main", targets)];
    for (const other of others) {
      const cookie = cookieFor(other, targets[0]!);
      expect(cookie).not.toBe(cookieFor(upstream.sticky!, targets[0]!));
      expectNoMemory(upstream, withCookie(cookie));
    }
  });

  test("of a target that is gone is ignored", () => {
    const larger = sticking({}, { targets: manyTargets(5) }).upstream;
    expectNoMemory(sticking().upstream, withCookie(cookieFor(larger.sticky!, larger.targets[4]!)));
  });
});

describe("a target", () => {
  test("that is down is left for another, and found again when it is back", () => {
    const { board, upstream } = sticking();
    const request = withCookie(cookieFor(upstream.sticky!, upstream.targets[2]!));
    for (const flag of [Flag.DOWN, Flag.EJECTED, Flag.SILENT, Flag.MAINTENANCE]) {
      board.setFlags(0, 2, flag);
      for (let i = 0; i < 8; i++) expect([0, 1, 3]).toContain(indexOf(upstream, request));
      board.setFlags(0, 2, 0);
      expect(indexOf(upstream, request)).toBe(2);
    }
  });

  test("that drains keeps its clients and gets no others, until its time is up", () => {
    const { board, upstream } = sticking();
    const request = withCookie(cookieFor(upstream.sticky!, upstream.targets[2]!));
    board.setFlags(0, 2, Flag.DRAINING);
    for (let i = 0; i < 8; i++) {
      expect(indexOf(upstream, request)).toBe(2);
      expect(indexOf(upstream, ANYBODY)).not.toBe(2);
    }
    board.setFlags(0, 2, Flag.DRAINING | Flag.DOWN);
    expect(indexOf(upstream, request)).not.toBe(2);
    board.setFlags(0, 2, Flag.DRAINING | Flag.CUT);
    expect(indexOf(upstream, request)).not.toBe(2);
  });

  test('that drains loses its clients at once with while_draining = "move"', () => {
    const { board, upstream } = sticking({ while_draining: "move" });
    const request = withCookie(cookieFor(upstream.sticky!, upstream.targets[2]!));
    board.setFlags(0, 2, Flag.DRAINING);
    for (let i = 0; i < 8; i++) expect(indexOf(upstream, request)).not.toBe(2);
  });

  test("that drains serves its own clients and nobody else, also when all others are down", () => {
    const { board, upstream } = sticking();
    board.setFlags(0, 2, Flag.DRAINING);
    for (const slot of [0, 1, 3]) board.setFlags(0, slot, Flag.DOWN);
    expect(indexOf(upstream, withCookie(cookieFor(upstream.sticky!, upstream.targets[2]!)))).toBe(2);
    expect(upstream.pick(ANYBODY, [])).toBeUndefined();
  });

  test("that was tried, or is full, is left for this once", () => {
    const { upstream } = sticking({}, { max_requests: 1 });
    const target = upstream.targets[1]!;
    const request = withCookie(cookieFor(upstream.sticky!, target));
    expect(indexOf(upstream, request, [target])).not.toBe(1);
    upstream.enter(target);
    expect([0, 2, 3]).toContain(indexOf(upstream, request));
    upstream.leave(target, { failed: false, milliseconds: 1, status: 200 });
    expect(indexOf(upstream, request)).toBe(1);
  });
});

describe("cookieOf", () => {
  const cases: readonly [string | undefined, string | undefined][] = [
    [undefined, undefined],
    ["", undefined],
    ["a=1", "1"],
    ["a=", ""],
    ["a", undefined],
    ["a =1", undefined],
    ["A=1", undefined],
    ["aa=1", undefined],
    ["b=a=1", undefined],
    ["ba=1; a=2", "2"],
    ["a=1; a=2", "1"],
    [" \t a=1 \t; b=2", "1"],
    ["b=2;a=1", "1"],
    ["b=2, a=1", "1"],
    [";;; ,, ;a=1;", "1"],
    ["a=b=c", "b=c"],
    ['a="x y"', '"x y"'],
    ["=1; a=2", "2"],
    ["; ", undefined],
    ["a;a=1", "1"],
  ];
  for (const [field, value] of cases) test(`${JSON.stringify(field)} has ${JSON.stringify(value)}`, () => expect(cookieOf(field, "a")).toBe(value));

  test("is as by splitting, for any field", () => {
    const naive = (field: string, name: string): string | undefined =>
      field
        .split(/[;,]/)
        .map((pair) => pair.replace(/^[ \t]+/, ""))
        .find((pair) => pair.startsWith(`${name}=`))
        ?.slice(name.length + 1)
        .trim();
    const field = fc.string({ unit: fc.constantFrom("a", "b", "=", ";", ",", " ", "\t", "A"), maxLength: 30 });
    fc.assert(
      fc.property(field, fc.constantFrom("a", "ab", "b"), (text, name) => {
        expect(cookieOf(text, name)).toBe(naive(text, name));
      }),
      { seed: 1, numRuns: 2000 },
    );
  });

  test("finds what was put in, wherever it stands", () => {
    const name = fc.stringMatching(/^[a-z!#$%&'*+.^_`|~0-9-]{1,8}$/);
    const value = fc.stringMatching(/^[A-Za-z0-9_=-]{0,12}$/);
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(name, value), { minLength: 1, maxLength: 8, selector: ([each]) => each }), (cookies) => {
        const field = cookies.map((pair) => pair.join("=")).join("; ");
        for (const [each, its] of cookies) expect(cookieOf(field, each)).toBe(its);
      }),
      { seed: 1 },
    );
  });
});

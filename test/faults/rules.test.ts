/** Which requests a rule takes, how many of them, and when it ends; what a client may choose; bytes that pass slowly. */
import { describe, expect, test } from "bun:test";
import { toldKeysOf } from "../../src/config/faults.ts";
import { loadConfigText, SlotAllocator } from "../../src/config/load.ts";
import type { FaultRule } from "../../src/config/snapshot.ts";
import { readChoice } from "../../src/faults/choice.ts";
import { Faults, NO_OVERLAY } from "../../src/faults/faults.ts";
import { Pacer } from "../../src/faults/pacer.ts";
import { TimerWheel } from "../../src/net/timers.ts";
import type { RoutingRequest } from "../../src/policies/policy.ts";
import { randomFrom } from "../support/random.ts";
import { ManualClock } from "../support/upstreams.ts";

const BEFORE = '[[listeners]]\nname = "web"\naddress = "127.0.0.1:1"\nupstream = "main"\n[[listeners]]\nname = "raw"\naddress = "127.0.0.1:2"\nprotocol = "tcp"\nupstream = "main"\n[[listeners]]\nname = "names"\naddress = "127.0.0.1:3"\nprotocol = "udp"\nupstream = "main"\n[[routes]]\nname = "checkout"\npath_prefix = "/checkout"\nlisteners = ["web"]\nupstream = "main"\n[[upstreams]]\nname = "main"\n[[upstreams.targets]]\naddress = "127.0.0.1:9"\n';

function load(toml: string): ReturnType<typeof loadConfigText> {
  return loadConfigText(BEFORE + toml, "test", { slots: new SlotAllocator({ targets: 8, upstreams: 8 }), generation: 1 });
}

/** A rule with these keys. */
function rule(keys: string, name = "one"): FaultRule {
  const loaded = load(`[faults]\nenabled = true\n[[faults.rules]]\nname = "${name}"\n${keys}\n`);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
  return loaded.snapshot.faults![0]!;
}

function refusals(toml: string): string[] {
  const loaded = load(toml);
  return loaded.ok ? [] : loaded.diagnostics.map(({ message, hint }) => `${message} | ${hint ?? ""}`);
}

const PASSAGE = { listener: "web", route: "checkout", upstream: "main" };

function request({ method = "GET", host = "a.test", headers = {} as Readonly<Record<string, string>>, protocol = "http" as "http" | "tcp" } = {}): RoutingRequest {
  return { protocol, clientAddress: "", clientPort: 0, method, host, path: "/", key: undefined, header: (name) => headers[name.toLowerCase()] };
}

function atWork(rules: readonly FaultRule[], { clock = new ManualClock(), random = (): number => 0.5 } = {}): { faults: Faults; clock: ManualClock; takes(of?: RoutingRequest, passage?: Partial<typeof PASSAGE>, isCall?: boolean): string | undefined } {
  const faults = new Faults({ clock, random, injected: () => {} }, () => {});
  faults.apply(rules);
  return { faults, clock, takes: (of = request(), passage = {}, isCall = false) => faults.forClient({ ...PASSAGE, ...passage }, of, isCall)?.rule.name };
}

describe("a rule takes", () => {
  test("what all of its conditions hold for", () => {
    const { takes } = atWork([rule('abort = 503\nroutes = ["checkout"]\nupstreams = ["main"]\nlisteners = ["web"]\nhosts = ["*.shop.test", "a.test"]\nmethods = ["GET"]\nheaders = { X-Try = "1", X-Any = true }')]);
    const headers = { "x-try": "1", "x-any": "x" };
    expect(takes(request({ headers }))).toBe("one");
    expect(takes(request({ headers, host: "eu.shop.test:8080" }))).toBe("one");
    expect(takes(request({ headers, host: "A.TEST." }))).toBe("one");
    for (const other of [request({ headers, host: "shop.test" }), request({ headers, method: "PUT" }), request({ headers: { "x-try": "2", "x-any": "x" } }), request({ headers: { "x-try": "1" } })]) expect(takes(other)).toBeUndefined();
    for (const passage of [{ route: "" }, { upstream: "other" }, { listener: "raw" }]) expect(takes(request({ headers }), passage)).toBeUndefined();
  });

  test("so many of them, by chance, within four standard deviations", () => {
    for (const [percent, least, most] of [["5", 876, 1124], ["0.5", 60, 140], ["99.9", 19_960, 19_995], ["0", 0, 0], ["100", 20_000, 20_000]] as const) {
      const { takes } = atWork([rule(`abort = 503\npercent = ${percent}`)], { random: randomFrom(7) });
      let taken = 0;
      for (let i = 0; i < 20_000; i++) if (takes() !== undefined) taken++;
      expect([percent, taken >= least && taken <= most, taken]).toEqual([percent, true, taken]);
    }
  });

  test("what the one before it leaves", () => {
    const { takes } = atWork([rule('reset = true\nmethods = ["PUT"]', "puts"), rule("abort = 500", "rest")]);
    expect([takes(request({ method: "PUT" })), takes()]).toEqual(["puts", "rest"]);
  });

  test("connections only by what can be done to them, and calls only by what is for them", () => {
    const tcp = request({ protocol: "tcp" });
    for (const keys of ["reset = true", 'delay = "1s"', 'throttle = "1KiB"']) expect(atWork([rule(keys)]).takes(tcp)).toBe("one");
    for (const keys of ["abort = 503", 'truncate = "1KiB"', "by_header = true"]) expect(atWork([rule(keys)]).takes(tcp)).toBeUndefined();
    const call = atWork([rule("grpc_status = 8")]);
    expect([call.takes(), call.takes(request(), {}, true)]).toEqual([undefined, "one"]);
    expect(atWork([rule("grpc_status = 8\nabort = 503")]).takes()).toBe("one");
  });

  test("no attempt of a connection that is not about connecting", () => {
    const both = [rule('target_error = "target-reset"', "reset"), rule('target_error = "connect-refused"\ntargets = ["127.0.0.1:9"]', "refused")];
    const { faults } = atWork(both);
    expect(faults.forTargets(PASSAGE, request()).map(({ name }) => name)).toEqual(["reset", "refused"]);
    const rules = faults.forTargets(PASSAGE, request({ protocol: "tcp" }));
    expect(rules.map(({ name }) => name)).toEqual(["refused"]);
    expect([faults.atTarget(rules, "127.0.0.1:9")?.rule.name, faults.atTarget(rules, "10.0.0.2:80")]).toEqual(["refused", undefined]);
    expect(faults.forClient(PASSAGE, request(), false)).toBeUndefined();
  });
});

describe("it ends", () => {
  test("by the clock, to the millisecond, and lets go of whom it holds", () => {
    const { faults, clock, takes } = atWork([]);
    expect(faults.active).toBe(false);
    const went: string[] = [];
    faults.override({ rules: [{ ...rule('delay = "1h"'), until: clock.wall() + 5_000 }], stopped: [] });
    const held = faults.forClient(PASSAGE, request(), false)!.rule;
    faults.wait(held, 3_600_000, () => went.push("long"));
    const callOff = faults.wait(held, 3_600_000, () => went.push("called off"));
    faults.wait(held, 100, () => went.push("short"));
    expect(faults.holding).toBe(3);
    callOff();
    clock.advance(4_999);
    expect([takes(), went, faults.holding]).toEqual(["one", ["short"], 1]);
    clock.advance(1);
    expect([takes(), went, faults.holding, faults.active]).toEqual([undefined, ["short", "long"], 0, false]);
    clock.advance(3_600_000);
    expect(went).toEqual(["short", "long"]);
  });

  test("after its time also where somebody sets the time of day back", () => {
    let setBack = 0;
    const clock = new (class extends ManualClock {
      override wall(): number {
        return super.wall() - setBack;
      }
    })();
    const { faults } = atWork([], { clock });
    const one = { ...rule("abort = 503"), until: clock.wall() + 5_000 };
    faults.override({ rules: [one], stopped: [] });
    setBack = 3_600_000;
    // Said once more, as when somebody brings another one.
    faults.override({ rules: [{ ...rule("abort = 500", "two"), until: clock.wall() + 10_000 }, one], stopped: [] });
    clock.advance(5_000);
    expect([faults.forClient(PASSAGE, request(), false)?.rule.name, faults.active]).toEqual(["two", true]);
    clock.advance(5_000);
    expect(faults.active).toBe(false);
  });

  test("by a person, by a file that says nothing of it, and with the worker; not by being said once more", () => {
    const own = rule('delay = "1h"');
    const { faults } = atWork([own]);
    const went: string[] = [];
    const hold = (name: string): void => void faults.wait(faults.forClient(PASSAGE, request(), false)!.rule, 3_600_000, () => went.push(name));
    hold("stopped");
    faults.apply([structuredClone(own)]);
    expect(went).toEqual([]);
    faults.override({ rules: [], stopped: ["one"] });
    expect([went, faults.active]).toEqual([["stopped"], false]);
    faults.override(NO_OVERLAY);
    hold("reloaded");
    faults.apply([]);
    expect(went).toEqual(["stopped", "reloaded"]);
    faults.apply([own]);
    hold("draining");
    faults.stop();
    expect([went, faults.active, faults.holding]).toEqual([["stopped", "reloaded", "draining"], false, 0]);
  });

  test("where no fault may be injected, whatever people say", () => {
    const { faults, clock } = atWork([]);
    faults.apply(undefined);
    faults.override({ rules: [{ ...rule("abort = 503"), until: clock.wall() + 60_000 }], stopped: [] });
    expect(faults.active).toBe(false);
    faults.apply([]);
    expect(faults.active).toBe(true);
  });
});

test("it is told without what its headers must say", () => {
  const told = toldKeysOf(rule('abort = 503\nmethods = ["GET"]\nheaders = { Authorization = "Bearer for-tests", X-Any = true }'));
  expect(told).toEqual({ methods: ["GET"], headers: { Authorization: "(secret)", "X-Any": true }, percent: 100, abort: 503 });
});

describe("what is said wrong", () => {
  const RULE = '[faults]\nenabled = true\n[[faults.rules]]\nname = "one"\n';

  test("is told with its reason", () => {
    const cases: readonly (readonly [string, string])[] = [
      ["", "it is not said what is injected | add delay, abort"],
      ["abort = 503\nreset = true", "a request is reset, or answered by abort"],
      ['abort = 503\nthrottle = "1KiB"', "abort leaves no reply of a target to throttle"],
      ["by_header = true\nabort = 503", "what is injected is said by the client, or by abort"],
      ['abort = 503\ntarget_delay = "1s"', "a rule is about the client's side (abort) or the targets' (target_delay)"],
      ['delay = ["2s", "1s"]', "a range begins with its shorter delay"],
      ['abort = 503\ntargets = ["10.0.0.1:80"]', "targets goes with target_delay or target_error"],
      ['abort = 503\nroutes = ["chekout"]', 'there is no route "chekout" | did you mean "checkout"?'],
      ['abort = 503\nlisteners = ["raw"]', 'listener "raw" is tcp, and abort is about HTTP'],
      ['delay = "1s"\nlisteners = ["names"]', 'listener "names" is udp: no fault is injected there'],
      ['abort = 503\n[[faults.rules]]\nname = "one"\nabort = 500', 'there is already a fault "one"'],
      ['target_delay = "1s"\ntargets = ["127.0.0.1:9", "127.0.0.1:99"]', 'there is no target "127.0.0.1:99" | did you mean "127.0.0.1:9"?'],
      ['target_delay = "1s"\nupstreams = ["main"]\ntargets = ["[2001:db8::1]:8080"]', 'there is no target "[2001:db8::1]:8080" | known: 127.0.0.1:9'],
      ['target_delay = "1s"\nupstreams = ["mian"]\ntargets = ["10.0.0.1:80"]', 'there is no upstream "mian" | did you mean "main"?'],
      ["abort = 200", '"abort" must be at least 400'],
      ["abort = 503\nroutes = []", "routes names nobody | name some, or leave it out, which means all"],
      ["abort = 503\nhosts = []\nmethods = []", "hosts names nobody | name some, or leave it out, which means all\nmethods names nobody"],
      ['target_delay = "1s"\ntargets = []', "targets names nobody"],
      ["abort = 503\npercent = 101", "100"],
      ['delay = "soon"', "soon"],
    ];
    for (const [keys, expected] of cases) expect([keys, refusals(RULE + keys).join("\n")]).toEqual([keys, expect.stringContaining(expected)]);
  });

  test("a target that may join still is no error, but a warning as long as it is not there", () => {
    const rules = `${RULE}target_delay = "1s"\nupstreams = ["pods"]\ntargets = ["10.0.0.1:80", "10.0.0.2:80"]\n`;
    const admin = '[admin]\naddress = "127.0.0.1:4"\ntoken = "a token that is long enough"\n';
    const upstream = (heartbeat: string): string => `[[upstreams]]\nname = "pods"\ntargets = [{ address = "10.0.0.1:80" }]\nheartbeat = { ${heartbeat} }\n[[routes]]\npath_prefix = "/pods"\nupstream = "pods"\n`;
    const joins = load(rules + admin + upstream(""));
    expect(joins.ok && joins.warnings).toEqual(['fault "one" names target "10.0.0.2:80", which is not there: it waits for it to join']);
    const there = joins.ok && joins.again({ slots: new SlotAllocator({ targets: 8, upstreams: 8 }), generation: 2, joined: new Map([["pods", [{ address: "10.0.0.2:80" }]]]) });
    expect(there && there.ok && there.warnings).toEqual([]);
    expect(refusals(rules + admin + upstream("register = false"))).toEqual(['there is no target "10.0.0.2:80" | did you mean "10.0.0.1:80"?']);
  });

  test("rules without a word on whether they are injected are an error; with false they rest", () => {
    expect(refusals('[[faults.rules]]\nname = "one"\nabort = 503\n')).toEqual(["rules are here, and enabled is not: nothing would be injected | add enabled = true, or enabled = false to keep the rules for another day"]);
    const resting = load('[faults]\nenabled = false\n[[faults.rules]]\nname = "one"\nabort = 503\n');
    expect(resting.ok && resting.snapshot.faults).toBeUndefined();
    const empty = load("[faults]\nenabled = true\n");
    expect(empty.ok && empty.snapshot.faults).toEqual([]);
  });
});

test("a client's choice is read strictly", () => {
  expect(readChoice("delay=300, abort=503")).toEqual({ delay: { from: 300, to: 300 }, abort: 503, reset: false, throttle: 0 });
  expect(readChoice("throttle=1000,truncate=0")).toEqual({ reset: false, throttle: 1000, truncate: 0 });
  expect(readChoice("reset")).toEqual({ reset: true, throttle: 0 });
  expect(readChoice("grpc_status=14")).toEqual({ grpcStatus: 14, reset: false, throttle: 0 });
  for (const text of ["", "delay", "delay=60001", "delay=-1", "delay=1s", "abort=200", "abort=503,abort=500", "reset=1", "reset,abort=500", "abort=500,throttle=1", "hang", "grpc_status=0", "throttle=0", "toString", "delay=1;abort=500"]) expect([text, readChoice(text)]).toEqual([text, undefined]);
});

describe("a pacer", () => {
  /** @param chunks sizes, each given once the one before has gone */
  function pass(rate: number, chunks: readonly number[]): { took: number; out: Buffer; sent: Buffer; most: number } {
    const clock = new ManualClock();
    const wheel = new TimerWheel(clock.now);
    const sent: Buffer[] = [];
    const out: Buffer[] = [];
    let most = 0;
    const pacer = new Pacer(rate, { clock, wheel }, (buffer, start, end) => {
      out.push(Buffer.from(buffer.subarray(start, end)));
      most = Math.max(most, end - start);
    }, () => {});
    const began = clock.now;
    for (const size of chunks) {
      const chunk = Buffer.from(Array.from({ length: size }, (_, at) => (at * 31 + size) & 255));
      sent.push(Buffer.from(chunk));
      pacer.pass(chunk, 0, size);
      // Its memory is somebody else's from now on.
      chunk.fill(0);
      for (let ticks = 0; pacer.waits && ticks < 100_000; ticks++) {
        clock.advance(20);
        wheel.sweep(clock.now);
      }
      expect(pacer.waits).toBe(false);
    }
    return { took: clock.now - began, out: Buffer.concat(out), sent: Buffer.concat(sent), most };
  }

  test("lets through so many bytes a second, in their order, and no more at once than a tenth of a second's", () => {
    for (const [rate, chunks] of [[10_000, [50_000]], [1_000_000, [512_000, 512_000, 1]], [7, [70]], [64, [1, 2, 3, 100, 200]]] as const) {
      const { took, out, sent, most } = pass(rate, chunks);
      expect(out.equals(sent)).toBe(true);
      const expected = ((sent.length - (1 + rate / 10)) / rate) * 1000;
      expect([rate, took >= expected - 40 && took <= expected * 1.1 + 100, took, expected]).toEqual([rate, true, took, expected]);
      expect(most).toBeLessThanOrEqual((1 + rate / 10));
    }
  });

  test("lets all go when it is opened", () => {
    const clock = new ManualClock();
    let out = 0;
    let drained = 0;
    const pacer = new Pacer(10, { clock, wheel: new TimerWheel(clock.now) }, (_buffer, start, end) => (out += end - start), () => drained++);
    pacer.pass(Buffer.alloc(1_000), 0, 1_000);
    expect([out, pacer.waits]).toEqual([2, true]);
    pacer.open();
    expect([out, pacer.waits, drained]).toEqual([1_000, false, 1]);
    pacer.pass(Buffer.alloc(500), 0, 500);
    expect([out, pacer.waits, drained]).toEqual([1_500, false, 1]);
  });
});

import { describe, expect, test } from "bun:test";
import { MAX_CHECKS_IN_FLIGHT } from "../../src/health/checker.ts";
import { MAX_HANGING_CONNECTS } from "../../src/health/hanging.ts";
import { silentLog } from "../../src/observability/log.ts";
import { Flag, Scoreboard } from "../../src/scoreboard/scoreboard.ts";
import { CHECK, FakeNetwork, memoryLog, snapshotOf, target, upstream, watching } from "./support.ts";

function arrange(draw?: () => number) {
  const network = new FakeNetwork(draw);
  const scoreboard = Scoreboard.local({ workers: 2, targets: 12_000, upstreams: 8 });
  const { log, lines } = memoryLog();
  return { network, scoreboard, lines, clock: network.clock, checker: watching(network, scoreboard, log) };
}

const UNHEALTHY = { reply: "HTTP/1.1 503 Sorry\r\nContent-Length: 0\r\n\r\n" };

describe("a target that fails", () => {
  test("goes out after `fall` checks, comes back after `rise`, and each change is said once with the count", () => {
    const { network, scoreboard, clock, checker, lines } = arrange();
    checker.apply(snapshotOf(upstream("api", [target(0), target(1), target(2)])));
    clock.advance(100);
    network.behaviour.set(9001, UNHEALTHY);
    clock.advance(9000);
    expect(scoreboard.isUp(1)).toBe(true);
    clock.advance(8000);
    expect(scoreboard.isUp(1)).toBe(false);
    expect(lines).toEqual(['WARN  Healthy targets: 2/3 upstream=api target=127.0.0.1:9001 state=down reason="status 503"']);
    clock.advance(60_000);
    expect(lines.length).toBe(1);
    network.behaviour.delete(9001);
    const asked = network.connects.length;
    while (network.connects.slice(asked).filter(({ port }) => port === 9001).length < 2) {
      expect(scoreboard.isUp(1)).toBe(false);
      clock.advance(100);
    }
    clock.advance(10);
    expect(scoreboard.isUp(1)).toBe(true);
    expect(lines.slice(1)).toEqual(['INFO  Healthy targets: 3/3 upstream=api target=127.0.0.1:9001 state=up reason="status 200"']);
  });

  test("is an error in the log when it was the last one", () => {
    const { network, clock, checker, lines } = arrange();
    network.behaviour.set(9000, "refuse").set(9001, "refuse");
    checker.apply(snapshotOf(upstream("api", [target(0), target(1)])));
    clock.advance(1000);
    expect(lines.map((line) => line.slice(0, 26))).toEqual(["WARN  Healthy targets: 1/2", "ERROR Healthy targets: 0/2"]);
    expect(lines[1]).toContain('reason="connect refused"');
  });

  test("is out at once when its first check fails", () => {
    const { network, scoreboard, clock, checker } = arrange();
    network.behaviour.set(9000, "refuse");
    checker.apply(snapshotOf(upstream("api", [target(0)])));
    clock.advance(50);
    expect(scoreboard.isUp(0)).toBe(false);
  });

  test("stays as it is while checks cannot be made for want of descriptors, and that is said, but not each time", () => {
    const { network, scoreboard, clock, checker, lines } = arrange();
    const targets = [0, 1, 2, 3].map((slot) => target(slot));
    for (const { slot } of targets) network.behaviour.set(9000 + slot, "shortage");
    checker.apply(snapshotOf(upstream("api", targets)));
    clock.advance(9000);
    expect(targets.every(({ slot }) => scoreboard.isUp(slot))).toBe(true);
    expect(lines.length).toBe(1);
    expect(lines[0]).toStartWith("ERROR health checks cannot be made; targets stay as they are");
    expect(checker.status()[0]).toMatchObject({ up: true, failures: 0, lastResult: { ok: false, conclusive: false, reason: "not checked: EMFILE" } });
  });
});

describe("new targets", () => {
  test('with initial = "down" wait for their first check, and one is enough', () => {
    const { scoreboard, clock, checker, lines } = arrange();
    checker.apply(snapshotOf(upstream("api", [target(0), target(1)], { ...CHECK, initial: "down", rise: 5 })));
    expect([scoreboard.isUp(0), scoreboard.isUp(1)]).toEqual([false, false]);
    expect(lines).toEqual(['INFO  down until checks pass upstream=api targets=2']);
    clock.advance(100);
    expect([scoreboard.isUp(0), scoreboard.isUp(1)]).toEqual([true, true]);
    expect(lines[2]).toStartWith("INFO  Healthy targets: 2/2 upstream=api");
  });

  test("without a check are always up", () => {
    const { network, scoreboard, clock, checker } = arrange();
    scoreboard.setFlags(0, 0, Flag.DOWN);
    checker.apply(snapshotOf({ ...upstream("plain", [target(0)]), healthCheck: undefined as never }));
    clock.advance(60_000);
    expect(scoreboard.isUp(0)).toBe(true);
    expect(network.connects).toEqual([]);
    expect(checker.status()[0]).toMatchObject({ check: "none", up: true });
  });

  test("of the short form are asked at their own path, or only for a connection", () => {
    const { network, clock, checker } = arrange();
    checker.apply(snapshotOf(upstream("short", [target(0, 9000, { healthPath: "/alive" }), target(1)], { ...CHECK, path: "", rise: 1, fall: 1 })));
    clock.advance(100);
    expect(network.requests.length).toBe(1);
    expect(network.requests[0]).toStartWith("GET /alive HTTP/1.1\r\nHost: 127.0.0.1:9000\r\nUser-Agent: fairlead-health/");
    expect(checker.status().map(({ check, lastResult }) => `${check}: ${lastResult?.reason}`)).toEqual(["http: status 200", "tcp: connected"]);
  });
});

describe("the schedule", () => {
  test("keeps gaps within 10 % of the interval after the second check", () => {
    let draws = 0;
    const { network, clock, checker } = arrange(() => (draws++ * 0.618) % 1);
    checker.apply(snapshotOf(upstream("api", [target(0)])));
    clock.advance(200_000);
    const times = network.connects.map(({ at }) => at);
    expect(times.length).toBeGreaterThan(35);
    const gaps = times.slice(2).map((at, i) => at - times[i + 1]!);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(4500);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(5500);
    expect(Math.max(...gaps) - Math.min(...gaps)).toBeGreaterThan(500);
  });

  test("runs at most so many checks at a time, and 1,000 targets that hang are all found out", () => {
    const { network, clock, checker } = arrange(Math.random);
    const targets = Array.from({ length: 1000 }, (_, slot) => target(slot, 1000 + slot));
    for (const { slot } of targets) network.behaviour.set(1000 + slot, "silent");
    checker.apply(snapshotOf(upstream("api", targets)));
    clock.advance(9500);
    expect(network.mostOpen).toBe(MAX_CHECKS_IN_FLIGHT);
    const status = checker.status();
    expect(status.filter(({ up }) => !up).length).toBe(1000);
    expect(status[0]!.lastResult).toMatchObject({ ok: false, reason: "timeout after 2s", milliseconds: 2000 });
  });

  test("does not pile up connects to targets that swallow packets", () => {
    const { network, clock, checker } = arrange(Math.random);
    const targets = Array.from({ length: 400 }, (_, slot) => target(slot, 1000 + slot));
    for (const { slot } of targets) network.behaviour.set(1000 + slot, "swallow");
    checker.apply(snapshotOf(upstream("api", targets)));
    clock.advance(100_000);
    expect(network.connects.length).toBeLessThanOrEqual(MAX_HANGING_CONNECTS + 400);
    expect(checker.status().every(({ up, lastResult }) => !up && lastResult?.reason === "connect timeout after 2s")).toBe(true);
  });

  test("ends with stop: no timer, no connection, the scoreboard as it was", () => {
    const { network, scoreboard, clock, checker } = arrange(Math.random);
    const targets = Array.from({ length: 600 }, (_, slot) => target(slot, 1000 + slot));
    for (const { slot } of targets) network.behaviour.set(1000 + slot, "silent");
    checker.apply(snapshotOf(upstream("api", targets)));
    clock.advance(2500);
    const down = targets.filter(({ slot }) => !scoreboard.isUp(slot)).length;
    expect(down).toBeGreaterThan(0);
    const before = network.connects.length;
    checker.stop();
    expect(network.open).toBe(0);
    clock.advance(1);
    expect(clock.pending).toBe(0);
    clock.advance(60_000);
    expect(network.connects.length).toBe(before);
    expect(targets.filter(({ slot }) => !scoreboard.isUp(slot)).length).toBe(down);
    expect(checker.status()).toEqual([]);
  });
});

describe("a reload", () => {
  test("keeps state, counts and schedule of what did not change", () => {
    const { network, scoreboard, clock, checker, lines } = arrange();
    network.behaviour.set(9001, "refuse");
    checker.apply(snapshotOf(upstream("api", [target(0), target(1)])));
    clock.advance(4000);
    const before = checker.status();
    const connects = network.connects.length;
    const epoch = scoreboard.epoch;
    for (let i = 0; i < 10; i++) checker.apply(snapshotOf(upstream("other", [target(5)], undefined, 1), upstream("api", [target(0, 9000, { weight: 7 }), target(1)])));
    expect(checker.status().filter(({ upstream: name }) => name === "api")).toEqual(before);
    expect(scoreboard.epoch).toBe(epoch);
    clock.advance(100);
    expect(network.connects.slice(connects).map(({ port }) => port)).toEqual([9005]);
    clock.advance(5000);
    expect(network.connects.slice(connects).filter(({ port }) => port === 9000).length).toBe(1);
    expect(lines.length).toBe(1);
  });

  test("stops the checks of a removed target, and counts without it", () => {
    const { network, clock, checker, lines } = arrange();
    network.behaviour.set(9001, "silent");
    checker.apply(snapshotOf(upstream("api", [target(0), target(1), target(2)])));
    clock.advance(1500);
    checker.apply(snapshotOf(upstream("api", [target(0), target(2)])));
    expect(network.open).toBe(0);
    network.behaviour.set(9000, UNHEALTHY);
    clock.advance(20_000);
    expect(network.connects.filter(({ port }) => port === 9001).length).toBe(1);
    expect(lines.map((line) => line.slice(6, 40))).toEqual(["Healthy targets: 1/2 upstream=api "]);
  });

  test("with another check keeps the state and asks in the new way soon", () => {
    const { network, scoreboard, clock, checker } = arrange();
    network.behaviour.set(9000, UNHEALTHY);
    checker.apply(snapshotOf(upstream("api", [target(0)])));
    clock.advance(100);
    expect(scoreboard.isUp(0)).toBe(false);
    network.behaviour.delete(9000);
    checker.apply(snapshotOf(upstream("api", [target(0)], { ...CHECK, path: "/other" })));
    expect(scoreboard.isUp(0)).toBe(false);
    clock.advance(100);
    expect(network.requests.at(-1)).toStartWith("GET /other ");
    expect(checker.status()[0]).toMatchObject({ up: false, successes: 1 });
    clock.advance(5000);
    expect(scoreboard.isUp(0)).toBe(true);
  });

  test('that gives a check to a target in use does not take it out, even with initial = "down"', () => {
    const { scoreboard, clock, checker } = arrange();
    const plain = { ...upstream("api", [target(0)]), healthCheck: undefined as never };
    checker.apply(snapshotOf(plain));
    checker.apply(snapshotOf(upstream("api", [target(0)], { ...CHECK, initial: "down" })));
    expect(scoreboard.isUp(0)).toBe(true);
    clock.advance(100);
    checker.apply(snapshotOf(plain));
    expect(checker.status()[0]).toMatchObject({ check: "none", up: true });
  });

  test("that gives a slot to another target starts from the beginning", () => {
    const { network, scoreboard, clock, checker } = arrange();
    network.behaviour.set(9000, "refuse");
    checker.apply(snapshotOf(upstream("api", [target(0)])));
    clock.advance(100);
    scoreboard.clearTarget(0);
    checker.apply(snapshotOf(upstream("api", [target(0, 9100)])));
    expect(checker.status()[0]).toMatchObject({ up: true, failures: 0, lastResult: undefined });
  });

  test("costs little at 10,000 targets", () => {
    const network = new FakeNetwork(Math.random);
    const scoreboard = Scoreboard.local({ workers: 2, targets: 10_000, upstreams: 8 });
    const checker = watching(network, scoreboard, silentLog());
    const build = () => snapshotOf(upstream("api", Array.from({ length: 10_000 }, (_, slot) => target(slot, 1000 + slot)), { ...CHECK, initial: "down" }));
    const times = [build(), build(), build(), build()].map((snapshot) => {
      const started = performance.now();
      checker.apply(snapshot);
      return performance.now() - started;
    });
    console.log(`apply at 10,000 targets: first ${times[0]!.toFixed(1)} ms, again ${times.slice(1).map((time) => time.toFixed(1)).join(", ")} ms`);
    expect(Math.min(...times.slice(1))).toBeLessThan(50);
  });
});

describe("a supervisor that takes over a scoreboard", () => {
  test("adopts what is down there, and needs `rise` checks to bring it back", () => {
    const { scoreboard, clock, checker, lines } = arrange();
    scoreboard.setFlags(0, 1, Flag.DOWN);
    checker.apply(snapshotOf(upstream("api", [target(0), target(1)])));
    expect([scoreboard.isUp(0), scoreboard.isUp(1)]).toEqual([true, false]);
    clock.advance(100);
    expect(scoreboard.isUp(1)).toBe(false);
    clock.advance(5500);
    expect(scoreboard.isUp(1)).toBe(true);
    expect(lines[0]).toBe("INFO  down until checks pass upstream=api targets=1");
    expect(lines[1]).toStartWith("INFO  Healthy targets: 2/2 upstream=api");
  });

  test("leaves what was up in rotation when it is told so, and needs `fall` checks to take it out", () => {
    const { network, scoreboard, clock, checker } = arrange();
    network.behaviour.set(9000, "refuse");
    checker.apply(snapshotOf(upstream("api", [target(0), target(1)], { ...CHECK, initial: "down" })), { adopted: (slot) => slot === 0 });
    expect([scoreboard.isUp(0), scoreboard.isUp(1)]).toEqual([true, false]);
    clock.advance(5500);
    expect([scoreboard.isUp(0), scoreboard.isUp(1)]).toEqual([true, true]);
    clock.advance(5500);
    expect(scoreboard.isUp(0)).toBe(false);
  });
});


/** Configs that are right: what they mean, what is the default, and that slots stay over reloads. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { loadConfig, loadConfigText, snapshotFromFlags, SlotAllocator } from "../../src/config/load.ts";
import { DEFAULTS, jsonSchema } from "../../src/config/schema.ts";
import type { Snapshot } from "../../src/config/snapshot.ts";
import { routeLabel } from "../../src/routing/router.ts";
import { formatAddress, parseAddress, parseDuration, parseSize } from "../../src/config/values.ts";

const ROOT = join(import.meta.dir, "../..");
const slots = (): SlotAllocator => new SlotAllocator({ targets: 100, upstreams: 10 });

function load(text: string, allocator = slots()): Snapshot {
  const loaded = loadConfigText(text, "fairlead.toml", { slots: allocator, generation: 1 });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
  return loaded.snapshot;
}

const MINIMAL = `
[[listeners]]
address = ":8080"
upstream = "api"
[[upstreams]]
name = "api"
[[upstreams.targets]]
address = "127.0.0.1:9001"
`;

describe("routes", () => {
  test("that match the same are called differently", () => {
    const route = (more = ""): string => `[[routes]]\nhosts = ["a.example"]\nupstream = "api"\n${more}`;
    const { routes } = load(`${MINIMAL}${route()}${route()}${route('name = "a.example"\n')}${route('name = "b"\n')}${route()}`);
    expect(routes.map(routeLabel)).toEqual(["a.example #2", "a.example #3", "a.example", "b", "a.example #4"]);
    expect(load(MINIMAL + route()).routes.map(routeLabel)).toEqual(["a.example"]);
  });
});

describe("a minimal config", () => {
  test("has every default of the limits table", () => {
    const { listeners, upstreams, drainTimeout, maxClients, log } = load(MINIMAL);
    expect({ drainTimeout, maxClients, log }).toEqual({ drainTimeout: 30_000, maxClients: 50_000, log: { level: "info", modules: {} } });
    expect(listeners).toEqual([
      {
        name: "listener-1",
        slot: 0,
        address: { kind: "tcp", host: "0.0.0.0", port: 8080 },
        protocol: "http",
        upstream: "api",
        tcpUnavailable: "close",
        accessLog: true,
        maxClients: 10_000,
        maxClientsPerIp: 0,
        http2: { enabled: true, maxStreams: 100, streamWindow: 65_536, connectionWindow: 1_048_576, continuations: 8, resets: 1_000, resetsPerSecond: 33, glitches: 10_000, glitchesPerSecond: 330 },
        underscoreNames: "reject",
        timeouts: { tlsHandshake: 10_000, clientHeader: 10_000, clientBody: 30_000, clientIdle: 60_000, request: 0, tunnelIdle: 3_600_000, udpIdle: 60_000 },
        limits: { headerBytes: 32_768, headerCount: 100, requestLineBytes: 8_192, bodyBytes: 0, clientHelloBytes: 16_384 },
        forwarding: { xForwarded: true, forwarded: false, via: true, requestId: "off", trustedProxies: [] },
      },
    ]);
    expect(upstreams[0]).toMatchObject({
      policy: { kind: "builtin", name: "round-robin" },
      hostHeader: { kind: "client" },
      poolSize: 256,
      retry: { retries: 1, onConnectFailure: true, onReset: true, onTimeout: true, statuses: [], backoff: 25, backoffMax: 250, buffer: 65_536, budget: 20, budgetMin: 3 },
      queue: { size: 1024, timeout: 15_000 },
      outliers: { consecutive5xx: 0, consecutiveGateway: 5, consecutiveLocal: 5, successRateFactor: 0, maxEjected: 10 },
      panicThreshold: 0,
      slowStart: 0,
      timeouts: { connect: 5_000, response: 60_000, attempt: 0, body: 30_000, idle: 30_000 },
      targets: [{ name: "127.0.0.1:9001", weight: 1, address: { kind: "tcp", host: "127.0.0.1", port: 9001 } }],
    });
    expect(upstreams[0]!.healthCheck).toBeUndefined();
  });

  test("listeners inherit what the top says and may say otherwise", () => {
    const { listeners } = load(`[timeouts]\nclient_idle = "5s"\nclient_body = "6s"\n${MINIMAL.replace('upstream = "api"', 'upstream = "api"\ntimeouts = { client_body = "7s" }')}`);
    expect(listeners[0]!.timeouts).toMatchObject({ clientIdle: 5_000, clientBody: 7_000, clientHeader: 10_000 });
  });
});

describe("the short form", () => {
  test("is one listener on port 80 and one upstream, checked every 5 s, out after one failure, back after one success", () => {
    const { listeners, upstreams } = load('[[targets]]\naddress = "127.0.0.1:9001"\nhealth_check_endpoint = "/healthz"\n[[targets]]\naddress = "127.0.0.1:9002"\n');
    expect(listeners).toMatchObject([{ name: "default", address: { kind: "tcp", host: "0.0.0.0", port: 80 }, protocol: "http", upstream: "default", tcpUnavailable: "http-503" }]);
    expect(upstreams).toMatchObject([
      {
        name: "default",
        policy: { kind: "builtin", name: "round-robin" },
        healthCheck: { type: "http", interval: 5_000, rise: 1, fall: 1, path: "" },
        targets: [{ name: "127.0.0.1:9001", healthPath: "/healthz" }, { name: "127.0.0.1:9002" }],
      },
    ]);
  });

  test("takes address and protocol from the top, and checks by connect where no path is named", () => {
    const { listeners, upstreams } = load('address = "127.0.0.1:7000"\nprotocol = "tcp"\n[[targets]]\naddress = "db:5432"\n');
    expect(listeners[0]).toMatchObject({ address: { host: "127.0.0.1", port: 7000 }, protocol: "tcp", tcpUnavailable: "http-503" });
    expect(upstreams[0]!.healthCheck!.type).toBe("tcp");
  });
});

describe("flags", () => {
  test("make listeners with a health path and an upstream that is watched", () => {
    const loaded = snapshotFromFlags({ listen: [":8080"], target: ["127.0.0.1:1", "[::1]:2"], workers: "2" }, { slots: slots(), generation: 1 });
    expect(loaded).toMatchObject({ ok: true, snapshot: { workers: 2, listeners: [{ healthPath: "/health", upstream: "default" }], upstreams: [{ targets: [{ name: "127.0.0.1:1" }, { name: "[::1]:2" }], healthCheck: { type: "tcp" } }] } });
  });

  test("are checked like a file", () => {
    const loaded = snapshotFromFlags({ listen: ["8080"], target: ["x"] }, { slots: slots(), generation: 1 });
    expect(loaded.ok).toBe(false);
    expect(JSON.stringify(loaded)).toContain('listeners.0.address: \\"8080\\" is not an address');
  });
});

describe("slots", () => {
  const config = (...ports: number[]): string => `[[listeners]]\naddress = ":1"\nupstream = "api"\n[[upstreams]]\nname = "api"\n${ports.map((port) => `[[upstreams.targets]]\naddress = "h:${port}"\n`).join("")}`;
  const slotsOf = (snapshot: Snapshot): Record<string, number> => Object.fromEntries(snapshot.upstreams[0]!.targets.map(({ name, slot }) => [name, slot]));

  test("stay with their target over reloads, and are given again only when free", () => {
    const allocator = new SlotAllocator({ targets: 4, upstreams: 1 });
    const first = slotsOf(load(config(1, 2, 3), allocator));
    const second = slotsOf(load(config(3, 4, 1), allocator));
    expect([second["h:1"], second["h:3"]]).toEqual([first["h:1"], first["h:3"]]);
    expect(Object.values(first)).not.toContain(second["h:4"]);
    const third = slotsOf(load(config(1, 5), allocator));
    expect(third["h:5"]).toBe(first["h:2"]);
  });

  test("rest while others are left: what was open under them shall have ended", () => {
    const allocator = slots();
    const first = slotsOf(load(config(1, 2), allocator));
    load(config(1), allocator);
    expect(Object.values(first)).not.toContain(slotsOf(load(config(1, 3), allocator))["h:3"]);
  });

  test("a config that does not fit is refused and takes nothing", () => {
    const allocator = new SlotAllocator({ targets: 2, upstreams: 1 });
    const loaded = loadConfigText(config(1, 2, 3), "f", { slots: allocator, generation: 1 });
    expect(loaded.ok).toBe(false);
    expect(load(config(8, 9), allocator).upstreams[0]!.targets).toHaveLength(2);
  });

  test("slots never collide, whatever comes and goes", () => {
    fc.assert(
      fc.property(fc.array(fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 }), { maxLength: 10 }), (reloads) => {
        const allocator = slots();
        for (const ports of reloads) {
          const given = Object.values(slotsOf(load(config(...ports), allocator)));
          expect(new Set(given).size).toBe(ports.length);
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe("values", () => {
  test("durations", () => {
    expect(["250ms", "5s", "1m", "1m30s", "1.5s", "off", "0s", "2h"].map(parseDuration)).toEqual([250, 5_000, 60_000, 90_000, 1_500, 0, 0, 7_200_000]);
    for (const bad of ["", "5", "5 s", "-1s", "s", "5sec", "99999999h"]) expect(parseDuration(bad)).toBeUndefined();
  });

  test("sizes", () => {
    expect(["64KiB", "1MiB", "512", "10 MB", "off", "1.5KiB"].map(parseSize)).toEqual([65_536, 1_048_576, 512, 10_000_000, 0, 1_536]);
    for (const bad of ["", "KiB", "-1", "1kb", "1 T"]) expect(parseSize(bad)).toBeUndefined();
  });

  test("addresses are read and written the same", () => {
    for (const text of ["127.0.0.1:80", "[::1]:8080", "db.internal:5432", "unix:/run/x.sock"]) expect(formatAddress(parseAddress(text, false)!)).toBe(text);
    for (const bad of ["", "80", "a", "a:", "a:0", "a:65536", "[::1]", "::1:80", "1.2.3:80", "256.1.1.1:80", "a b:1", "u@h:1", "http://a:1", "unix:", "-a:1"]) expect([bad, parseAddress(bad, false)]).toEqual([bad, undefined]);
  });

  test("nothing that is written makes the parsers throw", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parseDuration(text);
        parseSize(text);
        parseAddress(text, true);
      }),
    );
  });
});

describe("the published schema", () => {
  test("is in step with the code (npm run schema writes it)", () => {
    expect(JSON.parse(readFileSync(join(ROOT, "fairlead.schema.json"), "utf8"))).toEqual(JSON.parse(JSON.stringify(jsonSchema())));
  });

  test("names the defaults that apply", () => {
    const { properties } = jsonSchema() as { properties: Record<string, { properties: Record<string, { default: string | number }> }> };
    for (const [name, ms] of Object.entries(DEFAULTS.timeouts)) expect([name, parseDuration(String(properties["timeouts"]!.properties[name]!.default))]).toEqual([name, ms]);
    for (const [name, value] of Object.entries(DEFAULTS.limits)) {
      const written = properties["limits"]!.properties[name]!.default;
      expect([name, typeof written === "number" ? written : parseSize(written)]).toEqual([name, value]);
    }
  });
});

test("10,000 targets load in the time that a reload has", () => {
  const allocator = new SlotAllocator({ targets: 16_384, upstreams: 10 });
  const text = `${MINIMAL}${Array.from({ length: 10_000 }, (_, i) => `[[upstreams.targets]]\naddress = "10.0.${i >> 8}.${i & 255}:80"\n`).join("")}`;
  const times = [0, 1, 2].map(() => {
    const from = performance.now();
    expect(load(text, allocator).upstreams[0]!.targets).toHaveLength(10_001);
    return Math.round(performance.now() - from);
  });
  console.log(`10,000 targets: ${times.join(", ")} ms`);
});

test("a missing file is a diagnostic", () => {
  const loaded = loadConfig("/nowhere/fairlead.toml", { slots: slots(), generation: 1 });
  expect(loaded).toMatchObject({ ok: false, diagnostics: [{ file: "/nowhere/fairlead.toml", message: "cannot read the config: no such file" }] });
});

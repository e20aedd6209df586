/** `[metrics]`, and the rows that listeners and routes get in the scoreboard. */
import { describe, expect, test } from "bun:test";
import { loadConfigText, type Loaded, SlotAllocator } from "../../src/config/load.ts";
import { OTHER_ROUTES } from "../../src/scoreboard/words.ts";

const TARGET = `[[upstreams]]\nname = "u"\n[[upstreams.targets]]\naddress = "127.0.0.1:1"\n`;
const allocator = (): SlotAllocator => new SlotAllocator({ targets: 8, upstreams: 8 });

function load(top: string, slots = allocator(), listeners: readonly string[] = ["a"]): Loaded {
  const text = listeners.map((name, index) => `[[listeners]]\nname = "${name}"\naddress = "127.0.0.1:${10_000 + index}"\nupstream = "u"\n`).join("");
  return loadConfigText(`${top}\n${text}${TARGET}`, "f.toml", { slots, generation: 1 });
}

function good(loaded: Loaded): Loaded & { readonly ok: true } {
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
  return loaded;
}

const metrics = (table: string): unknown => good(load(`[metrics]\n${table}`)).snapshot.metrics;
const problem = (table: string): string => {
  const loaded = load(`[metrics]\n${table}`);
  return loaded.ok ? "" : loaded.diagnostics.map(({ message }) => message).join("; ");
};

describe("[metrics]", () => {
  test("has 20 bounds from 0.5 ms to 60 s where nothing is said", () => {
    const { buckets, perTargetLimit } = good(load("")).snapshot.metrics;
    expect([buckets.length, buckets[0], buckets.at(-1), perTargetLimit]).toEqual([20, 0.5, 60_000, 1_000]);
    expect(buckets.toSorted((a, b) => a - b)).toEqual([...buckets]);
  });

  test("takes bounds to the microsecond", () => {
    expect(metrics('buckets = ["50us", "2.5ms", "1s", "1m30s"]\nper_target_limit = 0')).toEqual({ buckets: [0.05, 2.5, 1000, 90_000], perTargetLimit: 0 });
  });

  test("says what is wrong with them", () => {
    expect(problem("buckets = []")).toContain("at least one bound");
    expect(problem(`buckets = [${Array.from({ length: 31 }, (_, index) => `"${index + 1}ms"`).join()}]`)).toContain("at most 30 bounds");
    expect(problem('buckets = ["1ms", "1ms"]')).toContain("bounds go up");
    expect(problem('buckets = ["0ms"]')).toContain('"0ms" is not a duration above zero');
    expect(problem('buckets = ["fast"]')).toContain('"fast" is not a duration');
    expect(problem("per_target_limit = -1")).not.toBe("");
  });
});

describe("rows", () => {
  test("of a listener and a route stay with their names over reloads, whatever comes before them", () => {
    const slots = allocator();
    const route = (path: string): string => `[[routes]]\npath_prefix = "${path}"\nupstream = "u"\n`;
    const first = good(load(route("/a") + route("/b"), slots, ["x", "y"])).snapshot;
    const second = good(load(route("/new") + route("/b"), slots, ["z", "y"]));
    expect(second.snapshot.listeners[1]!.slot).toBe(first.listeners[1]!.slot);
    expect(second.snapshot.routes[1]!.slot).toBe(first.routes[1]!.slot);
    expect(second.freshListeners).toEqual([second.snapshot.listeners[0]!.slot]);
    expect(second.freshRoutes).toEqual([second.snapshot.routes[0]!.slot]);
    expect(new Set([...first.routes, ...second.snapshot.routes].map(({ slot }) => slot)).size).toBe(3);
  });

  test("of routes are shared by those for which none is left", () => {
    const routes = Array.from({ length: OTHER_ROUTES + 3 }, (_, index) => `[[routes]]\npath_prefix = "/${index}"\nupstream = "u"\n`).join("");
    const given = good(load(routes)).snapshot.routes.map(({ slot }) => slot);
    expect(new Set(given).size).toBe(OTHER_ROUTES + 1);
    expect(given.slice(-3)).toEqual([OTHER_ROUTES, OTHER_ROUTES, OTHER_ROUTES]);
  });

  test("that became free are given to routes that shared one, once nobody writes them any more", () => {
    const slots = allocator();
    const routes = (from: number, to: number): string => Array.from({ length: to - from }, (_, index) => `[[routes]]\npath_prefix = "/${from + index}"\nupstream = "u"\n`).join("");
    good(load(routes(0, OTHER_ROUTES + 1), slots));
    expect(good(load(routes(1, OTHER_ROUTES + 1), slots)).snapshot.routes.at(-1)!.slot).toBe(OTHER_ROUTES);
    const next = good(load(routes(1, OTHER_ROUTES + 1), slots)).snapshot.routes.map(({ slot }) => slot);
    expect(next).not.toContain(OTHER_ROUTES);
    expect(new Set(next).size).toBe(next.length);
  });
});

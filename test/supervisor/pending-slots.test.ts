/** Rows of the scoreboard while configurations are read, run and refused. */
import { expect, test } from "bun:test";
import { loadConfigText, type Loaded } from "../../src/config/load.ts";
import { MAX_ROUTES } from "../../src/scoreboard/words.ts";
import { PendingSlots } from "../../src/supervisor/pending-slots.ts";

const capacity = { targets: 8, upstreams: 4 };

function load(slots: PendingSlots, ...ports: number[]): Loaded & { ok: true } {
  const text = `[[listeners]]\naddress = ":80"\nupstream = "u"\n[[upstreams]]\nname = "u"\n${ports.map((port) => `[[upstreams.targets]]\naddress = "127.0.0.1:${port}"\n`).join("")}`;
  const loaded = loadConfigText(text, "test", { slots, generation: 1 });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
  return loaded;
}

const slotsOf = ({ snapshot }: Loaded & { ok: true }): number[] => snapshot.upstreams[0]!.targets.map(({ slot }) => slot);

test("a configuration that was read and refused takes no rows from the one that runs", () => {
  const slots = new PendingSlots(capacity);
  expect(slotsOf(load(slots, 1, 2))).toEqual([0, 1]);
  slots.take();
  // Refused: without 1 and 2, which still run.
  expect(slotsOf(load(slots, 3, 4))).toEqual([2, 3]);
  const next = load(slots, 1, 2, 5);
  expect(slotsOf(next)).toEqual([0, 1, 2]);
  expect(next.freshSlots).toEqual([2]);
});

test("rows of a configuration that runs are kept, and given again once they are free", () => {
  const slots = new PendingSlots({ targets: 4, upstreams: 4 });
  load(slots, 1, 2, 3);
  slots.take();
  expect(slotsOf(load(slots, 3))).toEqual([2]);
  slots.take();
  expect(slotsOf(load(slots, 3, 4, 5, 6))).toEqual([2, 3, 0, 1]);
  expect(slots.used).toEqual({ targets: 4, upstreams: 1, listeners: 1, routes: MAX_ROUTES });
});

test("used counts what was read too: its rows were cleared", () => {
  const slots = new PendingSlots(capacity);
  load(slots, 1, 2, 3, 4);
  expect(slots.used).toEqual({ targets: 4, upstreams: 1, listeners: 1, routes: MAX_ROUTES });
});

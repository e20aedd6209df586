/** What many events produce for a connection leaves once their turn is over; a connection that fails costs the others nothing. */
import { expect, spyOn, test } from "bun:test";
import { Cork, type Corked, SLAB } from "../../src/net/cork.ts";
import type { Network } from "../../src/net/network.ts";

/** Turns end when the test says so. */
function cork(): { readonly cork: Cork; readonly endTurn: () => void; readonly turns: (() => void)[] } {
  const turns: (() => void)[] = [];
  return { cork: new Cork({ soon: (run: () => void) => void turns.push(run) } as unknown as Network), turns, endTurn: () => turns.shift()!() };
}

function connection(said: string[], name: string, uncork = (): void => void said.push(name)): Corked {
  return { uncork, abort: () => void said.push(`${name} aborted`) };
}

test("all that gathered bytes in a turn leave once, at its end, and what they add comes with the next", () => {
  const { cork: it, endTurn, turns } = cork();
  const said: string[] = [];
  it.add(connection(said, "a", () => {
    said.push("a");
    it.add(connection(said, "c"));
  }));
  it.add(connection(said, "b"));
  expect(turns.length).toBe(1);
  endTurn();
  expect(said).toEqual(["a", "b"]);
  endTurn();
  expect(said).toEqual(["a", "b", "c"]);
  expect(turns.length).toBe(0);
});

test("one that throws is broken off, and those behind it leave all the same", () => {
  const silenced = spyOn(console, "error").mockImplementation(() => {});
  try {
    const { cork: it, endTurn } = cork();
    const said: string[] = [];
    it.add(connection(said, "a", () => {
      throw new Error("a bug");
    }));
    it.add(connection(said, "b"));
    endTurn();
    expect(said).toEqual(["a aborted", "b"]);
    expect(silenced).toHaveBeenCalledTimes(1);
    it.add(connection(said, "c"));
    endTurn();
    expect(said).toEqual(["a aborted", "b", "c"]);
  } finally {
    silenced.mockRestore();
  }
});

test("blocks of memory are used again", () => {
  const { cork: it } = cork();
  const slab = it.take();
  expect(slab.length).toBe(SLAB);
  it.give(slab);
  expect(it.take()).toBe(slab);
});

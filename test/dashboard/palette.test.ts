/** Both themes can be read: contrasts as WCAG 2.2 defines and asks for them (1.4.3, 1.4.11, level AA). */
import { describe, expect, test } from "bun:test";
import { type Palette, PALETTES, paletteStyle } from "../../src/dashboard/palette.ts";

const TEXT = 4.5;
const DRAWN = 3;

function luminance(hex: string): number {
  const [red, green, blue] = [1, 3, 5].map((from) => {
    const part = Number.parseInt(hex.slice(from, from + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string): number {
  const [darker, lighter] = [luminance(one), luminance(other)].sort((a, b) => a - b) as [number, number];
  return (lighter + 0.05) / (darker + 0.05);
}

type Name = keyof Palette;
const GROUNDS: readonly Name[] = ["ground", "panel", "raised", "warn-ground", "bad-ground"];
/** Which text stands on which grounds, and which line is drawn on which. */
const TEXTS: readonly (readonly [Name, readonly Name[]])[] = [
  ["ink", GROUNDS],
  ["soft", GROUNDS],
  ["accent", GROUNDS],
  ["ok", ["ground", "panel", "raised"]],
  ["warn", ["ground", "panel", "raised", "warn-ground"]],
  ["bad", ["ground", "panel", "raised", "warn-ground", "bad-ground"]],
  ["off", ["ground", "panel", "raised"]],
  // The text of filled buttons.
  ["panel", ["accent", "bad"]],
];
const LINES: readonly (readonly [Name, readonly Name[]])[] = [
  ["edge", ["ground", "panel", "raised"]],
  ["chart-1", ["panel", "ground"]],
  ["chart-2", ["panel", "ground"]],
  ["chart-3", ["panel", "ground"]],
  ["ok", GROUNDS],
  ["warn", GROUNDS],
  ["bad", GROUNDS],
  ["off", GROUNDS],
];

test("contrasts are computed as WCAG does", () => {
  expect(contrast("#000000", "#ffffff")).toBeCloseTo(21, 5);
  expect(contrast("#777777", "#ffffff")).toBeCloseTo(4.48, 2);
});

describe.each(["light", "dark"] as const)("the %s theme", (theme) => {
  const palette = PALETTES[theme];
  const faults = (pairs: typeof TEXTS, least: number): string[] => pairs.flatMap(([name, grounds]) => grounds.filter((ground) => contrast(palette[name], palette[ground]) < least).map((ground) => `${name} on ${ground}: ${contrast(palette[name], palette[ground]).toFixed(2)}`));
  test("has text that can be read", () => expect(faults(TEXTS, TEXT)).toEqual([]));
  test("has lines and shapes that can be seen", () => expect(faults(LINES, DRAWN)).toEqual([]));
});

test("colours of a style sheet come from the palette alone", async () => {
  const style = await Bun.file(`${import.meta.dir}/../../src/dashboard/style.css`).text();
  expect(style.match(/#[0-9a-f]{3,8}\b/gi)).toBeNull();
  const known = new Set([...paletteStyle().matchAll(/--([\w-]+):/g)].map(([, name]) => name));
  const used = [...style.matchAll(/var\(--([\w-]+)\)/g)].map(([, name]) => name!).filter((name) => !["height", "y"].includes(name));
  expect(used.filter((name) => !known.has(name))).toEqual([]);
});

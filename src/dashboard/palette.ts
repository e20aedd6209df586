/**
 * The colours of both themes. Text has a contrast of at least 4.5 to the grounds that it stands on, what is drawn 3 (WCAG 2.2, 1.4.3 and 1.4.11);
 * a test computes them. A level is never told by colour alone.
 */

export interface Palette {
  /** Behind everything, behind cards, and behind what is pointed at. */
  readonly ground: string;
  readonly panel: string;
  readonly raised: string;
  /** Text, and text that matters less. */
  readonly ink: string;
  readonly soft: string;
  /** Between things; and around what can be operated. */
  readonly line: string;
  readonly edge: string;
  /** Links, focus, what is chosen. */
  readonly accent: string;
  /** Levels, as text and shape, and as ground of a text in ink. */
  readonly ok: string;
  readonly warn: string;
  readonly bad: string;
  readonly off: string;
  readonly "warn-ground": string;
  readonly "bad-ground": string;
  /** Lines of charts. */
  readonly "chart-1": string;
  readonly "chart-2": string;
  readonly "chart-3": string;
}

export const PALETTES: { readonly light: Palette; readonly dark: Palette } = {
  light: {
    ground: "#f4f5f6",
    panel: "#ffffff",
    raised: "#eaedf0",
    ink: "#14181c",
    soft: "#525c66",
    line: "#d9dee3",
    edge: "#7d8791",
    accent: "#0a58a8",
    ok: "#1b7a48",
    warn: "#8a5500",
    bad: "#bf1f2b",
    off: "#5b5f97",
    "warn-ground": "#fcf1dc",
    "bad-ground": "#fde7e7",
    "chart-1": "#0a58a8",
    "chart-2": "#8a5500",
    "chart-3": "#6c4aa0",
  },
  dark: {
    ground: "#111417",
    panel: "#191d21",
    raised: "#252b31",
    ink: "#e7eaed",
    soft: "#a3adb7",
    line: "#2d343b",
    edge: "#707b86",
    accent: "#7ab8f5",
    ok: "#5fc28c",
    warn: "#e5ac4d",
    bad: "#ff7b7b",
    off: "#aaa9ef",
    "warn-ground": "#33290f",
    "bad-ground": "#3d1a1d",
    "chart-1": "#7ab8f5",
    "chart-2": "#e5ac4d",
    "chart-3": "#c0a2f2",
  },
};

/** As custom properties: the system's choice, unless the page says otherwise in `data-theme`. */
export function paletteStyle(): string {
  const of = (palette: Palette): string =>
    Object.entries(palette)
      .map(([name, value]) => `--${name}:${value}`)
      .join(";");
  const { light, dark } = PALETTES;
  return `:root{color-scheme:light;${of(light)}}:root[data-theme=dark]{color-scheme:dark;${of(dark)}}@media(prefers-color-scheme:dark){:root:not([data-theme=light]){color-scheme:dark;${of(dark)}}}`;
}

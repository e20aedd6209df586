/** Numbers as people read them: short, of one width where they stand below each other. "–" is nothing to say. */

export const NOTHING = "–";

/** Three figures at most, then k and M. */
export function count(value: number): string {
  if (value >= 999_500) return `${figures(value / 1_000_000)}M`;
  if (value >= 9_995) return `${figures(value / 1000)}k`;
  return value >= 1000 ? grouped(Math.round(value)) : String(Math.round(value));
}

/** Per second. Below ten a decimal says that something happens at all. */
export function rate(value: number): string {
  if (value <= 0) return "0";
  if (value < 0.05) return "<0.1";
  return value < 9.95 ? value.toFixed(1) : count(value);
}

export function milliseconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOTHING;
  if (value < 1) return value < 0.005 ? "0 ms" : `${value.toFixed(2)} ms`;
  if (value < 999.5) return `${figures(value)} ms`;
  return value < 59_950 ? `${figures(value / 1000)} s` : `${figures(value / 60_000)} min`;
}

/** Of a part of one. */
export function percent(part: number): string {
  const value = part * 100;
  if (value === 0) return "0 %";
  if (value < 0.1) return "<0.1 %";
  return value < 9.95 ? `${value.toFixed(1)} %` : `${Math.round(value)} %`;
}

const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

export function bytes(value: number): string {
  let rest = value;
  let unit = 0;
  while (rest >= 999.5 && unit < UNITS.length - 1) {
    rest /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(rest) : figures(rest)} ${UNITS[unit]!}`;
}

/** How long, in ms: the largest unit, whole. */
export function span(value: number): string {
  const seconds = Math.max(0, Math.round(value / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

/** Of the day, in this machine's time zone. */
export function clock(at: string | number): string {
  const date = new Date(at);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

/** With the date. */
export function moment(at: string | number): string {
  const date = new Date(at);
  return `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}-${String(date.getDate()).padStart(2, "0")} ${clock(at)}`;
}

export function plural(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`;
}

function figures(value: number): string {
  return value < 9.95 ? value.toFixed(1) : value < 1000 ? String(Math.round(value)) : grouped(Math.round(value));
}

function grouped(value: number): string {
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, ",");
}

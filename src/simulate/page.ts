/** The comparison as one HTML page that needs nothing else: charts in SVG, light and dark. */
import type { Compared } from "./comparison.ts";
import { LEGEND, milliseconds, percent } from "./report.ts";

export interface PageSubject {
  readonly scenario: string;
  readonly says: string;
  readonly facts: readonly string[];
  readonly compared: readonly Compared[];
}

/** Distinct for people who see few colours too (P. Tol, "Colour schemes", 2021). */
const COLOURS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bb5566", "#44aa99", "#999933", "#882255", "#dd7788", "#777777"];
const WIDTH = 960;

export function page({ scenario, says, facts, compared }: PageSubject): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(scenario)}: policies beside each other</title>
<style>
:root { color-scheme: light dark; --ink: #1a1c1f; --soft: #5c636b; --line: #d5d9de; --ground: #fbfbfa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #9aa2ab; --line: #3a3f46; --ground: #17191c; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); max-width: ${WIDTH}px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .4rem; } p { color: var(--soft); margin: .3rem 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; } th, td { text-align: right; padding: .25rem .5rem; border-bottom: 1px solid var(--line); } th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 500; }
svg { width: 100%; height: auto; display: block; } text { fill: var(--soft); font: 12px system-ui, sans-serif; } .grid { stroke: var(--line); } .swatch { display: inline-block; width: .75em; height: .75em; border-radius: 2px; margin-right: .45em; }
.scroll { overflow-x: auto; }
</style>
</head>
<body>
<h1>${escaped(scenario)}</h1>
<p>${escaped(says)}</p>
<p>${facts.map(escaped).join(" · ")}</p>
<h2>What clients wait</h2>
<div class="scroll">${numbers(compared)}</div>
<p>${escaped(LEGEND)}</p>
<h2>p50, p99 and p99.9</h2>
${bars(compared)}
<h2>p99 over time</h2>
${lines(compared)}
<h2>Requests of each target</h2>
${shares(compared)}
</body>
</html>
`;
}

function numbers(compared: readonly Compared[]): string {
  const rows = compared.map(
    ({ label, result }, index) =>
      `<tr><td><span class="swatch" style="background:${colour(index)}"></span>${escaped(label)}</td>${[milliseconds(result.p50), milliseconds(result.p99), milliseconds(result.p999), result.fairness.toFixed(3), `${result.hottest.toFixed(2)}× + 1`, percent(result.moved), percent(result.failures / result.requests), percent(result.retries / result.requests)].map((cell) => `<td>${cell}</td>`).join("")}</tr>`,
  );
  return `<table><thead><tr>${["policy", "p50", "p99", "p99.9", "fairness", "hottest", "moved", "failed", "retries"].map((title) => `<th>${title}</th>`).join("")}</tr></thead><tbody>${rows.join("")}</tbody></table>`;
}

/** A logarithmic axis over these values. */
function axis(values: readonly number[]): { readonly place: (value: number) => number; readonly ticks: readonly number[] } {
  const finite = values.filter((value) => Number.isFinite(value) && value > 0);
  const low = Math.floor(Math.log10(Math.min(...finite, 1000)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...finite, 1))));
  const ticks = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
  return { ticks, place: (value) => (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low) };
}

function bars(compared: readonly Compared[]): string {
  const left = 150;
  const room = WIDTH - left - 90;
  const row = 46;
  const { place, ticks } = axis(compared.flatMap(({ result }) => [result.p50, result.p99, result.p999]));
  const height = compared.length * row + 30;
  const grid = ticks.map((tick) => `<line class="grid" x1="${left + place(tick) * room}" x2="${left + place(tick) * room}" y1="0" y2="${height - 24}"/><text x="${left + place(tick) * room}" y="${height - 8}" text-anchor="middle">${milliseconds(tick)}</text>`);
  const groups = compared.map(({ label, result }, index) => {
    const top = index * row + 6;
    const each = [result.p50, result.p99, result.p999].map((value, n) => {
      if (!Number.isFinite(value)) return "";
      const width = Math.max(2, place(value) * room);
      return `<rect x="${left}" y="${top + n * 12}" width="${width.toFixed(1)}" height="10" rx="2" fill="${colour(index)}" opacity="${[1, 0.7, 0.4][n]}"/><text x="${(left + width + 6).toFixed(1)}" y="${top + n * 12 + 9}">${milliseconds(value)}</text>`;
    });
    return `<text x="${left - 10}" y="${top + 22}" text-anchor="end">${escaped(label)}</text>${each.join("")}`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="p50, p99 and p99.9 of each policy, logarithmic">${grid.join("")}${groups.join("")}</svg>`;
}

function lines(compared: readonly Compared[]): string {
  const [left, top, height] = [70, 10, 300];
  const room = WIDTH - left - 20;
  const { place, ticks } = axis(compared.flatMap(({ result }) => result.p99Over));
  const y = (value: number): number => top + (1 - place(value)) * height;
  const grid = ticks.map((tick) => `<line class="grid" x1="${left}" x2="${left + room}" y1="${y(tick)}" y2="${y(tick)}"/><text x="${left - 8}" y="${y(tick) + 4}" text-anchor="end">${milliseconds(tick)}</text>`);
  const paths = compared.map(({ result }, index) => {
    const points = result.p99Over.flatMap((value, n) => (Number.isFinite(value) ? [`${(left + (n / (result.p99Over.length - 1)) * room).toFixed(1)},${y(value).toFixed(1)}`] : []));
    return `<polyline points="${points.join(" ")}" fill="none" stroke="${colour(index)}" stroke-width="2" stroke-linejoin="round"/>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${top + height + 30}" role="img" aria-label="p99 of each policy over the simulated time, logarithmic">${grid.join("")}${paths.join("")}<text x="${left}" y="${top + height + 22}">start</text><text x="${left + room}" y="${top + height + 22}" text-anchor="end">end</text></svg>`;
}

/** Each policy a row, each target a cell as wide as its part of the requests. */
function shares(compared: readonly Compared[]): string {
  const left = 150;
  const room = WIDTH - left - 20;
  const rows = compared.map(({ label, result }, index) => {
    const total = result.byTarget.reduce((a, b) => a + b, 0);
    let at = left;
    const cells = result.byTarget.map((count, target) => {
      const width = (count / total) * room;
      const cell = `<rect x="${at.toFixed(1)}" y="${index * 24 + 4}" width="${Math.max(0, width - 1).toFixed(1)}" height="16" fill="${colour(index)}" opacity="${target % 2 === 0 ? 0.9 : 0.55}"><title>target ${target + 1}: ${percent(count / total)}</title></rect>`;
      at += width;
      return cell;
    });
    return `<text x="${left - 10}" y="${index * 24 + 16}" text-anchor="end">${escaped(label)}</text>${cells.join("")}`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${compared.length * 24 + 8}" role="img" aria-label="Each target's part of the requests, for each policy">${rows.join("")}</svg>`;
}

function colour(index: number): string {
  return COLOURS[index % COLOURS.length]!;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** `npm run dashboard`: writes src/admin/dashboard.html, the page that the admin address shows, from src/dashboard/. Run it after a change there. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { paletteStyle } from "../src/dashboard/palette.ts";

const ROOT = join(import.meta.dir, "..");
const SOURCE = join(ROOT, "src/dashboard");
export const DASHBOARD = join(ROOT, "src/admin/dashboard.html");

/** The whole page; the same for the same sources, wherever it is made. */
export async function dashboardPage(): Promise<string> {
  const built = await Bun.build({
    entrypoints: [join(SOURCE, "main.tsx")],
    root: SOURCE,
    target: "browser",
    format: "iife",
    minify: true,
    sourcemap: "none",
    // Not what NODE_ENV of whoever builds says.
    define: { "process.env.NODE_ENV": '"production"' },
    jsx: { runtime: "automatic", importSource: "preact", development: false },
  });
  const script = (await built.outputs[0]!.text()).trim();
  // Where the parser of HTML would see an end or a comment in it, the bundle would be cut.
  const clash = /<\/script|<!--/i.exec(script);
  if (clash !== null) throw new Error(`the script has ${clash[0]} in it`);
  const style = `${paletteStyle()}${compact(readFileSync(join(ROOT, "node_modules/uplot/dist/uPlot.min.css"), "utf8"))}${compact(readFileSync(join(SOURCE, "style.css"), "utf8"))}`;
  return readFileSync(join(SOURCE, "page.html"), "utf8")
    .replace("/* style */", () => style)
    .replace("/* script */", () => script);
}

function compact(css: string): string {
  return css
    .replaceAll(/\/\*[\s\S]*?\*\//g, "")
    .replaceAll(/\s+/g, " ")
    .replaceAll(/ ?([{};,]) ?/g, "$1")
    .replaceAll(/: /g, ":")
    .trim();
}

if (import.meta.main) {
  const page = await dashboardPage();
  writeFileSync(DASHBOARD, page);
  console.log(`${DASHBOARD}: ${(page.length / 1024).toFixed(0)} KiB, ${(Bun.gzipSync(Buffer.from(page)).length / 1024).toFixed(1)} KiB compressed`);
}

/** `fairlead top`: the instance as it is, each second. */
import type { Overview } from "../view/shapes.ts";
import { type AdminClient, type AdminOptions, AdminRefused, withAdmin, json as asJson } from "./admin-client.ts";
import { paintFor } from "./paint.ts";
import { frame, rowCount, type Sort, type View } from "./top/frame.ts";
import { Screen } from "./top/screen.ts";

export interface TopOptions extends AdminOptions {
  readonly targets?: boolean;
  readonly sort: Sort;
  readonly once?: boolean;
  readonly json?: boolean;
}

/** Between two attempts to reach it again, in ms. */
const WAIT = 1_000;
const SORT_KEYS: Readonly<Record<string, Sort>> = { s: "state", n: "name", r: "rate", e: "errors", p: "p99", o: "open" };
const UP = "\u001B[A";
const DOWN = "\u001B[B";
const PAGE_UP = "\u001B[5~";
const PAGE_DOWN = "\u001B[6~";
const PAGE = 10;

export async function topCommand(options: TopOptions): Promise<void> {
  const view: View = { of: options.targets === true ? "targets" : "upstreams", sort: options.sort, reversed: false, scrolled: 0, paused: false, lost: undefined };
  await withAdmin(options, async (admin) => {
    // What cannot be reached at all is said before the screen changes.
    const first = await admin.call<Overview>("GET", "/v1/overview");
    if (options.json === true) return printJson(admin, first, options.once === true);
    if (options.once === true || !process.stdout.isTTY) return void process.stdout.write(`${frame(first, view, undefined, paintFor(process.stdout)).join("\n")}\n`);
    await show(admin, first, view);
  });
}

/** A line for each second. */
async function printJson(admin: AdminClient, first: Overview, once: boolean): Promise<void> {
  if (once) return void process.stdout.write(`${asJson(first)}\n`);
  for await (const overview of overviews(admin)) process.stdout.write(`${asJson(overview)}\n`);
}

async function* overviews(admin: AdminClient): AsyncGenerator<Overview, void> {
  for await (const { type, data } of admin.events("/v1/stream")) if (type === "overview") yield admin.told<Overview>(data);
}

async function show(admin: AdminClient, first: Overview, begin: View): Promise<never> {
  let overview = first;
  let view = begin;
  const paint = paintFor(process.stdout);
  const draw = (): void => screen.draw(frame(overview, view, screen.size, paint));
  const screen = new Screen((key) => {
    // In raw mode Ctrl-C is a character.
    if (key === "q" || key === "\u0003") process.exit(0);
    view = changed(view, key, rowCount(overview, view.of));
    draw();
  }, draw);
  draw();
  for (;;) {
    let why = "";
    try {
      for await (const next of overviews(admin)) {
        if (!view.paused) overview = next;
        view = { ...view, lost: undefined };
        draw();
      }
    } catch (error) {
      if (!(error instanceof AdminRefused)) throw error;
      why = error.message;
    }
    view = { ...view, lost: { why, since: view.lost?.since ?? Date.now() } };
    draw();
    await Bun.sleep(WAIT);
  }
}

function changed(view: View, key: string, rows: number): View {
  const sort = SORT_KEYS[key];
  if (sort !== undefined) return { ...view, sort, scrolled: 0 };
  const scroll = (by: number): View => ({ ...view, scrolled: Math.max(0, Math.min(rows - 1, view.scrolled + by)) });
  switch (key) {
    case "u":
      return { ...view, of: "upstreams", scrolled: 0 };
    case "t":
      return { ...view, of: "targets", scrolled: 0 };
    case "i":
      return { ...view, reversed: !view.reversed };
    case " ":
      return { ...view, paused: !view.paused };
    case UP:
    case "k":
      return scroll(-1);
    case DOWN:
    case "j":
      return scroll(1);
    case PAGE_UP:
      return scroll(-PAGE);
    case PAGE_DOWN:
      return scroll(PAGE);
    default:
      return view;
  }
}

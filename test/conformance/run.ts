/** `npm run conformance`: every case through Fairlead, nginx and HAProxy, to back ends of HTTP/1 and HTTP/2. `--help` says how. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { H2Backend } from "../support/h2-backend.ts";
import { RawBackend } from "../support/raw-backend.ts";
import { type Assessment, assessReply, assessRequest } from "./assess.ts";
import { type Backend, Lanes } from "./lanes.ts";
import { fairlead } from "./products/fairlead.ts";
import { haproxy } from "./products/haproxy.ts";
import { nginx } from "./products/nginx.ts";
import type { Product, Protocol } from "./products/product.ts";
import { type Entry, type Report, render } from "./report.ts";
import { requestCategories } from "./requests/index.ts";
import { responseCategories } from "./responses/index.ts";
import { playRequest, playResponse } from "./runner.ts";

const HELP = `npm run conformance -- [options]
  --products a,b  of nginx, haproxy, none (default: nginx,haproxy); Fairlead is always there
  --only TEXT     cases whose name or source contains it
  --write         write test/conformance/RESULTS.md, which tells of each case too
  --help          this
Ends with 1 when Fairlead fails a case, by the table's measure or by the stricter one of npm test.`;

/** Cases under way at a time, each on a lane of its own. */
const LANES = 16;

const { values: options } = parseArgs({ options: { products: { type: "string", default: "nginx,haproxy" }, only: { type: "string" }, write: { type: "boolean" }, help: { type: "boolean" } } });

interface Row<Case> {
  readonly category: string;
  readonly test: Case;
  readonly by: Map<string, Assessment>;
}

function rows<Case extends { readonly name: string; readonly source: string }>(categories: Readonly<Record<string, readonly Case[]>>): Row<Case>[] {
  const all = Object.entries(categories).flatMap(([category, cases]) => cases.map((test) => ({ category, test, by: new Map<string, Assessment>() })));
  return options.only === undefined ? all : all.filter(({ test }) => `${test.name} ${test.source}`.includes(options.only!));
}

const requests = rows(requestCategories);
const replies = rows(responseCategories);
const complaints: string[] = [];

async function each<Item>(items: readonly Item[], play: (item: Item) => Promise<void>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: LANES }, async () => {
      for (const item of queue) await play(item);
    }),
  );
}

/** What `npm test` asks of Fairlead. */
async function strictly(what: string, play: () => Promise<void>): Promise<void> {
  await play().catch((error: unknown) => complaints.push(`${what}: ${error instanceof Error ? error.message : String(error)}`));
}

async function run<B extends Backend>(product: Product, protocol: Protocol, column: string, start: () => Promise<B>): Promise<void> {
  const lanes = await Lanes.before(product, LANES, start);
  try {
    await each(requests, async ({ test, by }) => {
      if (test.h1Only === true && protocol !== "h1") return;
      by.set(column, await lanes.use((lane) => assessRequest(lane, test)));
      if (product === fairlead) await strictly(`${column}: ${test.name}`, () => playRequest(lanes, test));
    });
  } finally {
    await lanes.close();
  }
}

/** Replies are bytes of HTTP/1. */
async function runReplies(product: Product, column: string): Promise<void> {
  const lanes = await Lanes.before(product, LANES, () => RawBackend.start());
  try {
    await each(replies, async ({ test, by }) => {
      by.set(column, await lanes.use((lane) => assessReply(lane, test)));
      if (product === fairlead) await strictly(`${column}: ${test.name}`, () => playResponse(lanes, test));
    });
  } finally {
    await lanes.close();
  }
}

function entries<Case extends { readonly name: string; readonly source: string }>(from: readonly Row<Case>[]): Entry[] {
  return from.map(({ category, test, by }) => ({ category, name: test.name, source: test.source, by }));
}

async function main(): Promise<number> {
  if (options.help === true) {
    console.log(HELP);
    return 0;
  }
  const wanted = options.products.split(",");
  const columns: string[] = [];
  const versions: string[] = [];
  const left: string[] = [];
  for (const product of [fairlead, nginx, haproxy]) {
    if (product !== fairlead && !wanted.includes(product.name.toLowerCase())) continue;
    const version = product.version();
    if (version === undefined) {
      left.push(`${product.name} is not on this machine and was left out (\`${product.install}\`).`);
      continue;
    }
    versions.push(version);
    for (const protocol of ["h1", "h2c"] as const) {
      if (!product.protocols.includes(protocol)) {
        left.push(`${product.name} does not speak HTTP/2 to back ends.`);
        continue;
      }
      const column = `${product.name} → ${protocol === "h1" ? "HTTP/1.1" : "HTTP/2"}`;
      columns.push(column);
      const began = performance.now();
      if (protocol === "h1") {
        await run(product, protocol, column, () => RawBackend.start());
        await runReplies(product, column);
      } else await run(product, protocol, column, () => H2Backend.start());
      console.log(`${column}: ${Math.round((performance.now() - began) / 1000)} s`);
    }
  }
  const report: Report = { columns, versions, left, requests: entries(requests), replies: entries(replies) };
  const text = render(report);
  if (options.write === true) await Bun.write(join(import.meta.dir, "RESULTS.md"), text);
  else console.log(text.slice(text.indexOf("## Requests"), text.indexOf("## Requests that")));
  const bad = [...report.requests, ...report.replies].flatMap(({ name, by }) => [...by].filter(([column, { grade }]) => column.startsWith(fairlead.name) && grade !== "passed").map(([column, { what }]) => `${column}: ${name}: ${what}`));
  for (const complaint of [...bad, ...complaints]) console.error(complaint);
  const played = report.requests.length + report.replies.length;
  console.log(`${played} cases; Fairlead: ${bad.length + complaints.length === 0 ? "all passed" : `${bad.length + complaints.length} complaints`}`);
  return bad.length + complaints.length === 0 ? 0 : 1;
}

process.exit(await main());

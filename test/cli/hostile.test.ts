/** What clients and back ends say reaches the terminal of whoever looks at it as text. The admin address says it here in every text that it tells. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { configShowCommand } from "../../src/cli/config.ts";
import { eventsCommand } from "../../src/cli/events.ts";
import { exchangesCommand } from "../../src/cli/exchanges.ts";
import { explainCommand } from "../../src/cli/explain.ts";
import { statusCommand } from "../../src/cli/status.ts";
import { topCommand } from "../../src/cli/top.ts";
import { freePort } from "../support/ports.ts";
import { openStage } from "../support/stage.ts";
import { until } from "../support/until.ts";

const HOSTILE = "\u001B[2J\u009B2J\u001B]0;title\u0007\u202E\u007F\r\nforged";
const OBEYED = /[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u202E]/;

const stage = openStage();
let admin = "";

/** Every text of a value, and its keys where those are not ours, with that at its end. */
function worse(value: unknown): unknown {
  if (typeof value === "string") return value + HOSTILE;
  if (Array.isArray(value)) return value.map(worse);
  if (typeof value === "object" && value !== null) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, worse(inner)]));
  return value;
}

let liar: Bun.Server<undefined>;
beforeAll(async () => {
  const port = await freePort();
  const { url } = await stage.fairlead({ targets: [await stage.backend(), "127.0.0.1:1"], top: { admin: { address: `127.0.0.1:${port}` }, exchanges: { sample: 1 } } });
  for (let sent = 0; sent < 4; sent++) await fetch(`${url}/%1b`, { headers: { "X-Request-ID": "one" } });
  await until("exchanges to be kept", async () => ((await (await fetch(`http://127.0.0.1:${port}/v1/exchanges`)).json()) as { exchanges: unknown[] }).exchanges.length === 4);
  liar = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const { pathname, search } = new URL(request.url);
      const truth = await fetch(`http://127.0.0.1:${port}${pathname}${search}`, { method: request.method, body: await request.text() || null, headers: { "Content-Type": "application/json" } });
      return new Response(JSON.stringify(worse(await truth.json())), { status: truth.status });
    },
  });
  admin = `127.0.0.1:${liar.port}`;
});
afterAll(() => liar.stop(true));

/** What a command writes to standard output. */
async function printed(command: () => Promise<unknown>): Promise<string> {
  const { write } = process.stdout;
  let text = "";
  process.stdout.write = ((chunk: string) => {
    text += chunk;
    return true;
  }) as typeof write;
  try {
    await command();
  } finally {
    process.stdout.write = write;
  }
  return text;
}

test("no command passes on what a terminal obeys", async () => {
  const common = { config: "none.toml", admin };
  const told: Record<string, string> = {};
  for (const json of [false, true]) {
    const options = { ...common, json };
    const commands: Readonly<Record<string, () => Promise<unknown>>> = {
      status: () => statusCommand(options),
      upstreams: () => topCommand({ ...options, once: true, sort: "name" }),
      targets: () => topCommand({ ...options, once: true, targets: true, sort: "name" }),
      events: () => eventsCommand({ ...options, limit: "50" }),
      exchanges: () => exchangesCommand(undefined, { ...options, limit: "50" }),
      explain: () => explainCommand(["http://a.test/"], options),
      config: () => configShowCommand(options),
    };
    for (const [name, command] of Object.entries(commands)) told[`${name}${json ? " --json" : ""}`] = await printed(command);
  }
  for (const [name, text] of Object.entries(told)) {
    expect([name, text.includes("forged"), OBEYED.exec(text)?.[0]]).toEqual([name, true, undefined]);
    expect([name, /^forged/m.test(text)]).toEqual([name, false]);
  }
  // Programs get what was said.
  expect(JSON.parse(told["events --json"]!.split("\n")[0]!).summary).toEndWith(HOSTILE);
});

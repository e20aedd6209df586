/** A worker that was taken over says what it likes: the supervisor goes on, and keeps what is well of it. */
import { expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfigText, SlotAllocator } from "../../src/config/load.ts";
import { ExchangeRing } from "../../src/observability/exchange-ring.ts";
import type { Log } from "../../src/observability/log.ts";
import { WorkerProcess } from "../../src/supervisor/worker-process.ts";
import { until } from "../support/until.ts";

const RECORD = {
  at: new Date(0).toISOString(), why: ["failed"], protocol: "HTTP/1.1", listener: "l", route: "", upstream: "u", target: "t", client: "c", method: "GET", host: "h", path: "/", request_id: "",
  status: 502, cause: "target-reset", detail: "", fault: "", duration_ms: 1, queued_ms: 0, connect_ms: 0, first_byte_ms: 0, bytes_in: 0, bytes_out: 0, attempts: 1, tries: [], candidates: [], candidate_count: 0,
};
const WELL = { cause: "target-reset", text: JSON.stringify(RECORD) };

const MALFORMED: readonly unknown[] = [
  null,
  7,
  "ready",
  [],
  {},
  { type: "nothing of the kind", generation: 1 },
  { type: "outlier" },
  { type: "outlier", outlier: { upstream: "u", target: 3, detector: "consecutive-5xx" } },
  { type: "outlier", outlier: { upstream: "u", target: "t", detector: "a guess" } },
  { type: "outlier", outlier: { upstream: "u".repeat(5_000), target: "t", detector: "consecutive-5xx" } },
  { type: "circuit", change: { upstream: "u", from: "closed", state: "ajar" } },
  { type: "circuit", change: null },
  { type: "exchanges" },
  { type: "exchanges", batch: { records: 3, dropped: 0 } },
  { type: "exchanges", batch: { records: [{ cause: "no cause", text: "{}" }], dropped: 0 } },
  ...[undefined, null, "1", Number.NaN, -1, 0.5].map((dropped) => ({ type: "exchanges", batch: { records: [], dropped } })),
  { type: "answer", generation: 1, answer: "yes" },
  { type: "unanswered", generation: 1 },
  { type: "applied" },
  { type: "failed", generation: "1", reason: "r" },
];

/** What is told of an exchange as its JSON, and is none. */
const NO_RECORDS = ["", "null", "{}", JSON.stringify({ ...RECORD, tries: undefined }), JSON.stringify({ ...RECORD, cause: "done" }), JSON.stringify({ ...RECORD, why: "failed" })];

test("malformed messages are left out, with a line of the log; what is well is heard", async () => {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-hearing-"));
  const scoreboard = openSync("/dev/null", "r");
  const script = join(directory, "worker.js");
  const messages = [...MALFORMED, { type: "exchanges", batch: { records: [...NO_RECORDS.map((text) => ({ cause: "target-reset", text })), WELL], dropped: 2 } }, { type: "circuit", change: { upstream: "u", from: "closed", state: "open" } }];
  // NaN and undefined are no JSON.
  writeFileSync(script, `const say = ${Bun.inspect(messages, { depth: 9 })};\nprocess.once("message", () => { for (const each of say) process.send(each); process.send({ type: "ready", generation: 1 }); });\nprocess.on("disconnect", () => process.exit());\n`);
  const loaded = loadConfigText('[[targets]]\naddress = "127.0.0.1:9"\n', "test", { slots: new SlotAllocator({ targets: 8, upstreams: 8 }), generation: 1 });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
  const ring = new ExchangeRing(0);
  ring.apply(100, 1_000_000);
  const heard: object[] = [];
  const lines: { readonly slot: number; readonly leftOut: number }[] = [];
  const log = { error: (fields: (typeof lines)[number]) => void lines.push(fields) } as unknown as Log;
  const worker = new WorkerProcess({
    self: [process.execPath, script],
    slot: 3,
    seat: 0,
    scoreboard,
    snapshot: loaded.snapshot,
    sockets: [],
    logFormat: "json",
    controlSocket: "",
    alone: "end",
    log,
    levels: { level: "info", modules: {} },
    faults: { rules: [], stopped: [] },
    report: (outlier) => void heard.push(outlier),
    turned: (change) => void heard.push(change),
    keep: (batch) => ring.add(batch),
  });
  try {
    await worker.ready;
    await until("all", () => heard.length > 0);
    expect(heard).toEqual([{ upstream: "u", from: "closed", state: "open" }]);
    expect([ring.dropped, ring.size, ring.query({ target: "t", limit: 10 }).map(({ cause }) => cause)]).toEqual([2, 1, ["target-reset"]]);
    expect(lines).toMatchObject([{ slot: 3, leftOut: 1 }]);
  } finally {
    worker.kill();
    await worker.ended;
    closeSync(scoreboard);
    rmSync(directory, { recursive: true });
  }
});

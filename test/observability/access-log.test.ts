/** The access log of a data plane at work: one line for each request, whatever is in it; and in-flight requests over a reload. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { AccessLogConfig } from "../../src/config/snapshot.ts";
import { AccessLog } from "../../src/observability/access-log.ts";
import { FORMATS } from "../../src/observability/access/format.ts";
import { type Log, silentLog } from "../../src/observability/log.ts";
import { ACCOUNT } from "../support/account.ts";
import { inProcess } from "../support/in-process.ts";
import { sayWhich } from "../support/raw-backend.ts";
import { openStage } from "../support/stage.ts";
import { until } from "../support/until.ts";

const stage = openStage();
const directory = mkdtempSync(join(tmpdir(), "fairlead-access-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function linesOf(path: string): string[] {
  const text = readFileSync(path, "latin1");
  expect(text === "" || text.endsWith("\n")).toBe(true);
  return text.split("\n").slice(0, -1);
}

/** Bytes as characters, most of them such as the parser lets through. */
function bytes(allowed: RegExp): fc.Arbitrary<string> {
  const one = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));
  const good = one.filter((character) => allowed.test(character));
  return fc.oneof({ weight: 9, arbitrary: fc.array(good, { maxLength: 60 }) }, { weight: 1, arbitrary: fc.array(one, { maxLength: 20 }) }).map((all) => all.join(""));
}

const target = bytes(/[\x21-\x22\x24-\x7e]/);
const host = fc.oneof({ weight: 9, arbitrary: fc.constant("a.test") }, { weight: 1, arbitrary: bytes(/[!-~]/) });
const fieldValue = bytes(/[\t\x20-\x7e\x80-\xff]/).map((value) => `a${value}z`);

describe("requests with any bytes in path, host and headers", () => {
  for (const format of ["json", "combined"] as const) {
    test(`are a line each that parses back: ${format}`, async () => {
      const backend = await stage.backend(sayWhich);
      const path = join(directory, `${format}.log`);
      const { port, balancer } = await inProcess(stage, { front: { targets: [backend] } }, { access_log: { path, format, flush: "1ms" } });
      const answered = new Map<string, { readonly path: string; readonly agent: string }>();
      let number = 0;
      await fc.assert(
        fc.asyncProperty(target, host, fieldValue, async (rest, name, agent) => {
          const id = `/n/${++number}/`;
          const client = await stage.client(port("front"));
          const { status } = await client.ask(Buffer.from(`GET ${id}${rest} HTTP/1.1\r\nHost: ${name}\r\nUser-Agent: ${agent}\r\nConnection: close\r\n\r\n`, "latin1"));
          client.destroy();
          if (status === 200) answered.set(id, { path: id + rest, agent });
        }),
        { numRuns: 150 },
      );
      // The parser refuses many; of the rest there is enough.
      expect(answered.size).toBeGreaterThan(20);
      await until("a line for each, those that were refused too", () => linesOf(path).length >= number);
      const lines = linesOf(path);
      for (const [id, { path: asked, agent }] of answered) {
        const own = lines.filter((line) => line.includes(id));
        expect(own).toHaveLength(1);
        if (format === "json") expect(JSON.parse(own[0]!)).toMatchObject({ path: asked, http_user_agent: agent, status: 200 });
        else {
          const fields = /^\S+ - - \[[^\]]*\] "([^"]*)" 200 \d+ "-" "([^"]*)"$/.exec(own[0]!)!.slice(1).map((field) => field.replaceAll(/\\x(..)/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16))));
          expect(fields).toEqual([`GET ${asked} HTTP/1.1`, agent]);
        }
      }
      await balancer.stop(0);
    }, 30_000);
  }
});

const CONFIG: AccessLogConfig = { path: join(directory, "own.log"), sample: 1, sampleErrors: true, buffer: 4096, flush: 100, rotateSize: 0, keep: 1 };

test("the library rotates too, and closes its file when it stops", async () => {
  const backend = await stage.backend(sayWhich);
  const path = join(directory, "library.log");
  const { port, balancer } = await inProcess(stage, { front: { targets: [backend] } }, { access_log: { path, rotate_size: "4KiB", keep: 2 } });
  const client = await stage.client(port("front"));
  let sent = 0;
  await until("a rotation", async () => {
    await client.ask(`GET /${++sent} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
    return existsSync(`${path}.1`);
  });
  const open = (): string[] => readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path) ? [fd] : [];
    } catch {
      return [];
    }
  });
  expect(open()).toHaveLength(1);
  await balancer.stop(0);
  expect(open()).toEqual([]);
  expect([path, `${path}.1`].flatMap(linesOf)).toHaveLength(sent);
});

describe("the log in a worker", () => {
  let random = 0;
  let lost = 0;
  const options = { json: true, random: () => random, log: silentLog(), lost: (lines: number) => void (lost += lines) };
  beforeAll(() => {
    lost = 0;
  });

  test("takes a share of the requests, and what fails", () => {
    const log = new AccessLog({ ...CONFIG, sample: 0.25 }, new Set(), options);
    random = 0.3;
    expect([log.wants("done", 200), log.wants("local", 404), log.wants("done", 500), log.wants("client-closed", 200), log.wantsMost]).toEqual([false, false, true, true, false]);
    random = 0.2;
    expect(log.wants("done", 200)).toBe(true);
    const strict = new AccessLog({ ...CONFIG, sample: 0, sampleErrors: false }, new Set(), options);
    expect([strict.wants("done", 200), strict.wants("connect-refused", 502)]).toEqual([false, false]);
    for (const each of [log, strict]) each.end();
  });

  test("cuts what clients say where a line would be too long to stay whole", () => {
    const path = join(directory, "long.log");
    const log = new AccessLog({ ...CONFIG, path, format: FORMATS["json"]! }, new Set(), options);
    log.tell({ ...ACCOUNT, path: `/${"p".repeat(10_000)}`, fields: ["\0".repeat(10_000), "r".repeat(10_000)] });
    log.tell(ACCOUNT);
    log.end();
    const [long, short] = linesOf(path).map((line) => JSON.parse(line) as Record<string, string>);
    expect(long!["path"]).toBe(`/${"p".repeat(63)}...`);
    expect(long!["http_user_agent"]).toBe(`${"\0".repeat(64)}...`);
    expect(short!["path"]).toBe(ACCOUNT.path);
    expect(lost).toBe(0);
  });

  test("counts what is lost and warns of it, but not each time", () => {
    const warnings: object[] = [];
    const log = new AccessLog({ ...CONFIG, path: "/dev/full", format: FORMATS["json"]! }, new Set(), { ...options, log: { ...silentLog(), warn: (fields: object) => void warnings.push(fields) } as unknown as Log });
    for (let now = 0; now < 15_000; now += 50) {
      log.tell(ACCOUNT);
      log.tick(now);
    }
    expect(warnings).toHaveLength(2);
    log.end();
    expect(lost).toBe(300);
  });

  test("leaves out listeners that are not to be logged, from the next reload on", () => {
    const path = join(directory, "silent.log");
    const config = { ...CONFIG, path, format: { kind: "template", template: "$listener" } } as const;
    const log = new AccessLog(config, new Set(["front"]), options);
    log.tell(ACCOUNT);
    expect(log.apply(config, new Set())).toBe(true);
    log.tell({ ...ACCOUNT, listener: "back" });
    expect(log.apply({ ...config, buffer: 8192 }, new Set())).toBe(false);
    log.end();
    expect(linesOf(path)).toEqual(["back"]);
  });
});

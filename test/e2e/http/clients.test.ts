/** Clients and a server that people have: curl, undici, node:http, and a back end on node:http. */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { curl, nodeClient } from "../../support/real-clients.ts";
import { type Balanced, openStage } from "../../support/stage.ts";

const stage = openStage();
let front: Balanced;

beforeAll(async () => {
  const node = await stage.node();
  front = await stage.fairlead({ targets: [node] });
}, 30_000);

describe("curl", () => {
  test("gets a page", async () => {
    const { code, stdout } = await curl("-w", "%{http_code}", `${front.url}/bytes/10`);
    expect([code, stdout.slice(-3), stdout.length]).toEqual([0, "200", 13]);
  });

  test("gets a page over HTTP/1.0", async () => {
    const { code, stdout } = await curl("--http1.0", "-w", "%{http_code} %{size_download}", "-o", "/dev/null", `${front.url}/chunked/100000`);
    expect([code, stdout]).toEqual([0, "200 100000"]);
  });

  test("reuses its connection for several URLs", async () => {
    const { code, stdout } = await curl("-w", "%{num_connects}\\n", "-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null", `${front.url}/bytes/1`, `${front.url}/chunked/9`, `${front.url}/bytes/2`);
    expect([code, stdout]).toEqual([0, "1\n0\n0\n"]);
  });

  test("uploads a file with Expect: 100-continue", async () => {
    const directory = mkdtempSync(join(tmpdir(), "fairlead-upload-"));
    try {
      const file = join(directory, "file");
      writeFileSync(file, Buffer.alloc(2_000_000, 65));
      const { code, stdout } = await curl("-H", "Expect: 100-continue", "--data-binary", `@${file}`, `${front.url}/hash`);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ bytes: 2_000_000 });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test("asks with HEAD", async () => {
    const { code, stdout } = await curl("-I", `${front.url}/bytes/1234`);
    expect(code).toBe(0);
    expect(stdout).toMatch(/content-length: 1234/i);
  });

  test("sees a truncated reply as an error", async () => {
    expect((await curl(`${front.url}/cut/1000`)).code).toBe(18);
  });

  test("sends a path with dot segments as it is", async () => {
    const { stdout } = await curl("--path-as-is", `${front.url}/fields/../fields/./x`);
    expect(JSON.parse(stdout)).toMatchObject({ target: "/fields/../fields/./x" });
  });
});

describe("undici", () => {
  test("makes 500 requests over 10 pipelined connections", async () => {
    expect(await nodeClient("undici-pool", `${front.url}/fields`, 500, 10, 5)).toEqual({ "200": 500 });
  });

  test("posts 5 MB", async () => {
    const result = await nodeClient("undici-post", `${front.url}/hash`, 5_000_000);
    expect(result).toMatchObject({ status: 200, bytes: 5_000_000, sha256: result.sent });
  });

  test("posts a stream of unknown length", async () => {
    const result = await nodeClient("undici-stream", `${front.url}/hash`, 5_000_000);
    expect(result).toMatchObject({ status: 200, sha256: result.sent });
  });

  test("gets 5 MB, chunked", async () => {
    expect(await nodeClient("undici-get", `${front.url}/chunked/5000000`)).toMatchObject({ status: 200, bytes: 5_000_000 });
  });
});

describe("node:http", () => {
  test("keeps one connection over 50 requests", async () => {
    const result = await nodeClient("node-keep-alive", `${front.url}/fields`, 50);
    expect(result).toEqual({ statuses: Array.from({ length: 50 }, () => 200), connections: 1 });
  });

  test("sends trailers and gets trailers", async () => {
    expect(await nodeClient("node-trailers", `${front.url}/echo`)).toMatchObject({ status: 200, body: "one two", trailers: { "x-checksum": "abc" } });
  });

  test("waits for 100 Continue and gets it", async () => {
    expect(await nodeClient("node-continue", `${front.url}/hash`)).toMatchObject({ status: 200, continued: true });
  });

  test("sees 103 Early Hints", async () => {
    const result = await nodeClient("node-get", `${front.url}/hints`);
    expect(result).toMatchObject({ status: 200, body: "hinted" });
    expect(result.informations?.map(({ status }) => status)).toEqual([103]);
  });

  test("sees a truncated reply as an error", async () => {
    expect((await nodeClient("node-get", `${front.url}/cut/1000`)).error).toBeDefined();
  });
});

/** HTTP/2 clients that people have: Node's, curl, nghttp, h2load; over cleartext, by prior knowledge. */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { data, ErrorCode, settingsAck } from "../../support/h2-frames.ts";
import { closed, H2Client, head, reply as whole, shutdown } from "../../support/h2.ts";
import { needs } from "../../support/needs.ts";
import type { NodeBackend } from "../../support/node-backend.ts";
import { freePort } from "../../support/ports.ts";
import { type RawBackend, reply } from "../../support/raw-backend.ts";
import { curl, nodeH2Client, run } from "../../support/real-clients.ts";
import { type Balanced, openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";
import { get, post } from "../../conformance/h2/cases.ts";

const stage = openStage();
const MIB = 1024 * 1024;
let node: NodeBackend;
let raw: RawBackend;
let front: Balanced;

/** A target that refuses; one that takes nothing. */
const more = async () => `
[[upstreams]]
name = "refusing"
[[upstreams.targets]]
address = "127.0.0.1:${await freePort()}"
[[upstreams]]
name = "nobody"
[[upstreams.targets]]
address = "127.0.0.1:1"
drain = true
`;

beforeAll(async () => {
  [node, raw] = [await stage.node(), await stage.backend()];
  front = await stage.fairlead({
    targets: [node],
    upstreams: { raw: [raw] },
    routes: [
      { path_prefix: "/raw", upstream: "raw" },
      { path_prefix: "/refusing", upstream: "refusing" },
      { path_prefix: "/nobody", upstream: "nobody" },
    ],
    tail: await more(),
  });
}, 30_000);

function url(path: string): string {
  return `${front.url}${path}`;
}

describe("node:http2", () => {
  test("gets a page with its fields in lower case and without those of a connection", async () => {
    raw.clear((_, connection) => connection.write("HTTP/1.1 200 OK\r\nX-Mixed-Case: Value\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok"));
    const { status, headers, body, ended } = await nodeH2Client("get", url("/raw"));
    expect([status, body, ended]).toEqual([200, "ok", true]);
    expect(headers["x-mixed-case"]).toBe("Value");
    expect(Object.keys(headers)).not.toContain("connection");
    expect(Object.keys(headers)).not.toContain("keep-alive");
  });

  test("posts 5 MiB, and they arrive as they went", async () => {
    const result = await nodeH2Client("post", url("/hash"), 5 * MIB);
    expect(JSON.parse(result.body)).toMatchObject({ bytes: 5 * MIB, sha256: result.sent });
  });

  test("gets its 5 MiB back", async () => {
    const { status, bytes, sha256, sent, ended } = await nodeH2Client("post", url("/echo"), 5 * MIB);
    expect({ status, bytes, sha256, ended }).toEqual({ status: 200, bytes: 5 * MIB, sha256: sent, ended: true });
  });

  test("asks with HEAD: the length, and no body", async () => {
    const { status, headers, bytes, ended } = await nodeH2Client("method", url("/bytes/1234"), "HEAD");
    expect([status, headers["content-length"], bytes, ended]).toEqual([200, "1234", 0, true]);
  });

  for (const status of [204, 304]) {
    test(`gets ${status} without a body`, async () => {
      raw.clear((_, connection) => connection.write(`HTTP/1.1 ${status} X\r\nETag: "x"\r\n\r\n`));
      const result = await nodeH2Client("get", url("/raw"));
      expect([result.status, result.bytes, result.ended, result.headers["etag"]]).toEqual([status, 0, true, '"x"']);
    });
  }

  test("sends trailers and gets trailers", async () => {
    const { status, body, trailers } = await nodeH2Client("trailers", url("/echo"));
    expect({ status, body, trailer: trailers["x-checksum"] }).toEqual({ status: 200, body: "one two", trailer: "abc" });
  });

  test("waits for 100 Continue and gets it", async () => {
    const { status, continued, body } = await nodeH2Client("continue", url("/hash"));
    expect([status, continued]).toEqual([200, true]);
    expect(JSON.parse(body)).toMatchObject({ bytes: 5 });
  });

  test("sees 103 Early Hints before the reply", async () => {
    const { status, informations, body } = await nodeH2Client("get", url("/hints"));
    expect([status, body]).toEqual([200, "hinted"]);
    expect(informations.map(({ status: code, headers }) => [code, headers["link"]])).toEqual([[103, "</style.css>; rel=preload; as=style"]]);
  });

  test("gets 1 MB through a window of 1,000 bytes", async () => {
    const small = await nodeH2Client("window", url("/bytes/1000000"), 1_000);
    const large = await nodeH2Client("window", url("/chunked/1000000"), 1_000_000);
    expect([small.status, small.bytes, small.ended]).toEqual([200, 1_000_000, true]);
    expect(small.sha256).toBe(large.sha256);
  });

  test("has 100 streams at a time, and each gets its own answer", async () => {
    expect(await nodeH2Client("parallel", url("/fields"), 100)).toMatchObject({ good: 100, statuses: [200] });
  });

  test("cancels in the middle: the back end's connection is closed, the session goes on", async () => {
    const result = await nodeH2Client("cancel", url("/bytes/90000000"), 100_000, "/fields");
    expect(result["next"]).toBe(200);
    await node.event("cut", "/bytes/90000000");
  });

  test("sees a reply that the back end cuts short as an error, never as an end; the session goes on", async () => {
    for (const path of ["/cut/1000", "/raw/cut"]) {
      raw.clear((_, connection) => connection.end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
      const { first, second } = (await nodeH2Client("get-twice", url(path), "/fields")) as unknown as { first: { status: number; ended: boolean; rstCode: number }; second: number };
      expect([path, first.status, first.ended, first.rstCode === 0]).toEqual([path, 200, false, false]);
      expect(second).toBe(200);
    }
  });

  test("gets 502 of a back end that closes without a word, 502 or 503 of one that refuses, 503 where no target is", async () => {
    raw.clear((_, connection) => connection.end());
    expect((await nodeH2Client("get", url("/raw"))).status).toBe(502);
    expect([502, 503]).toContain((await nodeH2Client("get", url("/refusing"))).status);
    const nobody = await nodeH2Client("get", url("/nobody"));
    expect([nobody.status, nobody.body.trim(), nobody.ended]).toEqual([503, "Service Unavailable", true]);
  });
});

describe("curl", () => {
  const H2 = ["--http2-prior-knowledge"] as const;

  test("gets a page", async () => {
    const { code, stdout } = await curl(...H2, "-w", "%{http_code} %{http_version} %{size_download}", "-o", "/dev/null", url("/bytes/1000000"));
    expect([code, stdout]).toEqual([0, "200 2 1000000"]);
  });

  test("posts a file of 5 MiB, with and without Expect: 100-continue", async () => {
    const directory = mkdtempSync(join(tmpdir(), "fairlead-upload-"));
    try {
      const file = join(directory, "file");
      writeFileSync(file, Buffer.alloc(5 * MIB, 65));
      for (const expectation of ["Expect: 100-continue", "Expect:"]) {
        const { code, stdout } = await curl(...H2, "-H", expectation, "--data-binary", `@${file}`, url("/hash"));
        expect([expectation, code]).toEqual([expectation, 0]);
        expect(JSON.parse(stdout)).toMatchObject({ bytes: 5 * MIB });
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test("asks with HEAD", async () => {
    const { code, stdout } = await curl(...H2, "-I", url("/bytes/1234"));
    expect(code).toBe(0);
    expect(stdout).toMatch(/^HTTP\/2 200 \r\n[^]*content-length: 1234\r\n/);
  });

  test("sees a truncated reply as an error of the stream", async () => {
    const { code } = await curl(...H2, url("/cut/1000"));
    // 92: HTTP/2 stream error; 18: fewer bytes than announced.
    expect([92, 18]).toContain(code!);
  });

  test("sends many cookies, which arrive as one field", async () => {
    const { stdout } = await curl(...H2, "-H", "Cookie: a=1; b=2", url("/fields"));
    const { fields } = JSON.parse(stdout) as { readonly fields: readonly string[] };
    expect(fields.filter((_, i) => i % 2 === 0 && fields[i]!.toLowerCase() === "cookie").length).toBe(1);
    expect(fields[fields.findIndex((field) => field.toLowerCase() === "cookie") + 1]).toBe("a=1; b=2");
  });

  test("speaks HTTP/1.1 to the same listener, and its offer to upgrade to h2c is passed over", async () => {
    expect((await curl("--http1.1", "-w", " %{http_version}", url("/bytes/0"))).stdout).toBe(" 1.1");
    expect((await curl("--http2", "-w", " %{http_version}", url("/bytes/0"))).stdout).toBe(" 1.1");
  });
});

describe("nghttp and h2load", () => {
  needs("nghttp").test(`nghttp gets a page and its trailers`, async () => {
    raw.clear((_, connection) => connection.write("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"));
    const { code, stdout } = await run("nghttp", ["--no-verify-peer", "-v", url("/raw")]);
    expect(code).toBe(0);
    expect(stdout).toContain("x-sum: 1");
  });

  needs("h2load").test(`h2load gets 3,000 pages over 3 connections of 50 streams`, async () => {
    const { code, stdout } = await run("h2load", ["-n", "3000", "-c", "3", "-m", "50", url("/bytes/100")]);
    expect(code).toBe(0);
    expect(stdout).toContain("3000 succeeded, 0 failed, 0 errored, 0 timeout");
    expect(stdout).toContain("status codes: 3000 2xx, 0 3xx, 0 4xx, 0 5xx");
  });

  needs("h2load").test(`h2load posts 300 bodies of 100 KB`, async () => {
    const directory = stage.directory();
    const file = join(directory, "body");
    writeFileSync(file, Buffer.alloc(100_000, 66));
    const { code, stdout } = await run("h2load", ["-n", "300", "-c", "3", "-m", "20", "-d", file, url("/hash")]);
    expect(code).toBe(0);
    expect(stdout).toContain("300 succeeded, 0 failed, 0 errored, 0 timeout");
  });
});

describe("SIGTERM", () => {
  test("says goodbye twice; what was begun before the second one ends, and so does the process", async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const backend = await stage.backend(async (request, connection) => {
      await held;
      if (await request.ended) connection.write(reply(200, `${request.target} ${request.text}`));
    });
    const { fairlead, port } = await stage.fairlead({ targets: [backend] });
    const client = await H2Client.connect(port, { polite: false });
    client.send(settingsAck(), ...Array.from({ length: 10 }, (_, i) => get(2 * i + 1, `/${2 * i + 1}`)), post(21, "/21"));
    await until("the requests", () => backend.requests.length === 11);
    fairlead.signal("SIGTERM");
    await client.expect(shutdown(1));
    const [first] = client.conversation.goaways;
    expect([first!.code, first!.last]).toEqual([ErrorCode.NO_ERROR, 2 ** 31 - 1]);
    // What was on the way when the first goodbye left is served: that is what it is for.
    client.send(get(23, "/23")).bePolite();
    await client.expect(shutdown(2));
    expect(client.conversation.goaways[1]).toMatchObject({ code: ErrorCode.NO_ERROR, last: 23 });
    client.send(data(21, "body"));
    release();
    for (let stream = 1; stream <= 23; stream += 2) expect((await client.expect(whole(stream))).text).toBe(`/${stream} ${stream === 21 ? "body" : ""}`);
    await client.expect(closed);
    expect(client.conversation.violation).toBeUndefined();
    await until("its end", () => fairlead.ended !== undefined);
    expect(fairlead.ended).toBe(0);
  });

  test("under load costs no request that was begun", async () => {
    const backend = await stage.backend(async (request, connection) => {
      if (await request.ended) connection.write(reply(200, "ok"));
    });
    const { fairlead, url: origin } = await stage.fairlead({ targets: [backend] });
    const asking = nodeH2Client("until-goaway", `${origin}/load`, 20);
    await until("traffic", () => backend.requests.length > 200, 10_000);
    fairlead.signal("SIGTERM");
    const { good, failures, goaways } = (await asking) as unknown as { good: number; failures: unknown[]; goaways: { code: number }[] };
    expect(failures).toEqual([]);
    expect(good).toBeGreaterThan(100);
    expect(goaways.map(({ code }) => code)).toEqual(goaways.map(() => 0));
    expect(goaways.length).toBeGreaterThan(0);
    await until("its end", () => fairlead.ended !== undefined);
    expect(fairlead.ended).toBe(0);
  });

  test("lets a client that is idle go at once", async () => {
    const { fairlead, port } = await stage.fairlead({ targets: [await stage.backend()] });
    const client = await H2Client.connect(port);
    client.send(get(1));
    await client.expect(head(1));
    const began = performance.now();
    fairlead.signal("SIGTERM");
    await client.expect(closed);
    expect(client.conversation.goaways.every(({ code }) => code === ErrorCode.NO_ERROR)).toBe(true);
    await until("its end", () => fairlead.ended !== undefined);
    expect(performance.now() - began).toBeLessThan(3_000);
  });
});

/** What is counted, over HTTP/1, HTTP/2, TLS, tcp and udp: as a scrape tells it, read by a strict parser. */
import { beforeAll, describe, expect, test } from "bun:test";
import { LoadBalancer } from "fairlead";
import { Scrape } from "../support/prometheus-text.ts";
import { H2Client, head, reply } from "../support/h2.ts";
import { goaway, headers, rstStream } from "../support/h2-frames.ts";
import { reply as replyText } from "../support/raw-backend.ts";
import { freePort } from "../support/ports.ts";
import { connected, RawConnection } from "../support/raw-connection.ts";
import { echo as echoing } from "../support/raw-server.ts";
import { openStage, type Target } from "../support/stage.ts";
import { tlsExchange } from "../support/tls-client.ts";
import { type TomlTable, toToml } from "../support/toml.ts";
import { UdpClient, UdpServer } from "../support/udp.ts";
import { until } from "../support/until.ts";

const stage = openStage();
let balancer: LoadBalancer;
let good: Target & { readonly address: string };

const address = (target: Target): TomlTable => ({ address: typeof target === "string" ? target : target.address });
const scrape = async (): Promise<Scrape> => new Scrape(await balancer.metrics());

/** So much more there is of a series after `what`; what happens late is waited for. */
async function more(name: string, labels: Readonly<Record<string, string>>, expected: number, what: () => unknown): Promise<Scrape> {
  const before = (await scrape()).find(name, labels) ?? 0;
  await what();
  return until(`${expected} more of ${name}${JSON.stringify(labels)}`, async () => {
    const now = await scrape();
    return (now.find(name, labels) ?? 0) - before === expected ? now : undefined;
  });
}

beforeAll(async () => {
  good = await stage.backend((request, connection) => connection.write(replyText(request.startLine.includes("/broken") ? 503 : 200, "hello")));
  const h2 = await stage.h2Target(({ path, id, connection }) => void (path === "/hang" || connection.send(headers(id, [[":status", "204"]]))));
  const echo = await stage.server(echoing);
  const datagrams = await UdpServer.start();
  stage.atEnd(() => datagrams.stop());
  const config = toToml({
    listeners: [
      { name: "web", address: "127.0.0.1:0", upstream: "main" },
      { name: "routed", address: "127.0.0.1:0" },
      { name: "secure", address: "127.0.0.1:0", tls: "self-signed", upstream: "main" },
      { name: "new", address: "127.0.0.1:0", upstream: "h2" },
      { name: "raw", address: "127.0.0.1:0", protocol: "tcp", upstream: "echo" },
      { name: "datagrams", address: "127.0.0.1:0", protocol: "udp", udp_responses: 1, upstream: "datagrams" },
      { name: "flaky", address: "127.0.0.1:0", upstream: "flaky" },
      { name: "full", address: "127.0.0.1:0", upstream: "full" },
    ],
    routes: [
      { listeners: ["routed"], path_prefix: '/a"\\', upstream: "main" },
      { listeners: ["routed"], name: "second", path_prefix: "/b", upstream: "main" },
    ],
    upstreams: [
      { name: "main", targets: [address(good)] },
      { name: "h2", protocol: "h2c", targets: [address(h2)] },
      { name: "echo", targets: [address(echo)] },
      { name: "datagrams", targets: [address(datagrams)] },
      { name: "flaky", policy: "first", outlier_detection: false, targets: [{ address: `127.0.0.1:${await freePort()}` }, address(good)] },
      { name: "full", queue_size: 1, targets: [{ ...address(await stage.backend(() => {})), max_requests: 1 }] },
    ],
  });
  balancer = await new LoadBalancer({ config }).start();
  stage.atEnd(() => balancer.stop(0));
});

const get = async (listener: string, path = "/"): Promise<number> => {
  const answer = await fetch(`http://127.0.0.1:${balancer.port(listener)}${path}`);
  await answer.arrayBuffer();
  return answer.status;
};

describe("over HTTP/1", () => {
  test("requests are counted by class, for listener, upstream and target; histograms count each of them once", async () => {
    const now = await more("fairlead_listener_requests_total", { listener: "web" }, 13, async () => {
      for (let i = 0; i < 10; i++) await get("web");
      for (let i = 0; i < 3; i++) await get("web", "/broken");
    });
    expect([now.find("fairlead_listener_requests_total", { listener: "web", code: "2xx" }), now.find("fairlead_listener_requests_total", { listener: "web", code: "5xx" })]).toEqual([10, 3]);
    for (const kind of ["listener", "upstream", "target"]) {
      const labels = kind === "listener" ? { listener: "web" } : { upstream: "main" };
      expect([kind, now.find(`fairlead_${kind}_requests_total`, labels)]).toEqual([kind, 13]);
      expect([kind, now.find(`fairlead_${kind}_request_duration_seconds_count`, labels)]).toEqual([kind, 13]);
      expect(now.find(`fairlead_${kind}_request_duration_seconds_sum`, labels)).toBeGreaterThan(0);
    }
    expect(now.find("fairlead_upstream_first_byte_duration_seconds_count", { upstream: "main" })).toBe(13);
    expect(now.find("fairlead_upstream_connect_duration_seconds_count", { upstream: "main" })).toBe(now.find("fairlead_upstream_connects_total", { upstream: "main" })!);
  });

  test("bytes are those on the wire, both ways, of listener, upstream and target", async () => {
    const client = new RawConnection(await connected(balancer.port("web")));
    stage.atEnd(() => client.destroy());
    const asked = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    const before = await scrape();
    const now = await more("fairlead_listener_received_bytes_total", { listener: "web" }, asked.length, async () => {
      client.write(asked);
      await until("the reply", () => client.receivedText.includes("hello"));
    });
    expect(now.find("fairlead_listener_sent_bytes_total", { listener: "web" })! - before.find("fairlead_listener_sent_bytes_total", { listener: "web" })!).toBe(client.received.length);
    for (const kind of ["upstream", "target"]) {
      const received = now.find(`fairlead_${kind}_received_bytes_total`, { upstream: "main" })! - before.find(`fairlead_${kind}_received_bytes_total`, { upstream: "main" })!;
      expect(received).toBe(replyText(200, "hello").length);
    }
  });

  test("what is refused before there is an exchange is counted, with its cause", async () => {
    const now = await more("fairlead_listener_failures_total", { listener: "web", cause: "bad-request" }, 1, async () => {
      const client = new RawConnection(await connected(balancer.port("web")));
      stage.atEnd(() => client.destroy());
      client.write("NOT HTTP AT ALL\r\n\r\n");
      await until("the refusal", () => client.receivedText.includes("400"));
    });
    expect(now.find("fairlead_listener_requests_total", { listener: "web", code: "4xx" })).toBe(1);
  });

  test("routes are counted by their labels, which may hold anything; what matches none has a cause", async () => {
    const client = new RawConnection(await connected(balancer.port("routed")));
    client.write('GET /a"\\ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await until("the reply", () => client.receivedText.includes("hello"));
    client.destroy();
    await get("routed", "/b/x");
    await get("routed", "/b");
    const now = await more("fairlead_listener_failures_total", { listener: "routed", cause: "no-route" }, 1, () => get("routed", "/c"));
    expect(now.families.get("fairlead_route_requests_total")!.series.filter(({ value }) => value > 0)).toEqual([
      { name: "fairlead_route_requests_total", labels: { route: '/a"\\', code: "2xx" }, value: 1 },
      { name: "fairlead_route_requests_total", labels: { route: "second", code: "2xx" }, value: 2 },
    ]);
    expect(now.find("fairlead_listener_requests_total", { listener: "routed", code: "4xx" })).toBe(1);
  });

  test("an attempt that fails and is made good is the target's, not the upstream's", async () => {
    const now = await more("fairlead_upstream_requests_total", { upstream: "flaky", code: "2xx" }, 1, () => get("flaky"));
    expect(now.find("fairlead_upstream_requests_total", { upstream: "flaky" })).toBe(1);
    expect(now.find("fairlead_upstream_failures_total", { upstream: "flaky" })).toBeUndefined();
    expect(now.find("fairlead_upstream_attempt_failures_total", { upstream: "flaky", cause: "connect-refused" })).toBe(1);
    expect(now.find("fairlead_target_requests_total", { upstream: "flaky", code: "failed" })).toBe(1);
    expect([now.find("fairlead_upstream_retries_total", { upstream: "flaky" }), now.find("fairlead_upstream_attempts_total", { upstream: "flaky" })]).toEqual([1, 2]);
  });

  test("who waits for a place, and who finds none", async () => {
    const calls = new AbortController();
    const ask = (): Promise<unknown> => fetch(`http://127.0.0.1:${balancer.port("full")}/`, { signal: calls.signal }).catch(() => {});
    const held = [ask(), ask()];
    await until("one to wait", async () => (await scrape()).find("fairlead_upstream_queued", { upstream: "full" }) === 1);
    const now = await more("fairlead_upstream_failures_total", { upstream: "full", cause: "queue-full" }, 1, () => get("full"));
    expect(now.find("fairlead_upstream_open_requests", { upstream: "full" })).toBe(1);
    expect(now.find("fairlead_listener_open_clients", { listener: "full" })).toBeGreaterThanOrEqual(2);
    const after = await more("fairlead_upstream_requests_total", { upstream: "full", code: "failed" }, 2, async () => {
      calls.abort();
      await Promise.all(held);
    });
    expect(after.find("fairlead_upstream_failures_total", { upstream: "full", cause: "client-closed" })).toBe(2);
    expect(after.find("fairlead_upstream_queue_duration_seconds_count", { upstream: "full" })).toBe(1);
    // The one that waited may have had its turn before it was called off too.
    expect(after.find("fairlead_target_called_off_total", { upstream: "full" })).toBeGreaterThanOrEqual(1);
    expect(after.find("fairlead_upstream_queued", { upstream: "full" })).toBe(0);
  });
});

test("over HTTP/2: streams, resets and goodbyes of both sides", async () => {
  const asks = (path: string): [string, string][] => [[":method", "GET"], [":scheme", "http"], [":authority", "h.test"], [":path", path]];
  const client = await H2Client.connect(balancer.port("new"));
  stage.atEnd(() => client.destroy());
  const now = await more("fairlead_listener_h2_goaways_total", { listener: "new", direction: "received" }, 1, async () => {
    client.send(headers(1, asks("/")));
    await client.expect(reply(1, 204));
    client.send(headers(3, asks("/hang")), rstStream(3));
    client.send(headers(5, asks("/")));
    await client.expect(head(5, 204));
    client.send(goaway(0, 0));
  });
  const told = (kind: string): (number | undefined)[] => ["h2_connections_total", "h2_streams_total", "h2_resets_total"].map((name) => now.find(`fairlead_${kind}_${name}`, kind === "listener" ? { listener: "new" } : { upstream: "h2" }));
  expect(told("listener")).toEqual([1, 3, 1]);
  expect(told("upstream")[0]).toBe(1);
  expect(now.find("fairlead_listener_requests_total", { listener: "new", code: "2xx" })).toBe(2);
  expect(now.find("fairlead_listener_request_duration_seconds_count", { listener: "new" })).toBe(3);
});

test("over TLS: handshakes that were full, resumed, and failed; when certificates expire", async () => {
  const port = balancer.port("secure");
  await more("fairlead_listener_tls_handshakes_total", { listener: "secure", kind: "full" }, 1, async () => {
    const { session } = await tlsExchange(port, { maxVersion: "TLSv1.2" });
    await more("fairlead_listener_tls_handshakes_total", { listener: "secure", kind: "resumed" }, 1, () => tlsExchange(port, { maxVersion: "TLSv1.2", session: session! }));
  });
  const now = await more("fairlead_listener_tls_handshake_failures_total", { listener: "secure", cause: "tls-handshake-failed" }, 1, async () => {
    const client = new RawConnection(await connected(port));
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await until("the end", () => client.peer !== "open");
  });
  expect(now.find("fairlead_listener_clients_total", { listener: "secure" })).toBe(3);
  const expiry = now.find("fairlead_listener_certificate_expiry_timestamp_seconds", { listener: "secure" })!;
  expect(expiry).toBeGreaterThan(Date.now() / 1000 + 86_400);
});

test("over tcp: connections, with bytes while they are open", async () => {
  const client = new RawConnection(await connected(balancer.port("raw")));
  const open = await more("fairlead_target_sent_bytes_total", { upstream: "echo" }, 5, async () => {
    client.write("12345");
    await until("the echo", () => client.receivedText === "12345");
  });
  expect([open.find("fairlead_listener_open_clients", { listener: "raw" }), open.find("fairlead_target_open_requests", { upstream: "echo" }), open.find("fairlead_listener_requests_total", { listener: "raw" })]).toEqual([1, 1, 0]);
  const now = await more("fairlead_listener_requests_total", { listener: "raw", code: "done" }, 1, () => client.end());
  expect([now.find("fairlead_listener_received_bytes_total", { listener: "raw" }), now.find("fairlead_listener_sent_bytes_total", { listener: "raw" })]).toEqual([5, 5]);
  expect([now.find("fairlead_upstream_request_duration_seconds_count", { upstream: "echo" }), now.find("fairlead_target_requests_total", { upstream: "echo", code: "done" })]).toEqual([1, 1]);
  client.destroy();
});

test("over udp: flows and their bytes", async () => {
  const client = await UdpClient.open(balancer.port("datagrams"));
  stage.atEnd(() => client.close());
  const now = await more("fairlead_listener_requests_total", { listener: "datagrams", code: "done" }, 1, () => client.ask("1234567"));
  expect([now.find("fairlead_listener_received_bytes_total", { listener: "datagrams" }), now.find("fairlead_listener_sent_bytes_total", { listener: "datagrams" }), now.find("fairlead_target_received_bytes_total", { upstream: "datagrams" })]).toEqual([7, 7, 7]);
  expect(now.find("fairlead_listener_clients_total", { listener: "datagrams" })).toBe(1);
});

test("the event loop, and what the process uses", async () => {
  const before = await scrape();
  const count = before.find("fairlead_worker_event_loop_lag_seconds_count")!;
  const blocked = performance.now() + 120;
  while (performance.now() < blocked);
  const now = await until("the lag", async () => {
    const found = await scrape();
    return (found.find("fairlead_worker_event_loop_lag_max_seconds") ?? 0) >= 0.09 ? found : undefined;
  });
  expect(now.find("fairlead_worker_event_loop_lag_seconds_count")).toBeGreaterThan(count);
  if (process.platform !== "linux") return;
  expect(now.find("fairlead_process_cpu_seconds_total", { process: "library" })).toBeGreaterThan(0.1);
  expect(now.find("fairlead_process_resident_memory_bytes")).toBeGreaterThan(10_000_000);
  expect(now.find("fairlead_process_open_descriptors")).toBeGreaterThan(3);
});

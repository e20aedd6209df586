/** Which way requests would go, asked of the data plane in this process; and that they go that way. */
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Explained, LoadBalancer, type RequestToExplain } from "fairlead";
import { explanation } from "../../src/cli/explanation.ts";
import { Authority, pemFiles } from "../support/certificates.ts";
import { openStage } from "../support/stage.ts";
import { until } from "../support/until.ts";

const stage = openStage();

async function balancer(config: string): Promise<LoadBalancer> {
  const lb = await new LoadBalancer({ config }).start();
  stage.atEnd(() => lb.stop(0));
  return lb;
}

const outcome = async (lb: LoadBalancer, request: RequestToExplain): Promise<Explained["outcome"]> => (await lb.explain(request)).outcome;

async function refusal(lb: LoadBalancer, request: object): Promise<string> {
  return lb.explain(request as RequestToExplain).then(
    () => "explained",
    (error: Error) => error.message,
  );
}

describe("a listener", () => {
  test("is the one that is named, or at the URL's port, or the only one of its scheme", async () => {
    const lb = await balancer(`
      listeners = [{ name = "a", address = "127.0.0.1:0", upstream = "one" }, { name = "b", address = "127.0.0.1:0", upstream = "one" }, { name = "t", address = "127.0.0.1:0", protocol = "tcp", upstream = "one" }]
      upstreams = [{ name = "one", targets = [{ address = "127.0.0.1:1" }] }]`);
    const found = async (request: RequestToExplain): Promise<unknown> => {
      const { listener } = await lb.explain(request);
      return [listener.name, listener.found_by, listener.address];
    };
    const [a, b, t] = ["a", "b", "t"].map((name) => lb.port(name)) as [number, number, number];
    expect(await found({ url: `http://127.0.0.1:${b}/` })).toEqual(["b", "port", `127.0.0.1:${b}`]);
    expect(await found({ url: `http://anything.example:${a}` })).toEqual(["a", "port", `127.0.0.1:${a}`]);
    expect(await found({ url: "http://anything.example/", listener: "a" })).toEqual(["a", "name", `127.0.0.1:${a}`]);
    expect(await found({ url: "tcp://db.example:5432" })).toEqual(["t", "scheme", `127.0.0.1:${t}`]);
    expect(await refusal(lb, { url: "http://anything.example/" })).toBe(`no http listener is at port 80, and there is more than one: name one (listener, or --listener) of a (http, port ${a}), b (http, port ${b}), t (tcp, port ${t})`);
    expect(await refusal(lb, { url: "https://x/" })).toContain("no listener speaks https");
    expect(await refusal(lb, { url: `http://127.0.0.2:${a}/` })).toContain(`no http listener is at port ${a}`);
    expect(await refusal(lb, { url: "http://x/", listener: "c" })).toBe(`there is no listener "c"; there are a (http, port ${a}), b (http, port ${b}), t (tcp, port ${t})`);
  });
});

describe("what cannot be explained", () => {
  test("is told, with what to write instead", async () => {
    const lb = await balancer(`
      listeners = [{ address = "127.0.0.1:0", upstream = "one" }]
      upstreams = [{ name = "one", targets = [{ address = "127.0.0.1:1" }] }]`);
    expect(await refusal(lb, { url: "/v1" })).toContain("is no URL of a request: write it with scheme and host");
    expect(await refusal(lb, { url: "ftp://x/" })).toContain("is no URL");
    expect(await refusal(lb, { url: "http://a b/" })).toContain('"a b" in the URL is no host');
    for (const url of ["http://user@x/", "http://x:70000/", "http:///a"]) expect(await refusal(lb, { url })).toContain("in the URL is no host");
    expect(await refusal(lb, { url: "http://x/\u4e2d" })).toContain("percent-encoded");
    expect(await refusal(lb, { url: "http://x/", headers: { A: "1\r\nB: 2" } })).toContain("the value of A holds a character");
    expect(await refusal(lb, { url: "http://x/", headers: { "a b": "1" } })).toBe('"a b" is no name of a header');
    expect(await refusal(lb, { url: "http://x/", method: "GE T" })).toContain("method is a token");
    expect(await refusal(lb, { url: "http://x/", client: "somewhere" })).toContain('client "somewhere" is no address');
    expect(await refusal(lb, { url: "http://x/", clients: "1.2.3.4" })).toContain("clients");
    expect(await refusal(new LoadBalancer({}), { url: "http://x/" })).toBe("this load balancer does not run");
  });
});

describe("a request", () => {
  test("that is answered here says so, and by what", async () => {
    const lb = await balancer(`
      listeners = [
        { name = "a", address = "127.0.0.1:0", upstream = "one", health_path = "/health", limits = { body_bytes = "1KiB", header_bytes = "1KiB" }, underscore_names = "reject" },
        { name = "r", address = "127.0.0.1:0", redirect_https = 8443 },
        { name = "n", address = "127.0.0.1:0", upstream = "one" },
      ]
      routes = [{ listeners = ["n"], hosts = ["only.example"], upstream = "one" }]
      upstreams = [{ name = "one", targets = [{ address = "127.0.0.1:1", drain = true }] }]`);
    const at = (listener: string, request: Partial<RequestToExplain> = {}): Promise<Explained["outcome"]> => outcome(lb, { url: "http://x.example/", listener, ...request });
    expect(await at("a", { url: "http://x/health" })).toMatchObject({ kind: "answered", status: 200, upstream: null, summary: "200: ok" });
    expect(await at("a", { method: "TRACE" })).toMatchObject({ kind: "answered", status: 405, summary: "405: TRACE is not offered here" });
    expect(await at("a", { method: "PUT", headers: { "Content-Length": "2000" } })).toMatchObject({ kind: "answered", status: 413 });
    expect(await at("a", { headers: { Long: "x".repeat(2000) } })).toMatchObject({ kind: "answered", status: 431 });
    expect(await at("a", { headers: { a_b: "1" } })).toMatchObject({ kind: "answered", status: 400, summary: "400: header name with underscore" });
    expect(await at("a", { headers: { Host: ["a", "b"] } })).toMatchObject({ kind: "answered", status: 400 });
    expect(await at("r", { url: "http://x.example/v1?a" })).toMatchObject({ kind: "answered", status: 308, summary: "308: go to https://x.example:8443/v1?a" });
    expect(await at("a")).toMatchObject({ kind: "refused", status: 503, upstream: "one", summary: "503: no target of one is usable" });
    expect((await lb.explain({ url: "http://x/", listener: "n" })).routes).toEqual([{ label: "only.example", upstream: "one", matched: false, failed: { condition: "host", name: "", wanted: "only.example", seen: "x" } }]);
  });

  test("of a listener without a place for it goes nowhere", async () => {
    const lb = await balancer(`
      listeners = [{ name = "n", address = "127.0.0.1:0" }]
      routes = [{ hosts = ["only.example"], upstream = "one" }]
      upstreams = [{ name = "one", targets = [{ address = "127.0.0.1:1" }] }]`);
    expect(await outcome(lb, { url: "http://x/" })).toMatchObject({ kind: "refused", status: 404, route: null, upstream: null });
  });

  test("goes on as it is told: fields taken away and added, the host, retries, timeouts", async () => {
    const backend = await stage.backend();
    const lb = await balancer(`
      listeners = [{ name = "a", address = "127.0.0.1:0", upstream = "one", forwarding = { request_id = "missing", forwarded = true } }]
      upstreams = [{ name = "one", host_header = "target", retries = 2, retry_on = ["connect-failure", "reset", 503], timeouts = { connect = "1s", response = "3s" }, hedge = {}, targets = [{ address = "${backend.address}" }] }]`);
    const headers = { "X-Forwarded-For": "1.2.3.4", Connection: "close, X-Own", "X-Own": "1", Accept: "*/*", "X-Request-Timeout": "2" };
    const url = `http://127.0.0.1:${lb.port()}/a?b`;
    const told = await lb.explain({ url, headers });
    await fetch(url, { headers: { ...headers, "User-Agent": "x" } });
    const sent = await until("the request", () => backend.requests[0]);
    const fields = sent.head.split("\r\n").slice(1).filter((line) => line !== "");
    const { host, added, removed, request_line: line, note } = told.forwarded!;
    expect([line, host, note]).toEqual(["GET /a?b HTTP/1.1", backend.address, "X-Request-ID is made anew for each request; here it is all zeros"]);
    expect(fields).toContain(`Host: ${host}`);
    for (const field of added.filter((one) => !one.startsWith("X-Request-ID"))) expect(fields).toContain(field);
    for (const field of removed) expect(fields).not.toContain(field);
    expect(removed).toEqual([`Host: 127.0.0.1:${lb.port()}`, "X-Forwarded-For: 1.2.3.4", "Connection: close, X-Own", "X-Own: 1"]);
    expect(told.applies).toMatchObject({ timeouts: { request_ms: 2000, connect_ms: 1000, response_ms: 3000 }, retries: { further_attempts: 2, connect_attempts: 8, idempotent: true, on: ["reset", "status 503"] }, hedge: { after_ms: null } });
    expect((await lb.explain({ method: "POST", url })).applies).toMatchObject({ retries: { idempotent: false, on: [], connect_attempts: 8 }, hedge: { note: expect.stringContaining("not hedged") } });
  });

  test("goes where it is told, and asking takes nobody's turn", async () => {
    const backends = await stage.backends(3);
    const lb = await balancer(`
      listeners = [{ address = "127.0.0.1:0", upstream = "one" }]
      upstreams = [{ name = "one", targets = [${backends.map(({ address }, index) => `{ address = "${address}", weight = ${index + 1} }`).join(", ")}] }]`);
    const url = `http://127.0.0.1:${lb.port()}/`;
    const seen: string[] = [];
    for (let i = 0; i < 12; i++) {
      let told = await lb.explain({ url });
      for (let again = 0; again < i % 3; again++) told = await lb.explain({ url });
      const before = backends.map(({ requests }) => requests.length);
      await (await fetch(url)).text();
      const at = backends.findIndex(({ requests }, index) => requests.length > before[index]!);
      expect(told.outcome).toMatchObject({ kind: "forwarded", target: backends[at]!.address });
      seen.push(String(at));
    }
    // 1, 2, 3 smoothly, twice, with no turn missing.
    expect(seen.join("")).toBe("210212210212".slice(0, 12));
  });

  test("with a sticky cookie goes back; one that is not ours leads nowhere", async () => {
    const backends = await stage.backends(3);
    const lb = await balancer(`
      listeners = [{ address = "127.0.0.1:0", upstream = "one" }]
      upstreams = [{ name = "one", sticky = { cookie = "where" }, targets = [${backends.map(({ address }) => `{ address = "${address}" }`).join(", ")}] }]`);
    const url = `http://127.0.0.1:${lb.port()}/`;
    const first = await fetch(url);
    const cookie = first.headers.get("set-cookie")!.split(";")[0]!;
    const home = backends.find(({ requests }) => requests.length > 0)!;
    const told = await lb.explain({ url, headers: { Cookie: cookie } });
    expect(told.outcome).toMatchObject({ kind: "forwarded", target: home.address, summary: "by its sticky cookie" });
    expect(told.upstream!.sticky).toMatchObject({ cookie: "where", target: home.address, used: true });
    expect(told.upstream!.order[0]).toBe(home.address);
    expect((await lb.explain({ url, headers: { Cookie: "where=made-up" } })).upstream!).toMatchObject({ picked_by: "policy", sticky: { seen: "made-up", target: null, used: false } });
    expect((await lb.explain({ url })).upstream!.sticky).toMatchObject({ seen: null, note: "the request has no such cookie" });
  });

  test("of a tls-passthrough listener is routed by its name, one of udp by nothing", async () => {
    const lb = await balancer(`
      listeners = [{ name = "sealed", address = "127.0.0.1:0", protocol = "tls-passthrough", upstream = "one" }, { name = "dns", address = "127.0.0.1:0", protocol = "udp", upstream = "two" }]
      routes = [{ listeners = ["sealed"], hosts = ["secret.example"], upstream = "two" }]
      upstreams = [{ name = "one", policy = "single", targets = [{ address = "127.0.0.1:1" }] }, { name = "two", policy = "ip-hash", targets = [{ address = "127.0.0.1:2" }, { address = "127.0.0.1:3" }] }]`);
    expect(await outcome(lb, { url: "https://secret.example/ignored" })).toMatchObject({ kind: "forwarded", route: "secret.example", upstream: "two" });
    expect(await outcome(lb, { url: "https://other.example" })).toMatchObject({ route: null, upstream: "one", target: "127.0.0.1:1" });
    const udp = await lb.explain({ url: "udp://127.0.0.1:53", client: "10.1.2.3" });
    expect(udp).toMatchObject({ outcome: { upstream: "two", kind: "forwarded" }, upstream: { key: { value: "10.1.2.3" } }, forwarded: null });
  });

  test("over TLS is told of its certificate's subject", async () => {
    const authority = await Authority.create();
    const directory = stage.directory();
    const files = { ...pemFiles({ x: await authority.issue({ names: ["x.example"] }) }), "ca.pem": authority.pem };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    const lb = await balancer(`
      listeners = [{ address = "127.0.0.1:0", upstream = "one", tls = { certificates = [{ certificate = "${directory}/x.pem", key = "${directory}/x.key" }], client_ca = "${directory}/ca.pem", client_auth = "optional", client_subject_header = "X-Subject" } }]
      upstreams = [{ name = "one", targets = [{ address = "127.0.0.1:1" }] }]`);
    const { forwarded } = await lb.explain({ url: `https://x.example:${lb.port()}/`, client_subject: "CN=ada" });
    expect(forwarded!.added).toContain("X-Subject: CN=ada");
    expect(forwarded!.added).toContain("X-Forwarded-Proto: https");
  });
});

describe("faults", () => {
  const plain = (_style: unknown, text: string): string => text;
  const parts = async (lb: LoadBalancer, request: RequestToExplain): Promise<{ told: Explained; text: string }> => {
    const told = await lb.explain(request);
    return { told, text: explanation(told, request, plain, Date.now()) };
  };

  test("are told in their order: which would be injected and how likely, which not and why, at the client and at targets; asking draws nothing", async () => {
    const backend = await stage.backend();
    const lb = await balancer(`
      listeners = [{ name = "a", address = "127.0.0.1:0", upstream = "one" }, { name = "t", address = "127.0.0.1:0", protocol = "tcp", upstream = "one" }, { name = "u", address = "127.0.0.1:0", protocol = "udp", upstream = "one" }]
      routes = [{ name = "checkout", listeners = ["a"], path_prefix = "/checkout", upstream = "one" }]
      upstreams = [{ name = "one", retries = 0, targets = [{ address = "${backend.address}" }] }, { name = "two", targets = [{ address = "127.0.0.1:1" }] }]
      [faults]
      enabled = true
      rules = [
        { name = "puts", methods = ["PUT"], reset = true },
        { name = "slow", routes = ["checkout"], percent = 5, delay = ["100ms", "300ms"] },
        { name = "tried", headers = { X-Try = "1" }, abort = 503 },
        { name = "by-hand", by_header = true, percent = 50 },
        { name = "calls", grpc_status = 8 },
        { name = "half", hosts = ["x.example"], percent = 50, throttle = "1KiB", truncate = 10 },
        { name = "elsewhere", targets = ["127.0.0.1:1"], target_delay = "1s" },
        { name = "flaky", percent = 10, target_error = "response-timeout" },
      ]`);
    const ask = (request: RequestToExplain): Promise<{ told: Explained; text: string }> => parts(lb, { listener: "a", ...request });
    const { told, text } = await ask({ url: "http://x.example/checkout" });
    expect(told.faults.map(({ name, matched, failed, chance }) => [name, matched, failed?.condition ?? null, failed?.seen ?? null, chance])).toEqual([
      ["puts", false, "method", "GET", null],
      ["slow", true, null, null, 0.05],
      ["tried", false, "header", null, null],
      ["by-hand", false, "header", null, null],
      ["calls", false, "call", "a request", null],
      ["half", true, null, null, 0.475],
      ["elsewhere", true, null, null, 0],
      ["flaky", true, null, null, 0.1],
    ]);
    expect(told.outcome).toMatchObject({ kind: "forwarded", target: backend.address });
    expect(text).toContain(`
a  →  checkout  →  one  →  ${backend.address}
by round-robin
with 5 % chance: fault "slow", delay 100 to 300 ms
with 47.5 % chance: fault "half", throttle 1024 bytes/s, truncate 10 bytes
each attempt, with 10 % chance: fault "flaky", response-timeout
`);
    expect(text).toContain(`
Faults       ✗ puts       method is GET, wanted PUT
             ✓ slow       with 5 % chance: delay 100 to 300 ms
             ✗ tried      header X-Try is not there, wanted the rule's value
             ✗ by-hand    header X-Fairlead-Fault is not there, wanted what is to befall it
             ✗ calls      it is a request, wanted a gRPC call
             ✓ half       with 47.5 % chance: throttle 1024 bytes/s, truncate 10 bytes
             ✗ elsewhere  not at ${backend.address}; at 127.0.0.1:1: delay 1000 ms
             ✓ flaky      each attempt, with 10 % chance: response-timeout
`);
    // What leaves nothing of a request is what it comes to; those after it are not asked.
    const put = await ask({ method: "PUT", url: "http://x.example/" });
    expect(put.told.outcome).toMatchObject({ kind: "refused", status: null, upstream: "one", target: null, summary: 'fault "puts": reset' });
    expect(put.told.faults.find(({ name }) => name === "half")).toMatchObject({ matched: true, chance: 0 });
    expect(put.text).toContain('refused, fault "puts": reset\n');
    expect(put.text).toContain("✗ half       those before it leave nothing: throttle");
    expect((await ask({ url: "http://y.example/", headers: { "X-Try": "1" } })).told.outcome).toMatchObject({ kind: "refused", status: 503, summary: 'fault "tried": abort 503' });
    const call = { "Content-Type": "application/grpc", TE: "trailers", "X-Fairlead-Fault": "delay=300, abort=500" };
    const { told: both } = await ask({ method: "POST", url: "http://y.example/", headers: call });
    expect(both.outcome).toMatchObject({ kind: "refused", status: null, summary: 'fault "by-hand": delay 300 ms, abort 500, or fault "calls": grpc-status 8' });
    expect((await ask({ url: "http://y.example/", headers: { "X-Fairlead-Fault": "nonsense" } })).told.faults[3]).toMatchObject({ chance: 0.5, does: "answer 400: its X-Fairlead-Fault cannot be understood" });
    // A connection has no method, and can only fail to be made; no datagram is touched.
    expect((await ask({ url: "tcp://127.0.0.1", listener: "t" })).told.faults.map(({ failed }) => failed && `${failed.condition} ${failed.wanted}`)).toEqual(["method PUT", "route checkout", "header the rule's value", "protocol http", "protocol http", "host x.example", null, "protocol http"]);
    expect(new Set((await ask({ url: "udp://127.0.0.1", listener: "u" })).told.faults.map(({ failed }) => failed!.seen))).toEqual(new Set(["udp"]));
    // Nothing was held, sent or counted by all of that; and the real choice is the one that was told.
    expect(backend.requests).toEqual([]);
    const real = await fetch(`http://127.0.0.1:${lb.port("a")}/`, { headers: { "X-Try": "1" } });
    expect(real.status).toBe(503);
    const reset = await fetch(`http://127.0.0.1:${lb.port("a")}/`, { method: "PUT" }).then(() => "answered", () => "reset");
    expect(reset).toBe("reset");
  });

  test("are not told where none can be injected, and of what goes by no upstream", async () => {
    const config = (enabled: boolean): string => `
      listeners = [{ name = "a", address = "127.0.0.1:0", upstream = "one", health_path = "/health" }]
      upstreams = [{ name = "one", targets = [{ address = "127.0.0.1:1" }] }]
      [faults]
      enabled = ${enabled}
      rules = [{ name = "all", abort = 503 }]`;
    const off = await parts(await balancer(config(false)), { url: "http://x/" });
    expect([off.told.faults, off.text.includes("Faults")]).toEqual([[], false]);
    const health = await parts(await balancer(config(true)), { url: "http://x/health" });
    expect([health.told.faults, health.told.outcome.status]).toEqual([[], 200]);
  });
});

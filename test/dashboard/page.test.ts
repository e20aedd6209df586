/** The dashboard's page as it is committed and served. */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { DASHBOARD, dashboardPage } from "../../scripts/dashboard.ts";
import { Api } from "../../src/admin/api.ts";
import { dashboardEndpoints } from "../../src/admin/dashboard.ts";
import { POLICIES } from "../../src/dashboard/policies.ts";
import { silentLog } from "../../src/observability/log.ts";
import { POLICY_NAMES } from "../../src/policies/registry.ts";

const api = new Api(dashboardEndpoints(), () => undefined, silentLog());
const get = (path: string, headers: Record<string, string> = {}): Promise<Response> => api.answer(new Request(`http://fairlead.test${path}`, { headers }), () => undefined);

/** Compressed, in bytes. */
const MOST = 100 * 1024;

test("is what its sources make: npm run dashboard writes it", async () => {
  const made = await dashboardPage();
  expect(made === (await Bun.file(DASHBOARD).text())).toBe(true);
});

test("is served compressed, small, and not again where it is known", async () => {
  const plain = await get("/");
  const compressed = await get("/", { "Accept-Encoding": "br, gzip" });
  expect([plain.status, plain.headers.get("content-encoding"), compressed.headers.get("content-encoding")]).toEqual([200, null, "gzip"]);
  const bytes = new Uint8Array(await compressed.arrayBuffer());
  expect(bytes.length).toBeLessThan(MOST);
  expect(new TextDecoder().decode(Bun.gunzipSync(bytes))).toBe(await plain.text());
  expect((await get("/", { "Accept-Encoding": "gzip;q=0, identity" })).headers.get("content-encoding")).toBeNull();
  const tag = plain.headers.get("etag")!;
  for (const known of [tag, `W/${tag}`, `"other", ${tag}`, "*"]) expect((await get("/", { "If-None-Match": known })).status).toBe(304);
  expect((await get("/", { "If-None-Match": '"other"' })).status).toBe(200);
  const moved = await get("/dashboard");
  expect([moved.status, moved.headers.get("location")]).toEqual([308, "/"]);
});

test("may run what is in it and nothing else, ask this address and no other, and stand in no frame", async () => {
  const response = await get("/");
  const text = await response.text();
  const policy = new Map(
    response.headers
      .get("content-security-policy")!
      .split("; ")
      .map((directive) => [directive.split(" ", 1)[0]!, directive.split(" ").slice(1)]),
  );
  const hash = (element: string): string => `'sha256-${createHash("sha256").update(new RegExp(`<${element}>([\\s\\S]*)</${element}>`).exec(text)![1]!).digest("base64")}'`;
  expect(policy.get("default-src")).toEqual(["'none'"]);
  expect(policy.get("script-src")).toEqual([hash("script")]);
  expect(policy.get("style-src")).toEqual([hash("style")]);
  expect(policy.get("connect-src")).toEqual(["'self'"]);
  expect(policy.get("frame-ancestors")).toEqual(["'none'"]);
  expect(response.headers.get("x-frame-options")).toBe("DENY");
  expect(response.headers.get("x-content-type-options")).toBe("nosniff");
  // Namespaces are names, not addresses that are asked.
  expect([...text.matchAll(/https?:\/\/[\w./-]+/g)].map(([url]) => url).filter((url) => !url.startsWith("http://www.w3.org/"))).toEqual([]);
});

test("offers the policies that there are", () => expect([...POLICIES].toSorted()).toEqual([...POLICY_NAMES].toSorted()));

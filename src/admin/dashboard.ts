/**
 * The dashboard: one page with everything in it, made by scripts/dashboard.ts. It is open to all who reach the address, for it knows nothing;
 * what it shows it asks the API for, as any client does.
 */
import { createHash } from "node:crypto";
import { endpoint, type Endpoint } from "./endpoint.ts";

interface Page {
  readonly plain: Uint8Array<ArrayBuffer>;
  readonly compressed: Uint8Array<ArrayBuffer>;
  readonly headers: Readonly<Record<string, string>>;
  readonly tag: string;
}

let kept: Promise<Page> | undefined;

export function dashboardEndpoints(): Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/",
      summary: "The dashboard.",
      access: "open",
      answers: { 200: { description: "The page.", type: "text/html" }, 304: { description: "It is as it was." } },
      handle: async ({ request: { headers } }) => {
        kept ??= load();
        const { plain, compressed, headers: common, tag } = await kept;
        const known = (headers.get("if-none-match") ?? "").split(",").some((one) => one.trim().replace(/^W\//, "") === tag || one.trim() === "*");
        if (known) return new Response(null, { status: 304, headers: common });
        const gzip = /(?:^|,)\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[\d.]+\s*)?(?:,|$)/i.test(headers.get("accept-encoding") ?? "");
        return new Response(gzip ? compressed : plain, { headers: { ...common, "Content-Type": "text/html; charset=utf-8", ...(gzip ? { "Content-Encoding": "gzip" } : {}) } });
      },
    }),
    endpoint({
      method: "GET",
      path: "/dashboard",
      summary: "Where people may look for the dashboard.",
      access: "open",
      answers: { 308: { description: "It is at /." } },
      handle: () => new Response(null, { status: 308, headers: { Location: "/" } }),
    }),
  ];
}

/** With the first visit: an instance that nobody looks at has it not in memory. */
async function load(): Promise<Page> {
  const module = (await import("./dashboard.html", { with: { type: "text" } })) as unknown as { readonly default: string };
  const text = module.default;
  const plain = new TextEncoder().encode(text);
  const tag = `"${createHash("sha256").update(plain).digest("base64url").slice(0, 22)}"`;
  const hashes = (element: string): string => [...text.matchAll(new RegExp(`<${element}>([\\s\\S]*?)</${element}>`, "g"))].map(([, content]) => `'sha256-${createHash("sha256").update(content!).digest("base64")}'`).join(" ");
  const policy = {
    "default-src": "'none'",
    "script-src": hashes("script"),
    "style-src": hashes("style"),
    "connect-src": "'self'",
    // The tab's icon stands in the page.
    "img-src": "data:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
  };
  const headers = {
    ETag: tag,
    Vary: "Accept-Encoding",
    "Cache-Control": "no-cache",
    "Content-Security-Policy": Object.entries(policy)
      .map(([name, value]) => `${name} ${value}`)
      .join("; "),
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
  };
  return { plain, compressed: Bun.gzipSync(plain, { level: 9 }), headers, tag };
}

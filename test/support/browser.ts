/** A real browser without a screen: the system's Chromium. What its pages load, complain of and violate is kept. */
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import type { Stage } from "./stage.ts";

/** Undefined: there is none here. */
export const CHROMIUM = Bun.which("chromium") ?? Bun.which("chromium-browser") ?? Bun.which("google-chrome") ?? undefined;

/** Longest wait for anything on a page, in ms. */
const PATIENCE = 10_000;

export async function openBrowser(stage: Stage): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: CHROMIUM!, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
  stage.atEnd(() => browser.close());
  return browser;
}

export interface Watched {
  readonly page: Page;
  /** Origins that it asked for anything. */
  readonly origins: Set<string>;
  /** Errors and warnings of the console, exceptions, and violations of the content security policy. */
  readonly complaints: string[];
}

/** A page that has its own storage. */
export async function openPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Watched> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const origins = new Set<string>();
  const complaints: string[] = [];
  page.on("request", (request) => {
    if (!request.url().startsWith("data:")) origins.add(new URL(request.url()).origin);
  });
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      const { violatedDirective, blockedURI } = event as unknown as { readonly violatedDirective: string; readonly blockedURI: string };
      console.error(`violates ${violatedDirective}: ${blockedURI}`);
    });
  });
  return { page, origins, complaints };
}

/** The dashboard in a real browser, in front of a real instance. One tab is led through all of it, as an operator would. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import type { Overview, TargetView } from "../../../src/view/shapes.ts";
import { CHROMIUM, openBrowser, openPage, type Watched } from "../../support/browser.ts";
import { unless } from "../../support/needs.ts";
import { freePort } from "../../support/ports.ts";
import type { RawBackend } from "../../support/raw-backend.ts";
import { type Balanced, type BalanceOptions, configText, openStage } from "../../support/stage.ts";
import { always, reply } from "../../support/raw-backend.ts";
import { until } from "../../support/until.ts";

/** A request each so many ms: enough to move numbers, and little work. */
const PACE = 15;

class Traffic {
  requests = 0;
  readonly failures: string[] = [];
  private readonly timer: Timer;

  constructor(url: string) {
    this.timer = setInterval(() => void this.ask(url), PACE);
  }

  private async ask(url: string): Promise<void> {
    try {
      const { status } = await fetch(url);
      if (status !== 200) this.failures.push(`status ${status}`);
    } catch (error) {
      this.failures.push(String(error));
    }
    this.requests++;
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

const TOKEN = "a-token-of-32-characters-at-least";
const stage = openStage();

unless(CHROMIUM === undefined ? "not on this machine: chromium" : undefined).describe("the dashboard in Chromium", () => {
  let front: Balanced;
  let origin: string;
  let browser: Browser;
  let watched: Watched;
  let page: Page;
  let traffic: Traffic;
  let steady: RawBackend;
  let doomed: RawBackend;
  let third: RawBackend;
  let config: BalanceOptions;

  const api = (path: string, init: RequestInit = {}): Promise<Response> => fetch(origin + path, { ...init, headers: { Authorization: `Bearer ${TOKEN}`, ...(init.headers as Record<string, string>) } });
  const targetOf = async (address: string): Promise<TargetView> => {
    const overview = (await (await api("/v1/overview")).json()) as Overview;
    return overview.upstreams.flatMap(({ targets }) => targets).find((target) => target.address === address)!;
  };
  const text = (selector: string): Promise<string> => page.locator(selector).first().innerText();

  beforeAll(async () => {
    const admin = await freePort();
    origin = `http://127.0.0.1:${admin}`;
    [steady, doomed, third] = (await stage.backends(3, always(reply(200, "hello")))) as [RawBackend, RawBackend, RawBackend];
    const failing = await stage.backend(always(reply(503, "no")));
    config = {
      targets: [steady, doomed, third],
      top: { admin: { address: `127.0.0.1:${admin}`, token: TOKEN }, faults: { enabled: true } },
      upstream: { health_check: { type: "tcp", interval: "200ms", rise: 1, fall: 1 } },
      routes: [{ path_prefix: "/broken", upstream: "broken" }],
      upstreams: { broken: [failing] },
    };
    [front, browser] = await Promise.all([stage.fairlead(config), openBrowser(stage)]);
    traffic = new Traffic(front.url);
    watched = await openPage(browser, { viewport: { width: 1280, height: 900 }, colorScheme: "dark", reducedMotion: "reduce" });
    page = watched.page;
    await page.goto(origin);
  }, 30_000);

  afterAll(() => traffic?.stop());

  test("asks for the token, says when it is not taken, and keeps it in this tab only", async () => {
    const dialog = page.getByRole("dialog", { name: "A token is needed" });
    await dialog.getByLabel("Token").fill("wrong");
    await page.keyboard.press("Enter");
    await dialog.getByText("That token was not taken").waitFor();
    await dialog.getByLabel("Token").fill(TOKEN);
    await page.keyboard.press("Enter");
    await page.getByText("live", { exact: true }).waitFor();
    expect(await page.evaluate(() => [Object.values(sessionStorage), Object.values(localStorage)])).toEqual([[TOKEN], []]);
  });

  test("shows who leads to whom, and numbers that move under traffic", async () => {
    for (const [column, names] of [["Listeners", ["front"]], ["Routes", ["*/broken", "everything else"]], ["Upstreams", ["main", "broken"]], ["Targets", [steady.address, doomed.address, third.address]]] as const) {
      const section = page.getByRole("region", { name: column, exact: true });
      for (const name of names) await section.getByText(name, { exact: true }).waitFor();
    }
    expect(await page.locator("svg.lines path").count()).toBe(2 + 2 + 4);
    const shown = (): Promise<string> => text(".figure .big");
    const first = await until("a rate", async () => {
      const now = await shown();
      return now !== "0/s" && now;
    });
    await until("another one", async () => (await shown()) !== first);
    expect(await page.locator(".finding.at-bad").count()).toBe(0);
  });

  test("draws the last hour, tells its values by keyboard, and has them as a table", async () => {
    const chart = page.getByRole("slider", { name: /^Requests per second/ });
    await until("a point", async () => /all \d/.test((await chart.getAttribute("aria-valuetext")) ?? ""));
    await chart.focus();
    await page.keyboard.press("Home");
    await until("the first value", async () => (await chart.getAttribute("aria-valuenow")) === "0");
    expect(await chart.getAttribute("aria-valuetext")).toMatch(/^\d\d:\d\d:\d\d: all /);
    expect(await page.locator(".chart canvas").count()).toBe(4);
    await page.getByText("As a table").click();
    expect(await page.getByRole("region", { name: "The last hour as a table" }).locator("tbody tr").count()).toBeGreaterThan(0);
    await page.getByText("As a table").click();
  });

  test("says that a back end is down, and why", async () => {
    await doomed.stop();
    const finding = page.locator(".finding.at-warn", { hasText: doomed.address });
    await finding.getByText(/connect refused/).waitFor();
    await page.locator(".node.at-bad", { hasText: doomed.address }).getByText("down").waitFor();
    await finding.getByRole("link").click();
    await page.getByRole("heading", { name: doomed.address }).waitFor();
    expect(await text(".facts")).toMatch(/State\s+down.* since [\s\S]+Last check\s+failed: connect refused/);
    await page.locator(".event", { hasText: "down" }).first().waitFor();
    expect(await page.title()).toContain(doomed.address);
  });

  test("says on every page that faults are injected, until when, and no longer than they are", async () => {
    const notice = page.locator(".finding").first();
    expect(await page.locator(".finding", { hasText: "Faults" }).count()).toBe(0);
    await api("/v1/faults/never-there", { method: "PUT", body: JSON.stringify({ headers: { "X-Nobody": true }, abort: 503, for: "1h" }) });
    await notice.getByText(/^1 rule injects, until \d\d:\d\d:\d\d: never-there$/).waitFor();
    await notice.getByRole("link", { name: "Faults" }).click();
    await page.locator(".event", { hasText: 'Fault "never-there" is injected' }).first().waitFor();
    await api("/v1/faults", { method: "DELETE" });
    await until("no notice", async () => (await page.locator(".finding", { hasText: "Faults" }).count()) === 0);
  });

  test("is searched and steered by keyboard alone: a target is drained, gets nothing, and comes back", async () => {
    await page.keyboard.press("/");
    await page.keyboard.type(third.address.slice(-5));
    await until("one target", async () => (await page.locator(".column-3 .node").count()) === 1);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: third.address }).waitFor();
    await page.getByRole("button", { name: "Drain" }).focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: `Drain ${third.address}?` });
    await dialog.getByText("1 other target of main stays in rotation.").waitFor();
    // The dialog keeps the focus, and gives it back.
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await until("the focus to be back", () => page.evaluate(() => document.activeElement?.textContent === "Drain"));
    expect((await targetOf(third.address)).state).toBe("up");
    await page.keyboard.press("Enter");
    await dialog.getByRole("button", { name: "Drain" }).focus();
    await page.keyboard.press("Enter");
    await page.locator(".badge", { hasText: "draining" }).waitFor();
    expect((await targetOf(third.address)).state).toBe("draining");
    await until("its requests to have ended", async () => (await targetOf(third.address)).open_requests === 0);
    const before = third.requests.length;
    const asked = traffic.requests;
    await until("more traffic", () => traffic.requests > asked + 30);
    expect(third.requests.length).toBe(before);
    await page.locator(".event", { hasText: "drain" }).first().waitFor();
    await page.getByRole("button", { name: "Ready" }).focus();
    await page.keyboard.press("Enter");
    await until("it is back", async () => (await targetOf(third.address)).state === "up" && third.requests.length > before);
  });

  test("has what the API refuses in the API's words", async () => {
    await page.route("**/state", (route) => route.fulfill({ status: 409, contentType: "application/problem+json", body: JSON.stringify({ title: "That does not go with what there is", detail: "it is the last one" }) }));
    await page.getByRole("button", { name: "Maintenance" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Maintenance" }).click();
    await page.getByRole("alert").getByText("it is the last one").waitFor();
    await page.unroute("**/state");
  });

  test("lists exchanges that failed, and shows how one was decided", async () => {
    for (let sent = 0; sent < 3; sent++) await fetch(`${front.url}/broken/${sent}`, { headers: { "X-Request-ID": `request-${sent}` } });
    await page.keyboard.press("g");
    await page.keyboard.press("x");
    await page.getByRole("heading", { name: "Exchanges" }).waitFor();
    await page.getByLabel("Request id").fill("request-1");
    await page.keyboard.press("Enter");
    await until("one of them", async () => (await page.locator(".exchanges tbody tr").count()) === 1);
    await page.locator(".exchanges tbody a").click();
    await page.getByRole("heading", { name: "GET /broken/1" }).waitFor();
    expect(await text(".facts")).toMatch(/Client got\s+503 after [\s\S]+Request id\s+request-1/);
    expect(await page.locator(".phases rect").count()).toBeGreaterThan(1);
    await page.getByText("picked first").waitFor();
  });

  test("shows what clients send as text, whatever it is", async () => {
    const hostile = `<svg/onload=document.title=1>"'><img/src=x/onerror=document.title=1>`;
    const client = await stage.client(front);
    await client.ask(`GET /broken/${hostile} HTTP/1.1\r\nHost: a.test\r\nUser-Agent: ${hostile}\r\nX-Request-ID: ${hostile}\r\n\r\n`);
    client.destroy();
    await page.getByRole("link", { name: "Exchanges" }).first().click();
    await page.getByLabel("Request id").fill(hostile);
    await page.keyboard.press("Enter");
    await until("it", async () => (await page.locator(".exchanges tbody tr").count()) === 1);
    expect(await text(".exchanges tbody tr")).toContain(hostile);
    await page.locator(".exchanges tbody a").click();
    await page.getByRole("heading", { name: `GET /broken/${hostile}` }).waitFor();
    expect(await page.evaluate(() => [document.title === "1", document.querySelectorAll('img[src="x"], svg[onload]').length])).toEqual([false, 0]);
  });

  test("says which configuration was rejected, where it is wrong, and goes on", async () => {
    const file = join(front.fairlead.directory, "fairlead.toml");
    const good = configText(front.port, config);
    writeFileSync(file, good.replace("[[upstreams]]", 'polcy = "p2c"\n[[upstreams]]'));
    await page.keyboard.press("g");
    await page.keyboard.press("c");
    await page.getByRole("button", { name: "Reload" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Reload" }).click();
    await page.locator(".finding.at-bad", { hasText: "Configuration" }).waitFor();
    expect(await text(".errors")).toMatch(/line \d+.*polcy/);
    writeFileSync(file, good.replace("round-robin", "p2c"));
    await page.locator(".words li", { hasText: "p2c" }).waitFor();
    await page.getByRole("button", { name: "Reload" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Reload" }).click();
    await page.getByText("is what runs").waitFor();
    await page.locator(".finding.at-bad", { hasText: "Configuration" }).waitFor({ state: "detached" });
  });

  test("keeps to the width of a phone on every page, in both themes", async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    const pages = ["#/", "#/upstreams/main", `#/upstreams/main/targets/${encodeURIComponent(steady.address)}`, "#/exchanges", "#/events", "#/config"];
    for (const place of pages) {
      await page.evaluate((hash) => (location.hash = hash), place);
      await page.getByRole("heading", { level: 1 }).waitFor({ state: "attached" });
      expect([place, await page.evaluate(() => document.documentElement.scrollWidth)]).toEqual([place, 360]);
    }
    const ground = (): Promise<string> => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await ground();
    await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
    await page.keyboard.press("t");
    expect(await ground()).not.toBe(dark);
    await page.keyboard.press("t");
    expect(await ground()).toBe(dark);
    await page.keyboard.press("t");
    expect([await ground(), await page.evaluate(() => localStorage.length)]).toEqual([dark, 0]);
    await page.setViewportSize({ width: 1280, height: 900 });
  });

  test("every step of the Tab key is seen, from the skip link on", async () => {
    await page.reload();
    await page.getByText("live", { exact: true }).waitFor();
    const seen: string[] = [];
    for (let step = 0; step < 12; step++) {
      await page.keyboard.press("Tab");
      const { name, outline } = await page.evaluate(() => {
        const element = document.activeElement!;
        return { name: (element.getAttribute("aria-label") ?? element.textContent ?? "").trim(), outline: getComputedStyle(element).outlineStyle };
      });
      seen.push(name);
      expect([name, outline]).toEqual([name, "solid"]);
    }
    expect(seen.slice(0, 6)).toEqual(["Skip to the content", "Fairlead", "Overview", "Exchanges", "Events", "Configuration"]);
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await page.keyboard.press("Escape");
  });

  test("says plainly that the connection is lost, and comes back by itself", async () => {
    front.fairlead.signal("SIGSTOP");
    const banner = page.getByRole("alert").filter({ hasText: "Connection lost" });
    await banner.getByText("silent").waitFor();
    expect(await text("header .instance")).toContain("not live");
    front.fairlead.signal("SIGCONT");
    await page.getByRole("button", { name: "Try now" }).click();
    await page.getByText("live", { exact: true }).waitFor();
    expect(await banner.count()).toBe(0);
  });

  test("has asked nobody but the admin address, and nothing was wrong in the browser", () => {
    expect([...watched.origins]).toEqual([origin]);
    // Refusals that were brought about above; the browser says them of its own accord.
    expect(watched.complaints.filter((line) => !/status of (?:401|409|422)/.test(line))).toEqual([]);
    expect(traffic.failures).toEqual([]);
  });
});

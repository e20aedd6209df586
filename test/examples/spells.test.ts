/** The spells API runs on plain Node and on Bun, alike. */
import { afterAll, describe, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { resolve } from "node:path";
import { freePort } from "../support/ports.ts";
import { until } from "../support/until.ts";

const PROGRAM = resolve(import.meta.dir, "../../examples/spells/server.mjs");
const children: ChildProcess[] = [];
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
});

async function start(runtime: string): Promise<{ child: ChildProcess; url: string; name: string }> {
  const port = await freePort();
  const child = spawn(runtime, [PROGRAM], { env: { ...process.env, PORT: String(port) }, stdio: "ignore" });
  children.push(child);
  const url = `http://127.0.0.1:${port}`;
  await until("the spells API to answer", () => fetch(`${url}/healthz`).then(({ ok }) => ok, () => false), 15_000);
  return { child, url, name: `spells-${port}` };
}

const post = (url: string, body: string) => fetch(`${url}/api/spells`, { method: "POST", body });

for (const runtime of ["node", process.execPath]) {
  describe(`the spells API on ${runtime === "node" ? "Node" : "Bun"}`, () => {
    test("answers, learns, says who it is, and stops when told", async () => {
      const { child, url, name } = await start(runtime);
      const all = await fetch(`${url}/api/spells`);
      expect(all.status).toBe(200);
      expect(all.headers.get("x-instance")).toBe(name);
      const list = (await all.json()) as { instance: string; spells: unknown[] };
      expect(list.instance).toBe(name);
      expect(list.spells.length).toBe(3);

      const learned = await post(url, '{"name":"Nox","effect":"dark"}');
      expect(learned.status).toBe(201);
      expect(learned.headers.get("location")).toBe("/api/spells/4");
      expect(await learned.json()).toEqual({ instance: name, spell: { id: 4, name: "Nox", effect: "dark" } });
      expect(await (await fetch(`${url}/api/spells/4`)).json()).toMatchObject({ spell: { name: "Nox" } });

      expect((await post(url, "no json")).status).toBe(400);
      expect((await post(url, "{}")).status).toBe(400);
      expect((await post(url, "null")).status).toBe(400);
      expect((await post(url, "x".repeat(100_000))).status).toBe(413);
      expect((await fetch(`${url}/api/spells`, { method: "DELETE" })).status).toBe(405);
      expect((await fetch(`${url}/api/spells/77`)).status).toBe(404);
      expect((await fetch(`${url}/`)).status).toBe(404);

      child.kill("SIGTERM");
      await until("it to stop", () => child.exitCode !== null);
      expect(child.exitCode).toBe(0);
    }, 20_000);
  });
}

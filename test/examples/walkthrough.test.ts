/** What examples/spells/README.md walks through, with the files that it names. */
import { afterAll, describe, expect, test } from "bun:test";
import type { Server } from "node:http";
import { createSpells } from "../../examples/spells/spells.mjs";
import { resolve } from "node:path";
import { Fairlead } from "../support/fairlead.ts";
import { freePort } from "../support/ports.ts";
import { run } from "../support/real-clients.ts";
import { until } from "../support/until.ts";

const ROOT = resolve(import.meta.dir, "../..");
const FOLDER = `${ROOT}/examples/spells`;
const read = (name: string) => Bun.file(`${FOLDER}/${name}`).text();
const endings: (() => unknown)[] = [];
afterAll(() => Promise.all(endings.map((end) => end())));

/** Both instances, and Fairlead with this file of the example; only the ports are others. */
async function start(file: string): Promise<{ url: string; fairlead: Fairlead; servers: Server[] }> {
  const ports = [await freePort(), await freePort()];
  const servers = ports.map((port, index) => createSpells(`spells-${9001 + index}`).listen(port, "127.0.0.1"));
  const front = await freePort();
  const text = (await read(file)).replace("0.0.0.0:8080", `127.0.0.1:${front}`).replace("127.0.0.1:9001", `127.0.0.1:${ports[0]}`).replace("127.0.0.1:9002", `127.0.0.1:${ports[1]}`);
  const fairlead = await Fairlead.start(text.replace("../policy.ts", "./policy.ts"), { files: { "policy.ts": await Bun.file(`${ROOT}/examples/policy.ts`).text() } });
  endings.push(() => fairlead.kill(), ...servers.map((server) => () => close(server)));
  return { url: `http://127.0.0.1:${front}/api/spells`, fairlead, servers };
}

function close(server: Server): void {
  server.close();
  server.closeAllConnections();
}

interface Spells {
  readonly instance: string;
  readonly spells: readonly { readonly name: string }[];
}
const list = async (url: string) => (await (await fetch(url)).json()) as Spells;
const knows = ({ spells }: Spells) => spells.some(({ name }) => name === "Nox");
const teach = (url: string) => fetch(url, { method: "POST", body: '{"name": "Nox"}' });

describe("the spells example", () => {
  for (const file of ["fairlead.toml", "fairlead.compose.toml", "sticky.toml"]) {
    test(`${file} is a good configuration`, async () => {
      const { code, stdout, stderr } = await run(`${ROOT}/bin/fairlead`, ["check", `${FOLDER}/${file}`]);
      expect(stderr).toBe("");
      expect(stdout).toContain("good (1 listener, 0 routes, 1 upstream, 2 targets)");
      expect(code).toBe(0);
    });
  }

  test("says the same with containers as without", async () => {
    const code = (text: string) => text.replace(/ *#.*/g, "").trim();
    const compose = code(await read("fairlead.compose.toml")).replaceAll("spells-1:9000", "127.0.0.1:9001").replaceAll("spells-2:9000", "127.0.0.1:9002");
    expect(compose).toBe(code(await read("fairlead.toml")));
    const services = await read("compose.yml");
    for (const name of ["spells-1", "spells-2", "Dockerfile.fairlead", "fairlead.compose.toml"]) expect(services).toContain(name);
  });

  test("shows round robin in the log, a target that goes, and 503 when both are gone", async () => {
    const { url, fairlead, servers } = await start("fairlead.toml");
    const asked = [await list(url), await list(url), await list(url), await list(url)].map(({ instance }) => instance);
    expect(asked.slice(0, 2).sort()).toEqual(["spells-9001", "spells-9002"]);
    expect(asked.slice(2)).toEqual(asked.slice(0, 2));
    const access = await until("four lines in the access log", () => {
      const lines = fairlead.log.filter(({ msg }) => msg === "access");
      return lines.length === 4 && lines;
    });
    expect(new Set(access.map(({ target }) => target)).size).toBe(2);

    close(servers[1]!);
    for (let i = 0; i < 6; i++) expect((await list(url)).instance).toBe("spells-9001");
    await until("the check to find out", () => fairlead.log.some(({ msg }) => msg === "Healthy targets: 1/2"), 10_000);
    close(servers[0]!);
    await until("503", async () => (await fetch(url)).status === 503, 10_000);
    await until("the log to say so", () => fairlead.log.some(({ msg, level }) => msg === "Healthy targets: 0/2" && level === "error"));
  }, 60_000);

  test("loses sight of a spell, because state is not shared", async () => {
    const { url } = await start("fairlead.toml");
    expect((await teach(url)).status).toBe(201);
    expect([knows(await list(url)), knows(await list(url))].sort()).toEqual([false, true]);
  }, 30_000);

  test("keeps it in sight with the sticky policy of one's own", async () => {
    const { url } = await start("sticky.toml");
    expect((await teach(url)).status).toBe(201);
    for (let i = 0; i < 6; i++) expect(knows(await list(url))).toBe(true);
  }, 30_000);
});

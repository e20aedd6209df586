/** Access log and service log of one running instance: rotation, signals, reloads and deaths lose no line; levels change at run time; secrets stay out. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Authority, pemFiles } from "../../support/certificates.ts";
import { Fairlead } from "../../support/fairlead.ts";
import { freePort } from "../../support/ports.ts";
import { type RawBackend, reply } from "../../support/raw-backend.ts";
import { openStage } from "../../support/stage.ts";
import { type TomlTable, toToml } from "../../support/toml.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const SECRETS = { token: "admin-token-0123456789", sticky: "sticky-secret-0123456789", authorization: "Bearer client-credential-42", cookie: "session=cookie-of-a-client" };
let backend: RawBackend;
let fairlead: Fairlead;
let key: string;
let ports: { readonly front: number; readonly silent: number; readonly secure: number; readonly admin: number };

const file = (name: string): string => join(fairlead.directory, name);

/** @param refusing a target where nobody listens */
function config(accessLog: TomlTable, log: TomlTable = {}, refusing?: string): string {
  const listener = { upstream: "main" };
  return toToml({
    workers: 2,
    log: { path: "service.log", ...log },
    access_log: accessLog,
    admin: { address: `127.0.0.1:${ports.admin}`, token: SECRETS.token },
    listeners: [
      { name: "front", address: `127.0.0.1:${ports.front}`, ...listener },
      { name: "silent", address: `127.0.0.1:${ports.silent}`, access_log: false, ...listener },
      { name: "secure", address: `127.0.0.1:${ports.secure}`, tls: { certificates: [{ certificate: "server.pem", key: "server.key" }] }, ...listener },
    ],
    upstreams: [{ name: "main", targets: [backend.address, ...(refusing === undefined ? [] : [refusing])].map((address) => ({ address })), sticky: { secret: SECRETS.sticky }, retries: 1, outlier_detection: false }],
  });
}

async function admin(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const response = await fetch(`http://127.0.0.1:${ports.admin}${path}`, { method, headers: { Authorization: `Bearer ${SECRETS.token}` }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  return (await response.json()) as Record<string, unknown>;
}

function serviceLog(): Record<string, unknown>[] {
  const names = readdirSync(fairlead.directory).filter((name) => name.startsWith("service.log"));
  return names.flatMap((name) => readFileSync(file(name), "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line) as Record<string, unknown>));
}

async function reload(...to: Parameters<typeof config>): Promise<void> {
  const applied = (): number => serviceLog().filter(({ msg }) => msg === "Reload applied").length;
  const before = applied();
  writeFileSync(file("fairlead.toml"), config(...to));
  fairlead.signal("SIGHUP");
  await until("the reload", () => applied() > before);
}

/** The lines of a file and of those that it was before. */
function linesOf(name: string): string[] {
  const all = readdirSync(fairlead.directory).filter((other) => other === name || other.startsWith(`${name}.`));
  return all.flatMap((each) => {
    const text = readFileSync(file(each), "latin1");
    expect(text === "" || text.endsWith("\n")).toBe(true);
    return text.split("\n").slice(0, -1);
  });
}

let asked = 0;

/** Requests, many at a time; each has a number in its path. @returns how many of them were answered */
async function ask(count: number, port = ports.front): Promise<number> {
  let answered = 0;
  for (let left = count; left > 0; left -= 50) {
    await Promise.all(Array.from({ length: Math.min(50, left) }, async () => {
      const response = await fetch(`http://127.0.0.1:${port}/n/${++asked}`, { headers: { "User-Agent": "logs test" } }).catch(() => undefined);
      if (response?.status === 200) answered++;
      await response?.arrayBuffer();
    }));
  }
  return answered;
}

const ROTATED = { path: "access.log", rotate_size: "64KiB", keep: 100 };

beforeAll(async () => {
  backend = await stage.backend((request, connection) => connection.write(reply(request.target === "/fails" ? 503 : 200, "ok")));
  ports = { front: await freePort(), silent: await freePort(), secure: await freePort(), admin: await freePort() };
  const pair = await (await Authority.create()).issue();
  ({ key } = pair);
  fairlead = Fairlead.launch(config(ROTATED), { files: pemFiles({ server: pair }) });
  await until("readiness in the service log", () => existsSync(file("service.log")) && readFileSync(file("service.log"), "utf8").includes("Fairlead is ready"), 15_000);
}, 40_000);

afterAll(() => fairlead?.kill());

describe("the access log", () => {
  test("loses no line by rotation, SIGUSR1, a reload or a worker's death", async () => {
    let sent = await ask(600);
    await until("a rotated file", () => existsSync(file("access.log.1")));
    sent += await ask(100);
    // As logrotate does it, while requests come.
    const asking = ask(300);
    renameSync(file("access.log"), file("access.log.rotated-by-hand"));
    process.kill(-fairlead.pid, "SIGUSR1");
    await until("the log to be opened anew", () => existsSync(file("access.log")));
    sent += await asking;
    const over = ask(300);
    await reload({ ...ROTATED, buffer: "32KiB" });
    sent += await over;
    await until(`${sent} lines`, () => linesOf("access.log").length >= sent);
    // All of them are out of its buffer.
    const [first] = (await admin("GET", "/v1/status"))["workers"] as number[];
    process.kill(first!, "SIGKILL");
    await until("another worker", async () => !((await admin("GET", "/v1/status"))["workers"] as number[]).includes(first!) && ((await admin("GET", "/v1/status"))["workers"] as number[]).length === 2);
    sent += await ask(200);
    await until(`${sent} lines in the end`, () => linesOf("access.log").length >= sent);
    const numbers = linesOf("access.log").map((line) => (JSON.parse(line) as { path: string }).path);
    expect(numbers).toHaveLength(sent);
    expect(new Set(numbers).size).toBe(sent);
    expect((await admin("GET", "/v1/log"))["lost_lines"]).toBe(0);
  }, 40_000);

  test("has nothing of a listener that is not to be logged", async () => {
    const before = linesOf("access.log").length;
    await ask(5, ports.silent);
    await ask(1);
    await until("a line", () => linesOf("access.log").length > before);
    expect(linesOf("access.log")).toHaveLength(before + 1);
  });

  test("keeps as many files as were asked for", async () => {
    await reload({ ...ROTATED, rotate_size: "4KiB", keep: 2 });
    const next = async (): Promise<void> => {
      const before = statSync(file("access.log.1")).ino;
      await ask(100);
      // While files change their names there is none for a moment.
      await until("the next rotation", () => (statSync(file("access.log.1"), { throwIfNoEntry: false })?.ino ?? before) !== before);
    };
    await next();
    await next();
    expect(readdirSync(fairlead.directory).filter((name) => /^access\.log\.\d+$/.test(name)).toSorted()).toEqual(["access.log.1", "access.log.2"]);
  });

  test("takes another format and file in place, and leaves out what is sampled away, but no failure", async () => {
    await reload({ format: "combined", path: "combined.log", sample: 0 });
    await ask(20);
    await fetch(`http://127.0.0.1:${ports.front}/fails`, { headers: { "User-Agent": 'a "quoted" agent', Referer: "http://x/" } });
    await until("a line", () => linesOf("combined.log").length > 0);
    const lines = linesOf("combined.log");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^127\.0\.0\.1 - - \[[^\]]+\] "GET \/fails HTTP\/1\.1" 503 2 "http:\/\/x\/" "a \\x22quoted\\x22 agent"$/);
    await reload({ format: "$status $cause $target $http_x_a", path: "own.log", sample: 0.5, sample_errors: false });
    await ask(400);
    await until("lines", () => linesOf("own.log").length > 0);
    expect(linesOf("own.log")[0]).toBe(`200 done ${backend.address} -`);
    await until("half of them", () => linesOf("own.log").length > 120);
    expect(linesOf("own.log").length).toBeLessThan(280);
  });

  test("into a pipe that nobody reads loses lines, counts them, says so once, and slows nobody", async () => {
    expect(spawnSync("mkfifo", [file("pipe")]).status).toBe(0);
    await reload({ path: "pipe", buffer: "4KiB" });
    const from = serviceLog().length;
    expect(await ask(400)).toBe(400);
    await until("the count", async () => Number((await admin("GET", "/v1/log"))["lost_lines"]) > 300);
    await until("the warning", () => serviceLog().slice(from).some(({ msg, module }) => module === "access_log" && String(msg).includes("lines were lost")));
    const metrics = await (await fetch(`http://127.0.0.1:${ports.admin}/metrics`, { headers: { Authorization: `Bearer ${SECRETS.token}` } })).text();
    expect(Number(/^fairlead_access_log_lost_lines_total (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(300);
    await reload({ path: "/dev/full", buffer: "4KiB" });
    expect(await ask(100)).toBe(100);
  });
});

describe("the service log", () => {
  const lines = (module: string, level: string, from: number): Record<string, unknown>[] => serviceLog().slice(from).filter((line) => line["module"] === module && line["level"] === level);

  test("tells more of one module at run time, in all processes, those that come later too, and less again after a while", async () => {
    await reload(ROTATED);
    const before = serviceLog().length;
    await admin("PUT", "/v1/log", { level: "error" });
    await admin("PUT", "/v1/log", { level: "info" });
    // Who makes it silent is heard, and who ends that.
    expect(lines("admin", "info", before)).toMatchObject([{ by: "api:token", wanted: { level: "error" } }, { by: "api:token", wanted: { level: "info" } }]);
    const answer = await admin("PUT", "/v1/log", { modules: { http: "debug" }, for: "1h" });
    expect(answer).toMatchObject({ level: "info", modules: { http: "debug", health: "info" }, file: { level: "info", modules: {} }, override: { modules: { http: "debug" }, by: "api:token" } });
    const [first] = (await admin("GET", "/v1/status"))["workers"] as number[];
    process.kill(first!, "SIGKILL");
    await until("another worker", async () => {
      const workers = (await admin("GET", "/v1/status"))["workers"] as number[];
      return workers.length === 2 && !workers.includes(first!);
    });
    const failing = async (): Promise<number> => {
      const from = serviceLog().length;
      // A connect that is refused is tried again: that is a debug line.
      await fetch(`http://127.0.0.1:${ports.front}/x`);
      return from;
    };
    // The file holds again.
    await reload(ROTATED, {}, `127.0.0.1:${await freePort()}`);
    expect(await admin("GET", "/v1/log")).toMatchObject({ override: null, modules: { http: "info" } });
    await admin("PUT", "/v1/log", { modules: { http: "debug" }, for: "1h" });
    let from = await failing();
    await until("debug lines of http", async () => {
      await failing();
      return lines("http", "debug", from).length > 0;
    });
    expect(lines("health", "debug", from)).toEqual([]);
    await admin("PUT", "/v1/log", { level: "debug", for: "50ms" });
    await until("the end of it", async () => (await admin("GET", "/v1/log"))["override"] === null);
    expect(await admin("GET", "/v1/log")).toMatchObject({ level: "info", modules: { http: "info" } });
    from = await failing();
    for (let i = 0; i < 10; i++) await failing();
    expect(lines("http", "debug", from)).toEqual([]);
  }, 30_000);

  test("goes by the levels of the file, module by module", async () => {
    await reload(ROTATED, { level: "error", modules: { config: "debug", supervisor: "info" } });
    expect(await admin("GET", "/v1/log")).toMatchObject({ level: "error", modules: { config: "debug", supervisor: "info", http: "error" }, override: null });
  });

  test("refuses what it does not know, and changes nothing by it", async () => {
    const before = await admin("GET", "/v1/log");
    for (const body of [{ level: "loud" }, { modules: { kitchen: "debug" } }, { level: "debug", for: "soon" }, { level: "debug", for: "0s" }, { levels: "debug" }]) expect(await admin("PUT", "/v1/log", body)).toMatchObject({ status: 400 });
    expect(await admin("GET", "/v1/log")).toEqual(before);
  });

  test("holds no secret, however much it tells", async () => {
    await reload({ path: "access.log" }, { level: "debug" });
    const ask = async (url: string, path = "/"): Promise<void> => {
      await fetch(url + path, { headers: { Authorization: SECRETS.authorization, Cookie: SECRETS.cookie }, tls: { rejectUnauthorized: false } } as RequestInit).catch(() => {});
    };
    await ask(`http://127.0.0.1:${ports.front}`);
    await ask(`https://localhost:${ports.secure}`);
    await ask(`http://127.0.0.1:${ports.front}`, "/fails");
    await ask(`http://127.0.0.1:${ports.admin}`, "/v1/status");
    // What is refused is told of too.
    const client = await stage.client(ports.front);
    await client.ask(`GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: ${SECRETS.authorization}\r\nCookie: ${SECRETS.cookie}\r\nContent-Length: x\r\n\r\n`);
    await until("the refusal", () => serviceLog().some(({ cause }) => cause === "bad-request"));
    backend.clear((_request, connection) => connection.destroy());
    await ask(`http://127.0.0.1:${ports.front}`);
    await reload({ path: "access.log" });
    const all = [...readdirSync(fairlead.directory).filter((name) => name.includes(".log")).map((name) => readFileSync(file(name), "latin1")), ...fairlead.lines].join("\n");
    const secrets = { ...SECRETS, authorization: "client-credential-42", cookie: "cookie-of-a-client", key: key.split("\n")[1]! };
    expect(Object.entries(secrets).filter(([, secret]) => all.includes(secret)).map(([name]) => name)).toEqual([]);
    expect(all.length).toBeGreaterThan(10_000);
  });

  test("goes to a new file after SIGUSR1", async () => {
    renameSync(file("service.log"), file("service.log.1"));
    fairlead.signal("SIGUSR1");
    await until("the new file", () => existsSync(file("service.log")) && readFileSync(file("service.log"), "utf8").includes("opened anew"));
    expect(fairlead.lines.filter((line) => line.includes("Fairlead is ready"))).toEqual([]);
  });
});

test("an upgrade loses no line, and goes by what the file says then", async () => {
  backend.clear((_request, connection) => connection.write(reply(200, "ok")));
  await reload({ path: "before.log" });
  const first = await ask(100);
  writeFileSync(file("fairlead.toml"), config({ path: "after.log" }));
  fairlead.signal("SIGUSR2");
  const asking = ask(1_000);
  await until("the old supervisor to end", () => fairlead.ended !== undefined, 15_000);
  const sent = first + (await asking) + (await ask(100));
  await until("all lines", () => linesOf("before.log").length + linesOf("after.log").length >= sent);
  expect(linesOf("before.log").length + linesOf("after.log").length).toBe(sent);
  expect(linesOf("after.log").length).toBeGreaterThanOrEqual(100);
}, 30_000);

/** All that an instance makes on disk is for its user only, whatever the umask says; and no secret of its goes where others look. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { formatDiagnostics, loadConfig, SlotAllocator } from "../../../src/config/load.ts";
import { Authority } from "../../support/certificates.ts";
import { Fairlead, processesBelow } from "../../support/fairlead.ts";
import { freePort } from "../../support/ports.ts";
import { openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();

const SECRETS = {
  token: "admin-token-0123456789",
  beating: "beat-token-0123456789",
  wrong: "wrong-token-0123456789",
  sticky: "sticky-secret-0123456789",
  eab: "ZWFiLWhtYWMta2V5LTAxMjM0NTY3ODk",
  tracing: "collector-key-0123456789",
  environment: "database-password-0123456789",
  agent: "told-to-the-agent-42",
  probe: "key-of-the-health-check",
  argument: "argument-of-a-check-42",
  credential: "credential-of-a-client-42",
  cookie: "cookie-of-a-client-42",
  query: "token-in-a-query-42",
};

/** Everything below, but what was there already. */
function found(directory: string, known: ReadonlySet<string>): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).map((name) => join(directory, name)).filter((path) => !known.has(path));
}

describe.each([0o000, 0o077])("with umask %o", (mask) => {
  // Short: sockets have their names below it.
  const root = mkdtempSync(join(tmpdir(), "fl-"));
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  const at = (name: string): string => join(root, name);
  let fairlead: Fairlead;
  let known: ReadonlySet<string>;
  let key = "";
  const port = { web: 0, tls: 0, acme: 0 };
  const call = async (method: string, path: string, body?: string, token = SECRETS.token): Promise<number> => (await fetch(`http://localhost${path}`, { unix: at("admin.sock"), method, headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" }, ...(body === undefined ? {} : { body }) })).status;

  const text = (target: string): string => `
workers = 1
log = { path = "service.log", level = "debug" }
access_log = { path = "access.log", flush = "10ms" }
tracing = { endpoint = "http://127.0.0.1:1", headers = { "x-collector-key" = "${SECRETS.tracing}" }, timeout = "100ms", interval = "100ms" }
exchanges = { sample = 1 }
[admin]
address = "unix:${at("admin.sock")}"
token = "${SECRETS.token}"
tokens = [{ name = "beats", token_file = "beats.token", access = "steer" }]
state_file = "state.json"
[[listeners]]
name = "web"
address = "127.0.0.1:${port.web}"
upstream = "main"
[[listeners]]
name = "socket"
address = "unix:${at("web.sock")}"
upstream = "main"
[[listeners]]
name = "tls"
address = "127.0.0.1:${port.tls}"
upstream = "main"
tls = { certificates = [{ certificate = "cert.pem", key = "key.pem" }] }
[[listeners]]
name = "development"
address = "127.0.0.1:0"
upstream = "main"
tls = "self-signed"
[[listeners]]
name = "acme"
address = "127.0.0.1:${port.acme}"
upstream = "main"
tls.acme = { domains = ["a.test"], directory = "https://127.0.0.1:1/dir", eab_kid = "kid", eab_hmac_key = "${SECRETS.eab}" }
[[upstreams]]
name = "main"
sticky = { secret = "${SECRETS.sticky}" }
heartbeat = {}
targets = [{ address = "${target}" }]
[[upstreams]]
name = "kept"
sticky = {}
supervised = { command = ["sleep", "600"], environment = { DATABASE_PASSWORD = "${SECRETS.environment}" } }
health_check = { type = "command", command = ["true", "--password=${SECRETS.argument}"] }
[[upstreams]]
name = "asked"
targets = [{ address = "${target}" }]
health_check = { path = "/up?key=${SECRETS.probe}" }
[[upstreams]]
name = "agent"
targets = [{ address = "${target}" }]
health_check = { type = "agent", port = 1, send = "${SECRETS.agent}" }
`;

  test("files are 0600 and directories 0700, but for those that others are to read", async () => {
    const backend = await stage.backend();
    for (const name of Object.keys(port) as (keyof typeof port)[]) port[name] = await freePort();
    for (const name of ["tmp", "state"]) mkdirSync(at(name), { mode: 0o700 });
    const pair = await (await Authority.create("test")).issue({ names: ["localhost"] });
    ({ key } = pair);
    const files = { "fairlead.toml": text(backend.address), "cert.pem": pair.certificate, "key.pem": key, "beats.token": SECRETS.beating };
    for (const [name, content] of Object.entries(files)) writeFileSync(at(name), content, { mode: 0o600 });
    known = new Set(found(root, new Set()));
    const before = new Set(readdirSync("/dev/shm"));
    fairlead = Fairlead.launch("", {
      command: "/bin/sh",
      arguments: ["-c", `umask ${mask.toString(8)}; exec "$0" "$@"`, Fairlead.binary, "run", "--config", at("fairlead.toml"), "--log-format", "json", "--pid-file", at("pid")],
      environment: { TMPDIR: at("tmp"), XDG_STATE_HOME: at("state") },
    });
    stage.atEnd(() => fairlead.kill());
    const log = (): string => readFileSync(at("service.log"), "utf8");
    await until("it to be ready", () => statSync(at("service.log"), { throwIfNoEntry: false }) !== undefined && log().includes("Fairlead is ready"), 15_000).catch((error: unknown) => {
      throw new Error(fairlead.lines.join("\n"), { cause: error });
    });
    // All that makes it write something.
    expect((await fetch(`http://127.0.0.1:${port.web}/`)).status).toBe(200);
    expect(await call("PUT", "/v1/upstreams/main/targets/127.0.0.1%3A2", JSON.stringify({ weight: 2 }))).toBe(201);
    expect(await call("PUT", `/v1/upstreams/main/targets/${encodeURIComponent(backend.address)}/state`, '{"state":"drain"}')).toBe(200);
    expect(await call("PUT", `/v1/upstreams/main/targets/${encodeURIComponent(backend.address)}/heartbeat`, '{"ttl":"60s"}', SECRETS.beating)).toBeLessThan(300);
    expect(await call("PUT", "/v1/config?persist=true", text(backend.address).replace("workers = 1", "workers = 1\ndrain_timeout = \"2s\""))).toBe(200);
    expect(await call("PUT", "/v1/config", text(backend.address).replace("workers = 1", "workers = 1\ndrain_timeout = \"1s\""))).toBe(200);
    await until("an attempt at a certificate", () => found(root, known).some((path) => path.endsWith(".attempts")));
    await until("events to be kept", () => found(root, known).some((path) => path.endsWith("events.jsonl")), 10_000);
    const modes = Object.fromEntries(
      found(root, known).map((path) => {
        const stats = statSync(path);
        return [relative(root, path), `${stats.isDirectory() ? "directory" : stats.isSocket() ? "socket" : "file"} ${(stats.mode & 0o777).toString(8)}`];
      }),
    );
    const boards = readdirSync("/dev/shm").filter((name) => !before.has(name) && name.includes(`-${fairlead.pid}-`));
    expect(boards.map((name) => statSync(join("/dev/shm", name)).mode & 0o777)).toEqual([0o600]);
    const meant: Readonly<Record<string, string>> = { "access.log": "file 640", "service.log": "file 640", "web.sock": "socket 666", pid: "file 644" };
    const without = (bits: string): string => `${bits.split(" ")[0]} ${(Number.parseInt(bits.split(" ")[1]!, 8) & ~mask).toString(8)}`;
    const odd = Object.entries(modes).filter(([name, mode]) => {
      const own = mode.replace(/^(socket|file) /, "file ");
      return meant[name] === undefined ? own !== "file 600" && mode !== "directory 700" : mode !== meant[name] && mode !== without(meant[name]);
    });
    expect(odd).toEqual([]);
    // It has made what this is about.
    for (const name of ["state.json", "admin.sock", "pid", "state/fairlead/sticky-secret", "state/fairlead/self-signed.pem"]) expect([name, name in modes]).toEqual([name, true]);
    for (const name of [/slots\.json$/, /beats\.json$/, /overrides\.json$/, /config\.json$/, /state\.json$/, /events\.jsonl$/, /\d+-\d+\.sock$/, /account\.json$/, /a\.test\.pem$/, /\.lock$/]) expect([String(name), Object.keys(modes).some((path) => name.test(path))]).toEqual([String(name), true]);
    expect(statSync(at("fairlead.toml")).mode & 0o777).toBe(0o600);
  }, 30_000);

  // Its files are the same whatever the umask is.
  if (mask !== 0o077) return;
  test("no secret is in a log, in what the API tells, in arguments, or in the environment of what serves", async () => {
    const ask = (url: string): Promise<unknown> => fetch(`${url}/?key=${SECRETS.query}`, { headers: { Authorization: `Bearer ${SECRETS.credential}`, Cookie: `session=${SECRETS.cookie}` }, tls: { rejectUnauthorized: false } } as RequestInit).catch(() => {});
    const size = (): number => readFileSync(at("service.log"), "utf8").length;
    const rejected = async (what: string): Promise<void> => {
      const before = size();
      process.kill(fairlead.pid, "SIGHUP");
      await until(`${what} to be rejected`, () => readFileSync(at("service.log"), "utf8").slice(before).includes("Reload rejected"));
    };
    await ask(`http://127.0.0.1:${port.web}`);
    await ask(`https://localhost:${port.tls}`);
    expect(await call("GET", "/v1/status", undefined, SECRETS.wrong)).toBe(401);
    expect(await call("PUT", "/v1/upstreams/main/targets/127.0.0.1%3A2/heartbeat", "{}", SECRETS.wrong)).toBe(401);
    // A key that cannot be read, a token that is none, a secret in a line that is wrong: what is said of them does not quote them.
    const [good, toml] = [readFileSync(at("key.pem"), "utf8"), readFileSync(at("fairlead.toml"), "utf8")];
    writeFileSync(at("key.pem"), good.replace(/.\n-----END/, "*\n-----END"));
    await rejected("a broken key");
    writeFileSync(at("key.pem"), `-----BEGIN PRIVATE KEY-----\n${good.split("\n")[1]}`);
    await rejected("half a key");
    writeFileSync(at("key.pem"), good);
    writeFileSync(at("beats.token"), `${SECRETS.beating}\u0007`);
    await rejected("a token with a bell");
    writeFileSync(at("beats.token"), SECRETS.beating);
    for (const [what, line, by] of [
      ["a token that is no text", `token = "${SECRETS.token}"`, `token = ["${SECRETS.token}"]`],
      ["a secret that is no text", `secret = "${SECRETS.sticky}"`, `secret = ["${SECRETS.sticky}"]`],
      ["a key that is none", `eab_hmac_key = "${SECRETS.eab}"`, `eab_hmac_key = "${SECRETS.eab}!"`],
      ["a header that is none", `"x-collector-key" = "${SECRETS.tracing}"`, `"x-collector-key" = "${SECRETS.tracing}\\u0007"`],
      ["an environment that is none", `DATABASE_PASSWORD = "${SECRETS.environment}"`, `DATABASE_PASSWORD = ["${SECRETS.environment}"]`],
      ["what an agent is told, and no text", `send = "${SECRETS.agent}"`, `send = ["${SECRETS.agent}"]`],
      ["an argument that is no text", `"--password=${SECRETS.argument}"]`, `"--password=${SECRETS.argument}", 1]`],
      ["a line with a query", `{ path = "/up?key=${SECRETS.probe}"`, `{ interval = "x", path = "/up?key=${SECRETS.probe}"`],
      ["a name that is none", `DATABASE_PASSWORD = "${SECRETS.environment}"`, `"DATABASE PASSWORD" = "${SECRETS.environment}"`],
      ["no TOML", `secret = "${SECRETS.sticky}"`, `secret = "${SECRETS.sticky}`],
      ["no TOML in an environment", `DATABASE_PASSWORD = "${SECRETS.environment}"`, `DATABASE_PASSWORD = "${SECRETS.environment}`],
    ] as const) {
      expect([what, toml.includes(line)]).toEqual([what, true]);
      writeFileSync(at("fairlead.toml"), toml.replace(line, by));
      await rejected(what);
      // As fairlead check tells it.
      const loaded = loadConfig(at("fairlead.toml"), { slots: new SlotAllocator({ targets: 8, upstreams: 8 }), generation: 1 });
      const said = loaded.ok ? "" : formatDiagnostics(loaded.diagnostics, { color: false });
      expect([what, loaded.ok, Object.values(SECRETS).filter((secret) => said.includes(secret))]).toEqual([what, false, []]);
    }
    writeFileSync(at("fairlead.toml"), toml);
    await until("spans to be lost", () => /"module":"tracing"/.test(readFileSync(at("service.log"), "utf8")), 10_000);

    // What is told of a change tells neither what was nor what is.
    const other = [SECRETS.agent, SECRETS.probe, SECRETS.argument, SECRETS.environment].reduce((now, secret) => now.replace(secret, `${secret}-changed`), toml);
    const diff = await (await fetch("http://localhost/v1/config/diff", { unix: at("admin.sock"), method: "POST", headers: { Authorization: `Bearer ${SECRETS.token}` }, body: other })).text();
    expect(JSON.parse(diff)).toMatchObject({ words: expect.arrayContaining(['upstream "kept": health_check.command is another one', 'upstream "asked": health_check.path is another one', 'upstream "agent": health_check.send is another one']) });
    expect(await call("PUT", "/v1/config", other)).toBe(200);
    const places: Record<string, string> = { stderr: fairlead.lines.join("\n"), diff };
    for (const path of found(root, known).filter((name) => /\.log$|events\.jsonl$/.test(name))) places[path] = readFileSync(path, "latin1");
    for (const path of ["/v1/config", "/v1/overview", "/v1/events?limit=1000", "/v1/exchanges", "/v1/exchanges?limit=100", "/v1/status", "/v1/certificates", "/v1/openapi.json", "/metrics", "/v1/upstreams/main", "/v1/upstreams/kept"]) {
      places[path] = await (await fetch(`http://localhost${path}`, { unix: at("admin.sock"), headers: { Authorization: `Bearer ${SECRETS.token}` } })).text();
    }
    for (const pid of processesBelow(fairlead.pid)) {
      places[`arguments of ${pid}`] = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      const program = /^(?:sleep|true)\b/.test(places[`arguments of ${pid}`]!);
      places[`environment of ${pid}`] = readFileSync(`/proc/${pid}/environ`, "utf8");
      // What a program is told is its own.
      if (program) {
        if (places[`arguments of ${pid}`]!.startsWith("sleep")) expect(places[`environment of ${pid}`]).toContain(SECRETS.environment);
        for (const what of ["arguments", "environment"]) delete places[`${what} of ${pid}`];
      }
    }
    const account = JSON.parse(readFileSync(found(root, known).find((path) => path.endsWith("account.json"))!, "utf8")) as { readonly key: { readonly d: string } };
    const own = readFileSync(at("state/fairlead/sticky-secret"), "utf8");
    const all: Record<string, string> = { ...SECRETS, key: key.split("\n")[1]!, account: account.key.d, own };
    // An access log has whole paths, as everybody's does; nothing else does.
    const told = Object.entries(places).flatMap(([place, said]) => Object.entries(all).flatMap(([name, secret]) => (said.includes(secret) && !(name === "query" && place.endsWith("access.log")) ? [`${name} in ${place}`] : [])));
    expect(told).toEqual([]);
    expect(Object.values(all).every((secret) => secret.length >= 16)).toBe(true);
    expect(await fairlead.stop()).toBe(0);
  }, 40_000);
});

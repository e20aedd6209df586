/** Started by root with a `user`: who is root still, who is not, and that everything goes on as it does without. */
import { describe, expect, test } from "bun:test";
import { chmodSync, chownSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { Authority } from "../../support/certificates.ts";
import { Fairlead, processesBelow, type StartOptions } from "../../support/fairlead.ts";
import { freePort } from "../../support/ports.ts";
import { boardOf, isAlive, parentOf, workersOf } from "../../support/processes.ts";
import { openStage } from "../../support/stage.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const isRoot = process.getuid!() === 0 && process.platform === "linux";
const asRoot = isRoot ? describe : describe.skip;
if (!isRoot) console.warn("skipped: only root, on Linux, can start what runs as another user and look at it");

/** There on every Linux. */
const NOBODY = 65_534;
const NONE = "0".repeat(16);
const OF_NOBODY = ["Uid", "Gid"].map((field) => `${field} ${NOBODY} ${NOBODY} ${NOBODY} ${NOBODY}`).concat(`Groups ${NOBODY}`, `CapPrm ${NONE}`, `CapEff ${NONE}`, `CapAmb ${NONE}`).join("; ");

/** What the system says of each of a process's threads, without repetition. */
function identities(pid: number): string[] {
  const each = readdirSync(`/proc/${pid}/task`).map((thread) => {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
    return [...status.matchAll(/^(Uid|Gid|Groups|CapPrm|CapEff|CapAmb):\s*(.*)$/gm)].map(([, name, value]) => `${name} ${value!.trim().split(/\s+/).join(" ")}`).join("; ");
  });
  return [...new Set(each)];
}

/** Ports below 1024 where nothing listens. */
async function lowPorts(count: number): Promise<number[]> {
  const found: number[] = [];
  for (let port = 1023; found.length < count && port > 600; port--) {
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer().once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (isFree) found.push(port);
  }
  return found;
}

/** Workers load it, and before them whoever checks it: never root. */
const POLICY = `if (process.getuid() === 0) throw new Error("root loads this policy");
export default { pick: (request, targets) => targets[0] };`;
/** A back end that only says who it is. */
const KEPT = ["/bin/sh", "-c", 'rm -f "$0"; echo "$(id -u) $(id -G)" > "$0"; exec sleep 600'];

asRoot('with user = "nobody"', () => {
  test("root binds and supervises, nobody does the rest, through reloads, rotations, deaths, an upgrade and a takeover", async () => {
    const directory = stage.directory();
    const at = (name: string): string => join(directory, name);
    chmodSync(directory, 0o755);
    for (const name of ["logs", "said"]) mkdirSync(at(name));
    chmodSync(at("said"), 0o777);
    writeFileSync(at("policy.ts"), POLICY);
    const { certificate, key } = await (await Authority.create("test")).issue({ names: ["localhost"] });
    writeFileSync(at("cert.pem"), certificate);
    writeFileSync(at("key.pem"), key, { mode: 0o600 });
    const [low, other] = (await lowPorts(2)) as [number, number];
    const [secure, admin] = [await freePort(), await freePort()];
    const backend = await stage.backend();
    const toml = (ports: readonly number[], user = 'user = "nobody"', access = at("logs/access.log")): string => `
workers = 2
${user}
drain_timeout = "1s"
log.path = "${at("logs/service.log")}"
access_log = { path = "${access}", flush = "10ms" }
admin = { address = "127.0.0.1:${admin}", token = "a token for tests", state_file = "${at("state.json")}" }
${ports.map((port) => `[[listeners]]\naddress = "127.0.0.1:${port}"\nupstream = "main"\n`).join("")}
[[listeners]]
address = "127.0.0.1:${secure}"
upstream = "main"
tls = { certificates = [{ certificate = "${at("cert.pem")}", key = "${at("key.pem")}" }] }
[[upstreams]]
name = "main"
policy = "${at("policy.ts")}"
targets = [{ address = "${backend.address}" }]
[[upstreams]]
name = "kept"
supervised = { command = ${JSON.stringify([...KEPT, at("said/program")])} }
health_check = { type = "command", command = ["/bin/sh", "-c", 'rm -f "$0"; echo "$(id -u) $(id -G)" > "$0"', "${at("said/check")}"], interval = "1s" }
`;
    const launch = (text: string, options?: StartOptions): Fairlead => {
      const fairlead = Fairlead.launch(text, options);
      stage.atEnd(() => fairlead.kill());
      return fairlead;
    };
    /** Its log is in a file. */
    const ready = (fairlead: Fairlead): Promise<unknown> =>
      until(`${fairlead.pid} to be ready`, () => {
        if (fairlead.ended !== undefined) throw new Error(`it ended with ${fairlead.ended}: ${fairlead.lines.join("\n")}`);
        return existsSync(at("logs/service.log")) && log().some(({ msg, pid }) => msg === "Fairlead is ready" && pid === fairlead.pid);
      }, 15_000);
    /** Whole lines: the last one may be on its way. */
    const log = (): { readonly msg?: string; readonly pid?: number; readonly workers?: number[] }[] => readFileSync(at("logs/service.log"), "utf8").split("\n").slice(0, -1).map((line) => JSON.parse(line));
    const first = launch(toml([low]));
    let running = first;
    await ready(first);
    const workers = (): number[] => workersOf({ log: log() as never });
    const ask = async (port: number, scheme = "http"): Promise<number> => (await fetch(`${scheme}://localhost:${port}/`, { tls: { rejectUnauthorized: false }, headers: { Connection: "close" } } as RequestInit)).status;
    const expectNobody = (pids: readonly number[]): void => {
      expect(pids.length).toBeGreaterThan(0);
      for (const pid of pids) expect(identities(pid)).toEqual([OF_NOBODY]);
    };
    const lines = (): number => readFileSync(at("logs/access.log"), "utf8").split("\n").length - 1;

    expectNobody(workers());
    expect(identities(running.pid)[0]).toStartWith("Uid 0 0 0 0");
    expect(await ask(low)).toBe(200);
    expect(await ask(secure, "https")).toBe(200);
    for (const who of ["said/program", "said/check"]) expect([who, (await until(`what ${who} said`, () => existsSync(at(who)) && readFileSync(at(who), "utf8"))) || ""]).toEqual([who, `${NOBODY} ${NOBODY}\n`]);

    // What they write into is theirs, and for nobody else's eyes but those of their group.
    for (const name of ["access.log", "service.log"]) {
      const { uid, gid, mode } = statSync(at(`logs/${name}`));
      expect([name, uid, gid, mode & 0o777]).toEqual([name, NOBODY, NOBODY, 0o640]);
    }
    await until("two lines", () => lines() === 2);
    renameSync(at("logs/access.log"), at("logs/access.log.1"));
    first.signal("SIGUSR1");
    await until("another file", () => existsSync(at("logs/access.log")));
    await until("the workers to go on in it", async () => (await ask(low)) === 200 && lines() > 0);
    expect(statSync(at("logs/access.log")).uid).toBe(NOBODY);

    // One that dies is followed by one that is nobody too, whatever became of the name of what they share.
    rmSync(boardOf(first.pid));
    const victim = workers()[0]!;
    process.kill(victim, "SIGKILL");
    const replaced = await until("another worker", () => (log().findLast(({ msg }) => msg === "Worker replaced") as { readonly worker?: number } | undefined)?.worker);
    expectNobody([replaced]);

    // Ports that only root may have come by a reload.
    const reload = async (text: string, says: string): Promise<void> => {
      const before = log().length;
      writeFileSync(join(first.directory, "fairlead.toml"), text);
      process.kill(running.pid, "SIGHUP");
      await until(says, () => log().slice(before).some((line) => JSON.stringify(line).includes(says)));
    };
    await reload(toml([low, other]), "Reload applied");
    expect(await ask(other)).toBe(200);
    // A file that nobody cannot reach is refused, and all is as before.
    mkdirSync(at("roots"), { mode: 0o700 });
    await reload(toml([low, other], 'user = "nobody"', at("roots/access.log")), `user \\"nobody\\" cannot write the log ${at("roots/access.log")}`);
    // Others than before: they are replaced, and have what they need.
    await reload(toml([low, other], `user = ${NOBODY - 1}\ngroup = "${NOBODY}"`, at("logs/second.log")), "Reload applied");
    expect(await ask(other)).toBe(200);
    expect(statSync(at("logs/second.log")).uid).toBe(NOBODY - 1);
    // Those before are going: one may be gone between the list and the look.
    const others = processesBelow(running.pid).filter((pid) => existsSync(`/proc/${pid}/task`) && identities(pid)[0]?.startsWith(`Uid ${NOBODY - 1} `));
    expect(others.length).toBeGreaterThanOrEqual(2);
    await reload(toml([low, other]), "Reload applied");

    // The new binary binds nothing and is root; its workers are not.
    running.signal("SIGUSR2");
    await until("the upgrade", () => running.ended === 0);
    const successor = log().findLast(({ msg }) => msg === "Fairlead is ready")!.pid!;
    expectNobody(workers());
    expect([await ask(low), await ask(other)]).toEqual([200, 200]);
    // Orphans hand over what they have, though they can reach nothing of root's.
    process.kill(successor, "SIGKILL");
    await until("its end", () => !isAlive(successor));
    const orphans = workers();
    running = launch(toml([low, other]), { arguments: ["run", "--config", join(first.directory, "fairlead.toml"), "--log-format", "json"] });
    await ready(running);
    expect(log().some(({ msg }) => msg === "Taking over from a supervisor that died")).toBe(true);
    await until("the orphans' end", () => orphans.every((pid) => !isAlive(pid)));
    expectNobody(workers());
    expect([await ask(low), await ask(other), await ask(secure, "https")]).toEqual([200, 200, 200]);
    expect(await running.stop()).toBe(0);
  }, 40_000);

  test("no file of somebody else's becomes theirs by lying where a log should be", async () => {
    const directory = stage.directory();
    chmodSync(directory, 0o777);
    const secret = join(stage.directory(), "secret");
    writeFileSync(secret, "root's\n", { mode: 0o600 });
    const backend = await stage.backend();
    for (const trap of [(path: string) => symlinkSync(secret, path), (path: string) => linkSync(secret, path)]) {
      const path = join(directory, "access.log");
      rmSync(path, { force: true });
      trap(path);
      const fairlead = Fairlead.launch(`user = "nobody"\naccess_log = { path = "${path}" }\nlisteners = [{ address = "127.0.0.1:${await freePort()}", upstream = "main" }]\n[[upstreams]]\nname = "main"\ntargets = [{ address = "${backend.address}" }]\n`);
      stage.atEnd(() => fairlead.kill());
      await until("its end", () => fairlead.ended === 1);
      expect(fairlead.lines.join("\n")).toContain(`user "nobody" cannot write the log ${path}`);
      expect([statSync(secret).uid, statSync(secret).mode & 0o777, readFileSync(secret, "utf8")]).toEqual([0, 0o600, "root's\n"]);
    }
  });

  test("the shared memory stays root's: no worker can put something else in its place", async () => {
    const backend = await stage.backend();
    const rest = `\nworkers = 1\nlisteners = [{ address = "127.0.0.1:${await freePort()}", upstream = "main" }]\n[[upstreams]]\nname = "main"\ntargets = [{ address = "${backend.address}" }]\n`;
    const fairlead = await Fairlead.start(`user = "nobody"${rest}`);
    stage.atEnd(() => fairlead.stop());
    const [worker] = workersOf(fairlead) as [number];
    const board = boardOf(worker);
    const { uid, mode } = statSync(board);
    expect([uid, mode & 0o777]).toEqual([0, 0o600]);
    const asNobody = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
    // Its owner could, in a directory where only owners may.
    for (const attempt of ['mv "$0" "$0.old"', 'rm -f "$0"', ': > "$0"']) expect([attempt, Bun.spawnSync([...asNobody, "/bin/sh", "-c", attempt, board], { stderr: "ignore" }).exitCode]).not.toEqual([attempt, 0]);
    expect(statSync(board).size).toBeGreaterThan(0);
  });

  test("what runs as another user has no part in root's terminal, where it could type, or read what is typed", async () => {
    const directory = stage.directory();
    chmodSync(directory, 0o777);
    const said = join(directory, "said");
    const backend = await stage.backend();
    const config = join(directory, "fairlead.toml");
    // The seventh field is the controlling terminal.
    const port = await freePort();
    writeFileSync(config, `user = "nobody"\nworkers = 1\naccess_log = { flush = "10ms" }\nlisteners = [{ address = "127.0.0.1:${port}", upstream = "main" }]\n[[upstreams]]\nname = "main"\ntargets = [{ address = "${backend.address}" }]\nhealth_check = { type = "command", command = ["/bin/sh", "-c", 'cut -d" " -f7 /proc/self/stat > "$0"', "${said}"] }\n`);
    const terminalOf = (pid: number): string => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")[4]!;
    const fairlead = await Fairlead.start("", { command: "script", arguments: ["-qefc", `${Fairlead.binary} run --config ${config} --log-format json`, "/dev/null"] });
    stage.atEnd(() => fairlead.kill());
    const [worker] = workersOf(fairlead) as [number];
    const supervisor = parentOf(worker);
    // Both are in sessions of their own, where the group of who started them does not reach.
    stage.atEnd(() => [supervisor, worker].filter(isAlive).forEach((pid) => process.kill(pid, "SIGKILL")));
    expect(terminalOf(supervisor)).not.toBe("0");
    expect(terminalOf(worker)).toBe("0");
    /** With the last of the flags: 1 is to write only, 2 to read as well. */
    const terminals = (pid: number): string[] => readdirSync(`/proc/${pid}/fd`).filter((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith("/dev/pts/")).map((fd) => `${fd}: ${/^flags:\s+\d*(\d)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"))![1]}`);
    expect(terminals(supervisor)).toContain("2: 2");
    expect(terminals(worker)).toEqual(expect.arrayContaining(["1: 1", "2: 1"]));
    expect(terminals(worker).filter((each) => !each.endsWith(": 1"))).toEqual([]);
    // It says there what it has to say.
    expect((await fetch(`http://127.0.0.1:${port}/said`)).status).toBe(200);
    await until("the line of that", () => fairlead.lines.some((line) => line.includes("/said")));
    expect(await until("what the check said", () => existsSync(said) && readFileSync(said, "utf8"))).toBe("0\n");
    process.kill(supervisor, "SIGTERM");
    await until("the worker's end", () => !isAlive(worker));
  });

  test("who is not root is told that it is ignored", async () => {
    const directory = stage.directory();
    chmodSync(directory, 0o755);
    const backend = await stage.backend();
    const port = await freePort();
    const runtime = join(directory, "run");
    mkdirSync(runtime, { mode: 0o700 });
    chownSync(runtime, NOBODY - 1, NOBODY - 1);
    writeFileSync(join(directory, "fairlead.toml"), `user = "nobody"\nworkers = 1\nlisteners = [{ address = "127.0.0.1:${port}", upstream = "main" }]\n[[upstreams]]\nname = "main"\ntargets = [{ address = "${backend.address}" }]\n`);
    // As the shell of another user would start it: not everywhere may it read what is root's.
    const fairlead = await Fairlead.start("", { command: "setpriv", arguments: [`--reuid=${NOBODY - 1}`, `--regid=${NOBODY - 1}`, "--clear-groups", Fairlead.binary, "run", "--config", join(directory, "fairlead.toml"), "--log-format", "json", "--runtime-dir", runtime] });
    stage.atEnd(() => fairlead.kill());
    expect(fairlead.log.find(({ level }) => level === "warn")?.msg).toBe(`user = "nobody" is ignored: only root can start what runs as another user, and this process is user ${NOBODY - 1}`);
    expect(identities(workersOf(fairlead)[0]!)[0]).toStartWith(`Uid ${NOBODY - 1} `);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
  });
});

/** Sockets that systemd makes: listened on before Fairlead runs, used whatever becomes of its processes, left open at its end. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { Fairlead } from "../../support/fairlead.ts";
import { needs, unless } from "../../support/needs.ts";
import { freePort } from "../../support/ports.ts";
import { isAlive, workersOf } from "../../support/processes.ts";
import { openStage } from "../../support/stage.ts";
import { listening, NotifySocket } from "../../support/systemd.ts";
import { UdpClient, UdpServer } from "../../support/udp.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
const GET = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

function held(fd: number): number {
  stage.atEnd(() => listening.close(fd));
  return fd;
}

/** What comes back for one request. */
async function answer(to: { readonly port: number; readonly host?: string } | { readonly path: string }): Promise<string> {
  const socket = connect(to);
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
  socket.on("error", (error) => (text ||= String(error)));
  socket.write(GET);
  await until("an answer", () => text.endsWith("GET /") || text.includes("Error"));
  socket.destroy();
  return text.split("\r\n")[0]!;
}

const OK = "HTTP/1.1 200 X";

unless(process.platform === "linux" ? undefined : "Linux only").describe("sockets of systemd", () => {
  test("serve from before the start until after the end, over reloads, an upgrade and a takeover", async () => {
    const backend = await stage.backend();
    const [wild, named] = [await freePort(), await freePort()];
    const path = join(stage.directory(), "front.sock");
    const notify = new NotifySocket(join(stage.directory(), "notify"));
    stage.atEnd(() => notify.close());
    const spare = held(listening.tcp("127.0.0.1", await freePort()));
    // One unit may have sockets of both kinds: they have one name.
    const activation = { fds: [held(listening.tcp("::", wild)), held(listening.tcp("127.0.0.1", named)), held(listening.unix(path)), spare, held(listening.udp("127.0.0.1", named))], names: "wild:web:unix:spare:web" };
    const nameServer = await UdpServer.start();
    const resolver = await UdpClient.open(named);
    stage.atEnd(() => {
      nameServer.stop();
      resolver.close();
    });
    const config = (web: string): string => `
workers = 2
drain_timeout = "3s"
${web}
[[listeners]]
name = "wild"
address = ":${wild}"
upstream = "main"
[[listeners]]
name = "unix"
address = "unix:${path}"
upstream = "main"
[[upstreams]]
name = "main"
targets = [{ address = "${backend.address}" }]
[[upstreams]]
name = "dns"
targets = [{ address = "${nameServer.address}" }]
`;
    const web = '[[listeners]]\nname = "named"\naddress = "systemd:web"\nupstream = "main"\n[[listeners]]\nname = "datagrams"\naddress = "systemd:web"\nprotocol = "udp"\nupstream = "dns"\n';
    const before = answer({ port: named });
    const asked = resolver.ask("before", 20_000);
    const fairlead = await Fairlead.start(config(web), { activation, environment: { NOTIFY_SOCKET: notify.path } });
    stage.atEnd(() => fairlead.kill());
    const serves = async (): Promise<void> => {
      expect(await Promise.all([answer({ port: wild }), answer({ port: wild, host: "::1" }), answer({ port: named }), answer({ path })])).toEqual([OK, OK, OK, OK]);
      expect((await resolver.insist("now")).text).toBe("now");
    };

    expect(await before).toBe(OK);
    expect((await asked).text).toBe("before");
    await serves();
    expect(fairlead.log.find(({ level }) => level === "warn")).toMatchObject({ socket: expect.stringContaining("spare (127.0.0.1:") });
    expect(fairlead.log.find(({ msg }) => msg === "Fairlead is ready")).toMatchObject({ addresses: { wild: `[::]:${wild}`, named: `127.0.0.1:${named}`, datagrams: `127.0.0.1:${named}`, unix: `unix:${path}` } });
    await notify.hear("READY=1");

    // Its workers are told nothing of all this, and get no descriptor that is not theirs.
    const [worker] = workersOf(fairlead);
    expect(readFileSync(`/proc/${worker}/environ`, "latin1")).not.toMatch(/LISTEN_|NOTIFY_SOCKET/);
    const inode = readlinkSync(`/proc/self/fd/${spare}`);
    const open = (pid: number): string[] => readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    expect([open(fairlead.pid).includes(inode), open(worker!).includes(inode)]).toEqual([true, false]);

    // A listener that goes and comes again has its socket again.
    for (const [index, text] of [config(""), config(web)].entries()) {
      const from = notify.messages.length;
      await writeFile(join(fairlead.directory, "fairlead.toml"), text);
      fairlead.signal("SIGHUP");
      await fairlead.line("the reload", ({ msg, generation }) => msg === "Reload applied" && generation === index + 2);
      const began = Number(/MONOTONIC_USEC=(\d+)/.exec(await notify.hear("RELOADING=1", from))![1]);
      expect(Math.abs(began / 1e6 - Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]))).toBeLessThan(60);
      await notify.hear("READY=1", from);
    }
    await serves();

    fairlead.signal("SIGUSR2");
    await until("the new binary", () => fairlead.ended === 0, 10_000);
    const successor = fairlead.log.findLast(({ msg }) => msg === "Fairlead is ready")!["pid"] as number;
    expect(await notify.hear("MAINPID=")).toBe(`MAINPID=${successor}`);
    await serves();

    process.kill(successor, "SIGKILL");
    await until("its end", () => !isAlive(successor));
    const next = await Fairlead.start("", { arguments: ["run", "--config", join(fairlead.directory, "fairlead.toml"), "--log-format", "json"], environment: { NOTIFY_SOCKET: notify.path } });
    stage.atEnd(() => next.kill());
    expect(next.log.some(({ msg }) => msg === "Taking over from a supervisor that died")).toBe(true);
    await serves();

    expect(await next.stop(10_000)).toBe(0);
    await notify.hear("STOPPING=1");
    expect(existsSync(path)).toBe(true);
    const waiting = answer({ port: named });
    const heard = resolver.replies.length;
    resolver.send("after");
    const last = await Fairlead.start(config(web), { activation });
    stage.atEnd(() => last.kill());
    expect(await waiting).toBe(OK);
    await until("its reply", () => resolver.texts.slice(heard).includes("after"));
  }, 60_000);

  test("that cannot be used are refused by name", async () => {
    const backend = await stage.backend();
    const toml = (address: string): string => `[[listeners]]\naddress = "${address}"\nupstream = "main"\n[[upstreams]]\nname = "main"\ntargets = [{ address = "${backend.address}" }]\n`;
    const [one, two, three] = [await freePort(), await freePort(), await freePort()];
    const tcp = [held(listening.tcp("127.0.0.1", one)), held(listening.tcp("127.0.0.1", two))];
    const udp = held(listening.udp("127.0.0.1", three));
    const failures = [
      [toml("systemd:dns"), { fds: [udp], names: "dns" }, 'socket "dns", which systemd passed, is no stream socket; use ListenStream= in its unit'],
      [toml("systemd:wbe"), { fds: tcp, names: "web:sql" }, 'systemd passed no socket called "wbe" (it passed: web, sql); set FileDescriptorName=wbe in its unit'],
      [toml("systemd:web"), { fds: tcp, names: "web:web" }, 'systemd passed 2 sockets called "web"; give each a unit with a FileDescriptorName= of its own, or name listeners by their addresses'],
      [toml("systemd:web"), undefined, 'systemd passed no socket called "web" (it passed none); set FileDescriptorName=web in its unit'],
    ] as const;
    await Promise.all(
      failures.map(async ([text, activation, message]) => {
        const fairlead = Fairlead.launch(text, activation === undefined ? {} : { activation });
        stage.atEnd(() => fairlead.kill());
        await until("its end", () => fairlead.ended !== undefined, 15_000);
        await until("its reason", () => fairlead.lines.length > 0);
        expect([fairlead.ended, fairlead.lines.at(-1)]).toEqual([1, `fairlead: ${message}`]);
      }),
    );
  }, 30_000);
});

needs("systemd-socket-activate").describe("systemd's own way", () => {
  test("of handing sockets over is understood", async () => {
    const backend = await stage.backend();
    const port = await freePort();
    const directory = stage.directory();
    await writeFile(join(directory, "fairlead.toml"), `workers = 1\n[[listeners]]\naddress = "systemd:web"\nupstream = "main"\n[[upstreams]]\nname = "main"\ntargets = [{ address = "${backend.address}" }]\n`);
    const fairlead = Fairlead.launch("", { arguments: ["-l", `127.0.0.1:${port}`, "--fdname=web", Fairlead.binary, "run", "--config", join(directory, "fairlead.toml")], command: "systemd-socket-activate" });
    stage.atEnd(() => fairlead.kill());
    await until("systemd to listen", () => fairlead.lines.some((line) => line.includes("Listening")));
    // It starts the service when the first client is there.
    expect(await answer({ port })).toBe(OK);
    expect(await fairlead.stop()).toBe(0);
  }, 30_000);
});

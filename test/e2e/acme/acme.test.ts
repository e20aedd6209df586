/** The whole way: a real ACME server, real workers, and clients that trust nobody else. */
import { beforeAll, expect, test } from "bun:test";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { Fairlead } from "../../support/fairlead.ts";
import { Pebble, withPebble } from "../../support/pebble.ts";
import { freePort } from "../../support/ports.ts";
import { isAlive, workersOf } from "../../support/processes.ts";
import { v1 } from "../../support/proxy-header.ts";
import type { RawBackend } from "../../support/raw-backend.ts";
import { openStage } from "../../support/stage.ts";
import { request, tlsExchange } from "../../support/tls-client.ts";
import { until } from "../../support/until.ts";

const stage = openStage();

interface Status {
  readonly domains: readonly string[];
  readonly state: string;
  readonly ordering: boolean;
  readonly not_after?: string;
  readonly next_attempt?: string;
  readonly failures: number;
  readonly last_error?: string;
}

withPebble.describe("certificates by ACME", () => {
  let pebble: Pebble;
  let backend: RawBackend;
  let fairlead: Fairlead;
  let [http, tls, other, proxied, admin] = [0, 0, 0, 0, 0];
  const storage = stage.directory();

  const toml = (domains: readonly string[], challenge = "auto"): string => `workers = 2
drain_timeout = "2s"
[admin]
address = "127.0.0.1:${admin}"
[[listeners]]
address = "127.0.0.1:${http}"
upstream = "main"
redirect_https = ${tls}
[[listeners]]
address = "127.0.0.1:${tls}"
upstream = "main"
[listeners.tls]
acme = { email = "ops@example.org", domains = ${JSON.stringify(domains)}, challenge = "${challenge}", directory = "${pebble.url}", ca = "${pebble.ca}", storage = "${storage}" }
[[listeners]]
address = "127.0.0.1:${other}"
upstream = "main"
[listeners.tls]
acme = { email = "ops@example.org", domains = ["other.example.org"], directory = "${pebble.url}", ca = "${pebble.ca}", storage = "${storage}" }
[[listeners]]
address = "127.0.0.1:${proxied}"
upstream = "main"
proxy_protocol = { from = ["127.0.0.0/8"] }
[listeners.tls]
acme = { email = "ops@example.org", domains = ["other.example.org"], directory = "${pebble.url}", ca = "${pebble.ca}", storage = "${storage}" }
[[upstreams]]
name = "main"
targets = [{ address = "${backend.address}" }]
`;
  const status = async (): Promise<Status[]> => ((await (await fetch(`http://127.0.0.1:${admin}/v1/status`)).json()) as { acme: Status[] }).acme;
  const allValid = (): Promise<Status[]> =>
    until(
      "every certificate",
      async () => {
        const all = await status();
        return all.length === 2 && all.every(({ state, ordering }) => state === "valid" && !ordering) && all;
      },
      20_000,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${fairlead.lines.slice(-20).join("\n")}\n${pebble.lines.slice(-20).join("\n")}`, { cause: error });
    });
  const reload = (text: string): void => {
    writeFileSync(join(fairlead.directory, "fairlead.toml"), text);
    fairlead.signal("SIGHUP");
  };
  /** Who shows a certificate of pebble's for this name; "" when it does not. */
  const trusted = async (port: number, servername: string): Promise<string> => {
    const { received, error } = await tlsExchange(port, { servername, ca: await pebble.root(), rejectUnauthorized: true }, request("/", servername));
    return error === "" ? received.slice(0, 12) : error;
  };

  /** The reply to a client of a proxy that sends the PROXY protocol. */
  const throughProxy = async (): Promise<string> => {
    const socket = connect(proxied, "127.0.0.1");
    socket.write(v1("192.0.2.7", "198.51.100.1", 5000, 443));
    return (await tlsExchange(proxied, { socket, servername: "other.example.org" })).received.slice(0, 12);
  };

  /** What the CA would see. */
  const validate = (servername: string): ReturnType<typeof tlsExchange> => tlsExchange(tls, { servername, ALPNProtocols: ["acme-tls/1"] }, "");

  beforeAll(async () => {
    [http, tls, other, proxied, admin] = [await freePort(), await freePort(), await freePort(), await freePort(), await freePort()];
    backend = await stage.backend();
    pebble = await Pebble.start({ httpPort: http, tlsPort: tls }, false);
    stage.atEnd(() => pebble.stop());
    fairlead = await Fairlead.start(toml(["example.org", "www.example.org"]));
    stage.atEnd(() => fairlead.kill());
  }, 30_000);

  test("a CA that is not there keeps nobody from starting: a placeholder is served, and the next attempt is told", async () => {
    const all = await until("both failures", async () => {
      const now = await status();
      return now.length === 2 && now.every(({ failures }) => failures === 1) && now;
    });
    expect(all.map(({ domains, state, ordering, not_after }) => ({ domains, state, ordering, not_after }))).toEqual([
      { domains: ["example.org", "www.example.org"], state: "placeholder", ordering: false, not_after: undefined },
      { domains: ["other.example.org"], state: "placeholder", ordering: false, not_after: undefined },
    ]);
    for (const { last_error: error, next_attempt: next } of all) {
      expect(error).toContain("cannot be asked");
      expect((Date.parse(next!) - Date.now()) / 1000).toBeWithin(50, 73);
    }
    const { server, received } = await tlsExchange(tls, { servername: "example.org" });
    expect(server).toBe("Fairlead placeholder");
    expect(received).toStartWith("HTTP/1.1 200");
  });

  test("both listeners have theirs by http-01 as soon as it is there and somebody asks, and paths of no challenge go on to targets", async () => {
    await pebble.run();
    fairlead.signal("SIGHUP");
    const all = await allValid();
    expect(all.map(({ failures, last_error: error }) => ({ failures, error }))).toEqual([
      { failures: 0, error: undefined },
      { failures: 0, error: undefined },
    ]);
    await until("the new certificates to be served", async () => (await trusted(tls, "example.org")).startsWith("HTTP") && (await trusted(other, "other.example.org")).startsWith("HTTP"));
    for (let i = 0; i < 10; i++) expect(await trusted(tls, "www.example.org")).toBe("HTTP/1.1 200");
    expect(await trusted(tls, "other.example.org")).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
    expect(pebble.orders).toBe(2);
    const before = backend.requests.length;
    expect((await fetch(`http://127.0.0.1:${http}/.well-known/acme-challenge/nobody-asked-for-this`)).status).toBe(200);
    expect(backend.requests.length).toBe(before + 1);
    expect((await fetch(`http://127.0.0.1:${http}/`, { redirect: "manual" })).status).toBe(308);
  });

  test("other domains by a reload are validated by tls-alpn-01, and no client but the CA ever sees the challenge's certificate", async () => {
    const root = await pebble.root();
    const domains = ["example.org", "www.example.org", "shop.example.org"];
    const shown = { acme: new Set<string>(), known: new Set<string>(), fresh: new Set<string>() };
    pebble.names.hold();
    reload(toml(domains, "tls-alpn-01"));
    for (const servername of domains) await until(`the challenge for ${servername}`, async () => (await validate(servername)).error === "");
    for (let i = 0; i < 12; i++) {
      const validator = await validate(domains[i % 3]!);
      shown.acme.add(`${validator.server} ${validator.alpn}`);
      for (const protocols of [{ ALPNProtocols: ["http/1.1"] }, { ALPNProtocols: ["acme-tls/1", "http/1.1"] }, {}]) {
        // Names that had a certificate keep it until the new one is there.
        const old = await tlsExchange(tls, { servername: "www.example.org", ca: root, rejectUnauthorized: true, ...protocols });
        shown.known.add(`${old.received.slice(0, 12)} ${old.error}`);
        const fresh = await tlsExchange(tls, { servername: "shop.example.org", ...protocols });
        shown.fresh.add(`${fresh.server} ${fresh.received.slice(0, 12)} ${fresh.error}`);
      }
    }
    // Behind the header of a proxy nothing is looked at.
    expect(await throughProxy()).toBe("HTTP/1.1 200");
    // A worker that comes meanwhile answers as the others do.
    process.kill(workersOf(fairlead)[0]!, "SIGKILL");
    await fairlead.line("its replacement", ({ msg }) => msg === "Worker replaced");
    for (let i = 0; i < 8; i++) shown.acme.add(await validate(domains[i % 3]!).then(({ server, alpn, error }) => `${server} ${alpn}${error}`));
    pebble.names.release();
    expect([...shown.acme]).toEqual(["ACME challenge acme-tls/1"]);
    expect([...shown.known]).toEqual(["HTTP/1.1 200 "]);
    expect([...shown.fresh]).toEqual(["Fairlead placeholder HTTP/1.1 200 "]);
    await allValid();
    await until("the new certificate to be served", async () => (await trusted(tls, "shop.example.org")).startsWith("HTTP"));
    expect(await throughProxy()).toBe("HTTP/1.1 200");
    // Nothing is pending any more: TLS refuses what it does not speak.
    expect((await validate("shop.example.org")).server).toBe("");
  }, 60_000);

  test("what is open while a challenge comes and goes stays open, with all that goes through it", async () => {
    const big = "x".repeat(3_000_000);
    const before = backend.requests.length;
    pebble.names.hold();
    reload(toml(["example.org", "big.example.org"], "tls-alpn-01"));
    await until("the challenge", async () => (await validate("big.example.org")).error === "");
    const text = `POST / HTTP/1.1\r\nHost: big.example.org\r\nConnection: close\r\nContent-Length: ${big.length}\r\n\r\n${big}`;
    const exchange = tlsExchange(tls, { servername: "big.example.org" }, text);
    await until("its beginning", () => backend.requests.length > before);
    pebble.names.release();
    const [echoed] = await Promise.all([exchange, allValid()]);
    expect(echoed.received).toStartWith("HTTP/1.1 200");
    expect(backend.requests.at(-1)!.body.length).toBe(big.length);
  }, 60_000);

  test("kill -9 of the supervisor in the middle of an order: workers serve on, the next one orders again", async () => {
    pebble.names.hold();
    reload(toml(["example.org", "killed.example.org"], "tls-alpn-01"));
    await until("the challenge", async () => (await validate("killed.example.org")).error === "");
    const orphans = workersOf(fairlead);
    process.kill(fairlead.pid, "SIGKILL");
    await until("its end", () => fairlead.ended !== undefined);
    // Nobody would take the challenge back.
    await until("the challenge to be gone", async () => (await validate("killed.example.org")).error !== "");
    pebble.names.release();
    expect((await tlsExchange(other, { servername: "other.example.org" })).received).toStartWith("HTTP/1.1 200");
    const config = join(fairlead.directory, "fairlead.toml");
    fairlead = await Fairlead.start("", { arguments: ["run", "--config", config, "--log-format", "json"] });
    stage.atEnd(() => fairlead.kill());
    await allValid();
    expect(fairlead.log.filter(({ msg }) => msg === "Ordering a certificate").map(({ domains }) => domains)).toEqual([["example.org", "killed.example.org"]]);
    await until("the orphans' end", () => orphans.filter(isAlive).length === 0);
    await until("the new certificate to be served", async () => (await trusted(tls, "killed.example.org")).startsWith("HTTP"));
  }, 60_000);

  test("an upgrade and a restart serve what is kept, without an order", async () => {
    const orders = pebble.orders;
    const workers = workersOf(fairlead);
    fairlead.signal("SIGUSR2");
    await until("the old workers' end", () => workers.filter(isAlive).length === 0, 15_000);
    expect(await trusted(tls, "killed.example.org")).toBe("HTTP/1.1 200");
    const kept = stage.directory();
    cpSync(storage, kept, { recursive: true });
    await fairlead.kill();
    const text = toml(["example.org", "killed.example.org"]).replaceAll(storage, kept);
    fairlead = await Fairlead.start(text);
    stage.atEnd(() => fairlead.kill());
    expect(await trusted(tls, "killed.example.org")).toBe("HTTP/1.1 200");
    expect((await status()).map(({ state, ordering }) => ({ state, ordering }))).toEqual([
      { state: "valid", ordering: false },
      { state: "valid", ordering: false },
    ]);
    expect(pebble.orders).toBe(orders);
    expect(readFileSync(join(kept, `127.0.0.1-${pebble.port}-dir`, "account.json"), "utf8")).toContain('"kty":"EC"');
  }, 60_000);
});

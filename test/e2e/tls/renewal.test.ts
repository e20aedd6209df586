/** Certificates whose files change, and TLS settings that a reload changes: in place, under load, without a failed request. */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { connect, type TLSSocket } from "node:tls";
import { join } from "node:path";
import { Authority, type IssueOptions, pemFiles } from "../../support/certificates.ts";
import { Fairlead } from "../../support/fairlead.ts";
import { freePort } from "../../support/ports.ts";
import { always, reply } from "../../support/raw-backend.ts";
import { openStage } from "../../support/stage.ts";
import { request, tlsExchange } from "../../support/tls-client.ts";
import { until } from "../../support/until.ts";

const stage = openStage();
let authority: Authority;
let fairlead: Fairlead;
let [port, linked, admin] = [0, 0, 0];
let text = "";
const secret = stage.directory();
let workers: unknown;

interface Status {
  readonly workers: readonly number[];
  readonly certificates: readonly { readonly listener: string; readonly names: readonly string[]; readonly not_after: string; readonly days_left: number; readonly file: string }[];
}

async function status(): Promise<Status> {
  return (await (await fetch(`http://127.0.0.1:${admin}/v1/status`)).json()) as Status;
}

async function put(name: string, options: IssueOptions): Promise<void> {
  for (const [file, content] of Object.entries(pemFiles({ [name]: await authority.issue(options) }))) writeFileSync(join(fairlead.directory, file), content);
}

/** Common name of what is shown to a client of this name. */
async function shown(servername: string | undefined, at = port): Promise<string> {
  return (await tlsExchange(at, servername === undefined ? {} : { servername }, "")).server;
}

async function shownByAll(servername: string | undefined, name: string, at = port): Promise<void> {
  await until(`certificate ${name}`, async () => (await Promise.all(Array.from({ length: 6 }, () => shown(servername, at)))).every((each) => each === name));
}

/** A connection that stays, and asks on it. */
class Staying {
  private readonly socket: TLSSocket;
  private received = "";
  closed = false;

  constructor() {
    this.socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
    this.socket.on("data", (chunk: Buffer) => (this.received += chunk.toString("latin1")));
    this.socket.on("error", () => {});
    this.socket.on("close", () => (this.closed = true));
    stage.atEnd(() => this.socket.destroy());
  }

  async ask(): Promise<void> {
    this.received = "";
    this.socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await until("a reply", () => this.received.endsWith("hello"));
  }
}

beforeAll(async () => {
  authority = await Authority.create();
  const backend = await stage.backend(always(reply(200, "hello")));
  [port, linked, admin] = [await freePort(), await freePort(), await freePort()];
  const pairs = { one: await authority.issue({ names: ["one.test"] }), two: await authority.issue({ names: ["two.test"], subject: "CN=two" }) };
  text = `workers = 2
admin = { address = "127.0.0.1:${admin}" }
[[listeners]]
name = "web"
address = "127.0.0.1:${port}"
upstream = "main"
[[listeners.tls.certificates]]
certificate = "one.pem"
key = "one.key"
[[listeners.tls.certificates]]
certificate = "two.pem"
key = "two.key"
[[listeners]]
name = "linked"
address = "127.0.0.1:${linked}"
upstream = "main"
tls = { certificates = [{ certificate = "${secret}/tls.crt", key = "${secret}/tls.key" }] }
[[upstreams]]
name = "main"
targets = [{ address = "${backend.address}" }]
`;
  await turn("first");
  fairlead = await Fairlead.start(text, { files: pemFiles(pairs) });
  stage.atEnd(() => fairlead.kill());
  ({ workers } = await status());
}, 30_000);

/** A secret as Kubernetes mounts it: links to files behind a link to a directory, and that link is replaced. */
async function turn(version: string): Promise<void> {
  mkdirSync(join(secret, version));
  const { certificate, key } = await authority.issue({ names: ["linked.test"], subject: `CN=${version}` });
  writeFileSync(join(secret, version, "tls.crt"), certificate);
  writeFileSync(join(secret, version, "tls.key"), key);
  symlinkSync(version, join(secret, "..next"));
  renameSync(join(secret, "..next"), join(secret, "..data"));
  for (const name of ["tls.crt", "tls.key"]) if (version === "first") symlinkSync(join("..data", name), join(secret, name));
}

describe("a certificate whose files change", () => {
  test("is shown to new clients, and connections that are open go on", async () => {
    const staying = new Staying();
    await staying.ask();
    await put("two", { names: ["two.test"], subject: "CN=two again" });
    await shownByAll("two.test", "two again");
    expect(await shown(undefined)).toBe("one.test");
    await put("one", { names: ["one.test"], subject: "CN=one again" });
    // Of clients that name nobody, too: for them the listener is opened anew on the same queue.
    await shownByAll(undefined, "one again");
    await staying.ask();
    expect(staying.closed).toBe(false);
    expect((await status()).workers).toEqual(workers as number[]);
  });

  test("fails no request, however often it changes", async () => {
    let requests = 0;
    const failures: string[] = [];
    let over = false;
    const load = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (!over) {
          const { received, error } = await tlsExchange(port, { servername: requests++ % 2 === 0 ? "one.test" : "two.test" }, request());
          if (!received.endsWith("hello")) failures.push(error || received || "nothing came");
        }
      }),
    );
    const staying = new Staying();
    for (let i = 0; i < 4; i++) {
      await put("one", { names: ["one.test"], subject: `CN=one ${i}` });
      await staying.ask();
      await shownByAll("one.test", `one ${i}`);
    }
    over = true;
    await load;
    expect(failures).toEqual([]);
    expect(requests).toBeGreaterThan(50);
    await staying.ask();
  }, 20_000);

  test("is noticed behind links too", async () => {
    await shownByAll("linked.test", "first", linked);
    await turn("second");
    await shownByAll("linked.test", "second", linked);
  });

  test("to something that is no good keeps the one before, and the log says why", async () => {
    const from = fairlead.log.length;
    const before = await shown("one.test");
    writeFileSync(join(fairlead.directory, "one.pem"), "-----BEGIN CERTIFICATE-----\nhalf of it");
    const line = await fairlead.line("the reason", ({ msg }) => msg?.includes("cannot be renewed") === true, from);
    expect(String(line["reason"])).toContain("one.pem holds no certificate");
    expect(await shown("one.test")).toBe(before);
    // And what else changes is taken all the same.
    await put("two", { names: ["two.test"], subject: "CN=two alone" });
    await shownByAll("two.test", "two alone");
    expect(await shown("one.test")).toBe(before);
    await put("one", { names: ["one.test"], subject: "CN=one mended" });
    await shownByAll("one.test", "one mended");
  });

  test("to one that ends soon is warned of, and the status says when", async () => {
    const from = fairlead.log.length;
    await put("two", { names: ["two.test", "Three.test"], to: 4.5 });
    await fairlead.line("the warning", ({ level, msg }) => level === "warn" && msg?.includes("two.pem") === true && msg.includes("4 days"), from);
    const { certificates } = await status();
    expect(certificates).toMatchObject([{ listener: "web", file: "one.pem" }, { listener: "web", file: "two.pem", names: ["two.test", "three.test"], days_left: 4 }, { listener: "linked", days_left: 89 }]);
    expect(Date.parse(certificates[1]!.not_after)).toBeGreaterThan(Date.now());
  });
});

describe("a reload", () => {
  test("changes versions in place, and turns TLS off and on again, on the same workers", async () => {
    const reload = async (changed: string): Promise<void> => {
      const from = fairlead.log.length;
      writeFileSync(join(fairlead.directory, "fairlead.toml"), changed);
      fairlead.signal("SIGHUP");
      await fairlead.line("applied", ({ msg }) => msg === "Reload applied", from);
    };
    const staying = new Staying();
    await staying.ask();
    await reload(text.replace('upstream = "main"\n[[listeners.tls', 'upstream = "main"\n[listeners.tls]\nmin_version = "1.3"\n[[listeners.tls'));
    expect((await tlsExchange(port, { maxVersion: "TLSv1.2" }, "")).version).toBe("");
    expect((await tlsExchange(port, {}, "")).version).toBe("TLSv1.3");
    await reload(text.replace(/\[\[listeners\.tls\.certificates\]\]\n.*\n.*\n/g, ""));
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("hello");
    await reload(text);
    expect(await shown(undefined)).toBe("one mended");
    await staying.ask();
    expect((await status()).workers).toEqual(workers as number[]);
  });

  test("to a certificate that is no good is rejected as a whole, and says where", async () => {
    const from = fairlead.log.length;
    writeFileSync(join(fairlead.directory, "fairlead.toml"), text.replace('key = "one.key"', 'key = "two.key"'));
    fairlead.signal("SIGHUP");
    const line = await fairlead.line("the place", ({ msg }) => msg?.includes("does not belong to the certificate") === true, from);
    expect(line).toMatchObject({ line: 9, column: 7 });
    expect(await shown(undefined)).toBe("one mended");
  });
});

test("a worker that is killed is replaced by one that knows the certificates", async () => {
  const [victim] = (await status()).workers as [number];
  process.kill(victim, "SIGKILL");
  await until("another worker", async () => {
    const now = (await status()).workers;
    return now.length === 2 && !now.includes(victim);
  });
  for (let i = 0; i < 8; i++) expect((await tlsExchange(port, {})).received).toEndWith("hello");
});

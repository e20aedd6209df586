/** Certificates from a real ACME server (pebble), in one process: what is ordered when, what is kept, and what happens when it fails. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { placeholder } from "../../src/acme/x509.ts";
import { Pebble, withPebble } from "../support/pebble.ts";
import { sleep, until } from "../support/until.ts";
import { Instance, snapshotWith, temporaryDirectory, Validated } from "./support.ts";


let validated: Validated;
let storage: ReturnType<typeof temporaryDirectory>;
const temporary = temporaryDirectory();
const instances: Instance[] = [];

function instance(): Instance {
  const made = new Instance(validated);
  instances.push(made);
  return made;
}

beforeAll(() => {
  validated = new Validated();
});
afterAll(async () => {
  await validated.stop();
  temporary.remove();
});
beforeEach(() => {
  storage = temporaryDirectory();
  validated.falsify = (challenges) => challenges;
});
afterEach(() => {
  for (const { acme } of instances.splice(0)) acme.stop();
  storage.remove();
});

withPebble.describe("a certificate from an ACME server", () => {
  let pebble: Pebble;
  const acme = (more: object = {}): object => ({ email: "ops@example.org", domains: ["example.org", "www.example.org"], directory: pebble.url, ca: pebble.ca, storage: storage.path, ...more });

  beforeAll(async () => {
    // Far more refusals than any server has, so that every kind of request meets one.
    pebble = await Pebble.start({ httpPort: validated.httpPort, tlsPort: validated.tlsPort, refusedNonces: 30 });
  });
  afterAll(() => pebble.stop());

  for (const challenge of ["http-01", "tls-alpn-01"]) {
    test(`is issued by ${challenge}, is for all names, and belongs to its key`, async () => {
      const one = instance();
      await one.run(snapshotWith(acme({ challenge })));
      expect(one.status).toMatchObject({ state: "placeholder", ordering: true, notAfter: undefined });
      await one.issued();
      const pem = readFileSync(one.certificates[0]!.file, "utf8");
      const certificate = new X509Certificate(pem);
      expect(certificate.subjectAltName).toBe("DNS:example.org, DNS:www.example.org");
      expect(certificate.issuer).toStartWith("CN=Pebble Intermediate CA");
      expect(pem.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
      expect(certificate.publicKey.asymmetricKeyType).toBe("ec");
      expect(one.status).toMatchObject({ state: "valid", ordering: false, failures: 0, lastError: undefined, notAfter: new Date(certificate.validTo).toISOString() });
      expect(pebble.count(new RegExp(`set VALID by completed challenge`))).toBeGreaterThanOrEqual(2);
      await until("the answers to be taken back", () => Object.keys(validated.shown.http).length + Object.keys(validated.shown.alpn).length === 0);
    });
  }

  test("is kept for its user only, in whole files", async () => {
    const one = instance();
    await one.run(snapshotWith(acme({ domains: ["kept.example.org"] })));
    await one.issued();
    const folder = dirname(one.certificates[0]!.file);
    expect(folder).toBe(join(storage.path, `127.0.0.1-${pebble.port}-dir`));
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(readdirSync(folder).toSorted()).toEqual(["account.json", "kept.example.org.pem", "kept.example.org.pem.lock"]);
    for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
  });

  test("is not ordered again by who comes later, and its account is used again", async () => {
    const first = instance();
    await first.run(snapshotWith(acme({ domains: ["again.example.org"] })));
    await first.issued();
    first.acme.stop();
    const orders = pebble.orders;
    const account = readFileSync(join(dirname(first.certificates[0]!.file), "account.json"), "utf8");
    const second = instance();
    await second.run(snapshotWith(acme({ domains: ["again.example.org"] })));
    expect(second.status).toMatchObject({ state: "valid", ordering: false });
    // Another certificate is another matter.
    await second.run(snapshotWith(acme({ domains: ["again.example.org"] }), acme({ domains: ["other.example.org"], key_type: "rsa2048" })));
    await second.issued();
    expect(pebble.orders).toBe(orders + 1);
    expect(new X509Certificate(readFileSync(second.certificates[1]!.file)).publicKey.asymmetricKeyType).toBe("rsa");
    expect(readFileSync(join(dirname(first.certificates[0]!.file), "account.json"), "utf8")).toBe(account);
  });

  test("is ordered once by two instances that share a store", async () => {
    const orders = pebble.orders;
    const [one, other] = [instance(), instance()];
    const snapshot = snapshotWith(acme({ domains: ["shared.example.org"] }));
    await Promise.all([one.run(snapshot), other.run(snapshot)]);
    await until("both to have it", () => one.status.state === "valid" && other.status.state === "valid", 15_000);
    expect(pebble.orders).toBe(orders + 1);
    expect([...one.log, ...other.log].filter(({ message }) => message === "Certificate issued")).toHaveLength(1);
  });

  test("is ordered anew for other domains, and what is not wanted any more is left alone", async () => {
    const one = instance();
    await one.run(snapshotWith(acme({ domains: ["a.example.org"] })));
    await one.issued();
    await one.run(snapshotWith(acme({ domains: ["a.example.org", "b.example.org"] })));
    await one.issued(2);
    expect(new X509Certificate(readFileSync(one.certificates[0]!.file)).subjectAltName).toBe("DNS:a.example.org, DNS:b.example.org");
    expect(one.acme.status()).toHaveLength(1);
  });

  test("is one of many that are ordered at once, with one account", async () => {
    const accounts = pebble.count(/There are now \d+ accounts|Created new account|new account/i);
    const one = instance();
    await one.run(snapshotWith(...["m1", "m2", "m3", "m4"].map((name) => acme({ domains: [`${name}.example.org`] }))));
    await until("all of them", () => one.acme.status().every(({ state }) => state === "valid"), 15_000);
    expect(one.log.filter(({ level }) => level === "error")).toEqual([]);
    expect(pebble.count(/There are now \d+ accounts|Created new account|new account/i)).toBe(accounts + 1);
  });

  test("tells the account's new contact to the server, and keeps the account", async () => {
    const one = instance();
    await one.run(snapshotWith(acme({ domains: ["c1.example.org"] })));
    await one.issued();
    const read = (): { url: string; email: string } => JSON.parse(readFileSync(one.certificates[0]!.account.file, "utf8")) as { url: string; email: string };
    const { url } = read();
    await one.run(snapshotWith(acme({ domains: ["c2.example.org"], email: "new@example.org" })));
    await one.issued(2);
    expect(read()).toMatchObject({ url, email: "new@example.org" });
  });

  test("is ordered from a server that has forgotten the account", async () => {
    const one = instance();
    await one.run(snapshotWith(acme({ domains: ["before.example.org"] })));
    await one.issued();
    await pebble.halt();
    await pebble.run();
    await one.run(snapshotWith(acme({ domains: ["after.example.org"] })));
    await one.issued(2);
    expect(one.log.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("replaces what lies in its place and is none", async () => {
    const one = instance();
    const snapshot = snapshotWith(acme({ domains: ["broken.example.org"] }));
    await one.run(snapshot);
    await one.issued();
    one.acme.stop();
    writeFileSync(one.certificates[0]!.file, "half a certif");
    const other = instance();
    await other.run(snapshot);
    await other.issued();
    expect(other.status.state).toBe("valid");
  });

  test("needs a place to be kept", async () => {
    writeFileSync(join(storage.path, "file"), "");
    const one = instance();
    await expect(one.run(snapshotWith(acme({ storage: join(storage.path, "file") })))).rejects.toThrow(/^cannot keep the certificate of example\.org in .*: ENOTDIR/);
  });

  describe("that cannot be had", () => {
    test("is told with the CA's type and detail, is not asked for again at once, and by the other challenge the next time", async () => {
      const orders = pebble.orders;
      validated.falsify = ({ http, alpn }) => ({ http: Object.fromEntries(Object.keys(http).map((token) => [token, `${token}.wrong`])), alpn });
      const one = instance();
      await one.run(snapshotWith(acme({ domains: ["wrong.example.org"] })));
      const { reason, type, detail, nextAttempt, failures, serves } = await one.failure(1);
      expect(reason).toStartWith("wrong.example.org by http-01: unauthorized: ");
      expect({ type, failures, serves }).toEqual({ type: "unauthorized", failures: 1, serves: "placeholder" });
      expect(detail).toContain("did not match this challenge");
      const pause = Date.parse(String(nextAttempt)) - Date.now();
      expect(pause).toBeGreaterThan(55_000);
      expect(pause).toBeLessThan(73_000);
      await sleep(300);
      expect(pebble.orders).toBe(orders + 1);
      expect(one.status).toMatchObject({ state: "placeholder", ordering: false, failures: 1, nextAttempt, lastError: reason });
      // A restart does not begin from the beginning.
      one.acme.stop();
      const next = instance();
      await next.run(snapshotWith(acme({ domains: ["wrong.example.org"] })));
      expect(next.status).toMatchObject({ ordering: false, failures: 1, nextAttempt });
      // Whoever reloads has perhaps mended something. The other challenge comes first now.
      await next.run(snapshotWith(acme({ domains: ["wrong.example.org"] })), true);
      await next.issued();
      expect(next.status).toMatchObject({ state: "valid", failures: 0, lastError: undefined });
      expect(existsSync(`${next.certificates[0]!.file}.attempts`)).toBe(false);
    });

    test("is served as it was while the server is down", async () => {
      const one = instance();
      await one.run(snapshotWith(acme({ domains: ["down.example.org"] })));
      await one.issued();
      const before = readFileSync(one.certificates[0]!.file, "utf8");
      await pebble.halt();
      await one.run(snapshotWith(acme({ domains: ["down.example.org"] }), acme({ domains: ["new.example.org"] })));
      const { reason } = await one.failure(1);
      expect(reason).toContain("cannot be asked");
      expect(one.acme.status()).toMatchObject([
        { domains: ["down.example.org"], state: "valid", failures: 0 },
        { domains: ["new.example.org"], state: "placeholder", failures: 1 },
      ]);
      expect(readFileSync(one.certificates[0]!.file, "utf8")).toBe(before);
      await pebble.run();
      await one.run(snapshotWith(acme({ domains: ["down.example.org"] }), acme({ domains: ["new.example.org"] })), true);
      await one.issued(2);
    });

    test("leaves nothing behind when it is not wanted any more in the middle of the order", async () => {
      const one = instance();
      let asked = false;
      validated.falsify = (challenges) => {
        asked ||= Object.keys(challenges.http).length > 0;
        // Nobody is told anything, so that the order goes on for long.
        return { http: {}, alpn: {} };
      };
      await one.run(snapshotWith(acme({ domains: ["left.example.org"], challenge: "http-01" })));
      await until("a challenge", () => asked);
      await one.run(snapshotWith());
      expect(one.acme.status()).toEqual([]);
      validated.falsify = (challenges) => challenges;
      const other = instance();
      await other.run(snapshotWith(acme({ domains: ["left.example.org"] })));
      await other.issued();
      expect(one.log.filter(({ level }) => level === "error")).toEqual([]);
    });
  });
});

withPebble.describe("an ACME server with habits of its own", () => {
  test("renews short-lived certificates in time, each once", async () => {
    const pebble = await Pebble.start({ httpPort: validated.httpPort, tlsPort: validated.tlsPort, validity: 6 });
    try {
      const one = instance();
      await one.run(snapshotWith({ domains: ["short.example.org"], directory: pebble.url, ca: pebble.ca, storage: storage.path }));
      await one.issued();
      const first = new X509Certificate(readFileSync(one.certificates[0]!.file));
      await one.issued(2);
      const second = new X509Certificate(readFileSync(one.certificates[0]!.file));
      expect(second.serialNumber).not.toBe(first.serialNumber);
      expect(second.publicKey.equals(first.publicKey)).toBe(false);
      const age = Date.parse(second.validFrom) - Date.parse(first.validFrom);
      expect(age).toBeGreaterThanOrEqual(3_000);
      expect(age).toBeLessThanOrEqual(6_000);
      expect(pebble.orders).toBe(2);
    } finally {
      await pebble.stop();
    }
  });

  test("binds accounts to its own, and says so to those that are not", async () => {
    const hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    const pebble = await Pebble.start({ httpPort: validated.httpPort, tlsPort: validated.tlsPort, externalAccounts: { "kid-1": hmac } });
    try {
      const acme = { domains: ["bound.example.org"], directory: pebble.url, ca: pebble.ca, storage: storage.path };
      const one = instance();
      await one.run(snapshotWith(acme));
      expect((await one.failure(1))["reason"]).toContain("set eab_kid and eab_hmac_key");
      await one.run(snapshotWith({ ...acme, eab_kid: "kid-1", eab_hmac_key: hmac }), true);
      await one.issued();
    } finally {
      await pebble.stop();
    }
  });
});

describe("an ACME server that wants to be left alone", () => {
  let server: Bun.Server<undefined>;
  let directory: string;
  let ca: string;
  let asked = 0;
  let refuse: () => Response;

  beforeAll(async () => {
    const { certificate, key } = await placeholder(["localhost"], Date.now());
    ca = join(temporary.path, "ca.pem");
    writeFileSync(ca, certificate);
    server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert: certificate, key },
      fetch: ({ url, method }) => {
        const base = new URL(url).origin;
        if (url.endsWith("/directory")) return Response.json({ newNonce: `${base}/nonce`, newAccount: `${base}/account`, newOrder: `${base}/order` });
        if (method === "HEAD") return new Response(null, { headers: { "Replay-Nonce": "abc" } });
        asked++;
        return refuse();
      },
    });
    directory = `https://localhost:${server.port}/directory`;
  });
  afterAll(() => server.stop(true));

  const problem = (type: string, headers: Record<string, string>): Response =>
    new Response(JSON.stringify({ type: `urn:ietf:params:acme:error:${type}`, detail: "come back later" }), { status: 429, headers: { "Content-Type": "application/problem+json", "Replay-Nonce": "def", ...headers } });
  const waits = async (one: Instance): Promise<number> => (Date.parse(String((await one.failure(1))["nextAttempt"])) - Date.now()) / 1000;

  test("is, for as long as it says, also after a reload", async () => {
    refuse = () => problem("rateLimited", { "Retry-After": "7200" });
    const one = instance();
    const snapshot = snapshotWith({ domains: ["limited.example.org"], directory, ca, storage: storage.path });
    asked = 0;
    await one.run(snapshot);
    expect(await waits(one)).toBeWithin(7_190, 7_201);
    expect(one.status.lastError).toBe("a new account: rateLimited: come back later");
    await one.run(snapshot, true);
    expect(one.status.ordering).toBe(false);
    expect(asked).toBe(1);
  });

  test("is for an hour when it does not say for how long", async () => {
    refuse = () => problem("rateLimited", {});
    const one = instance();
    await one.run(snapshotWith({ domains: ["limited.example.org"], directory, ca, storage: storage.path }));
    expect(await waits(one)).toBeWithin(3_590, 3_601);
  });

  test("is asked with another nonce when it refuses one, and not without end", async () => {
    refuse = () => problem("badNonce", {});
    asked = 0;
    const one = instance();
    await one.run(snapshotWith({ domains: ["nonce.example.org"], directory, ca, storage: storage.path }));
    expect((await one.failure(1))["type"]).toBe("badNonce");
    expect(asked).toBe(10);
  });

  test("is believed when its certificate is that of ca only", async () => {
    const other = join(temporary.path, "other.pem");
    writeFileSync(other, (await placeholder(["localhost"], Date.now())).certificate);
    asked = 0;
    const one = instance();
    await one.run(snapshotWith({ domains: ["trust.example.org"], directory, ca: other, storage: storage.path }));
    expect((await one.failure(1))["reason"]).toMatch(/^localhost:\d+ cannot be asked: .*(certificate|SELF_SIGNED)/i);
    expect(asked).toBe(0);
  });
});

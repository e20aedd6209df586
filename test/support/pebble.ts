/** A real ACME server: Let's Encrypt's pebble (Debian package "pebble"), on loopback, with a name server of its own. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NameServer } from "./name-server.ts";
import { needs } from "./needs.ts";
import { freePort } from "./ports.ts";
import { until } from "./until.ts";

/** What a test with it needs. */
export const withPebble = needs("pebble", "openssl");

export interface PebbleOptions {
  /** Where it validates http-01 and tls-alpn-01. */
  readonly httpPort: number;
  readonly tlsPort: number;
  /** Of certificates, in seconds; default 90 days. */
  readonly validity?: number;
  /** Accounts must be bound with one of these: an identifier to a key in base64url. */
  readonly externalAccounts?: Readonly<Record<string, string>>;
  /** Percent of nonces that it refuses; default: pebble's own 5. */
  readonly refusedNonces?: number;
}

export class Pebble {
  readonly directory: string;
  /** File with what its own certificate is checked against. */
  readonly ca: string;
  readonly port: number;
  readonly lines: string[] = [];
  /** Whom it asks where a name leads before it validates it. */
  readonly names: NameServer;
  private readonly options: PebbleOptions;
  private readonly managementPort: number;
  private child: ChildProcess | undefined = undefined;

  private constructor(directory: string, options: PebbleOptions, names: NameServer, port: number, managementPort: number) {
    this.directory = directory;
    this.ca = join(directory, "ca.pem");
    this.options = options;
    this.port = port;
    this.managementPort = managementPort;
    this.names = names;
  }

  /** @param started false: everything is ready, and it is not started yet */
  static async start(options: PebbleOptions, started = true): Promise<Pebble> {
    const directory = mkdtempSync(join(tmpdir(), "fairlead-pebble-"));
    const pebble = new Pebble(directory, options, await NameServer.start(), await freePort(), await freePort());
    const openssl = (...args: readonly string[]): void => {
      const { status, stderr } = spawnSync("openssl", args, { cwd: directory, encoding: "utf8" });
      if (status !== 0) throw new Error(`openssl ${args.join(" ")}: ${stderr}`);
    };
    const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    openssl("req", "-x509", ...ec, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test directory CA");
    openssl("req", ...ec, "-keyout", "tls.key", "-out", "tls.csr", "-subj", "/CN=localhost");
    writeFileSync(join(directory, "san"), "subjectAltName=DNS:localhost,IP:127.0.0.1");
    openssl("x509", "-req", "-in", "tls.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san", "-out", "tls.pem");
    if (started) await pebble.run();
    return pebble;
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}/dir`;
  }

  async run(): Promise<void> {
    const { directory, options } = this;
    const config = {
      pebble: {
        listenAddress: `127.0.0.1:${this.port}`,
        managementListenAddress: `127.0.0.1:${this.managementPort}`,
        certificate: join(directory, "tls.pem"),
        privateKey: join(directory, "tls.key"),
        httpPort: options.httpPort,
        tlsPort: options.tlsPort,
        ocspResponderURL: "",
        externalAccountBindingRequired: options.externalAccounts !== undefined,
        externalAccountMACKeys: options.externalAccounts ?? {},
        certificateValidityPeriod: options.validity ?? 90 * 86_400,
      },
    };
    writeFileSync(join(directory, "pebble.json"), JSON.stringify(config));
    const refused = options.refusedNonces === undefined ? {} : { PEBBLE_WFE_NONCEREJECT: String(options.refusedNonces) };
    // A reused authorization would leave nothing to validate.
    const env = { ...process.env, PEBBLE_VA_NOSLEEP: "1", PEBBLE_AUTHZREUSE: "0", ...refused };
    const child = spawn("pebble", ["-config", join(directory, "pebble.json"), "-dnsserver", this.names.address], { env, stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => this.lines.push(...text.split("\n")));
    await until("pebble to answer", () =>
      fetch(this.url, { tls: { ca: readFileSync(this.ca, "utf8") } }).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
  }

  /** PEM of the authority that signs what it issues; another one each time it runs. */
  async root(): Promise<string> {
    const response = await fetch(`https://127.0.0.1:${this.managementPort}/roots/0`, { tls: { ca: readFileSync(this.ca, "utf8") } });
    return response.text();
  }

  /** How often its log has a line like this. */
  count(pattern: RegExp): number {
    return this.lines.filter((line) => pattern.test(line)).length;
  }

  get orders(): number {
    return this.count(/Added order/);
  }

  /** It does not answer any more, and forgets everything. */
  async halt(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }

  async stop(): Promise<void> {
    await this.halt();
    this.names.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

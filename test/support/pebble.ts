/** A real ACME server: Let's Encrypt's pebble (Debian package "pebble"), on loopback, with a name server that says 127.0.0.1 to everything. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./ports.ts";
import { until } from "./until.ts";

/** Undefined: it is there. Else why tests with it are skipped. */
export const NO_PEBBLE: string | undefined = ["pebble", "pebble-challtestsrv", "openssl"].map((program) => (Bun.which(program) === null ? `${program} is not installed` : undefined)).find((reason) => reason !== undefined);

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
  private readonly options: PebbleOptions;
  private readonly managementPort: number;
  private readonly dns: number;
  private children: ChildProcess[] = [];

  private constructor(directory: string, options: PebbleOptions, [port, managementPort, dns]: readonly [number, number, number]) {
    this.directory = directory;
    this.ca = join(directory, "ca.pem");
    this.options = options;
    this.port = port;
    this.managementPort = managementPort;
    this.dns = dns;
  }

  /** @param started false: everything is ready, and it is not started yet */
  static async start(options: PebbleOptions, started = true): Promise<Pebble> {
    const directory = mkdtempSync(join(tmpdir(), "fairlead-pebble-"));
    const pebble = new Pebble(directory, options, [await freePort(), await freePort(), await freePort()]);
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

  /** @param slow each validation begins after 0 to 3 s by chance */
  async run(slow = false): Promise<void> {
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
    const env = { ...process.env, ...(slow ? { PEBBLE_VA_SLEEPTIME: "4" } : { PEBBLE_VA_NOSLEEP: "1" }), PEBBLE_AUTHZREUSE: "0", ...refused };
    const names = `127.0.0.1:${this.dns}`;
    this.launch("pebble-challtestsrv", ["-dns01", names, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", `127.0.0.1:${await freePort()}`], env);
    this.launch("pebble", ["-config", join(directory, "pebble.json"), "-dnsserver", names], env);
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

  private launch(program: string, args: readonly string[], env: Readonly<Record<string, string | undefined>>): void {
    const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    this.children.push(child);
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", (text: string) => this.lines.push(...text.split("\n")));
  }

  /** It does not answer any more, and forgets everything. */
  async halt(): Promise<void> {
    await Promise.all(
      this.children.splice(0).map((child) => {
        const gone = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGKILL");
        return child.exitCode === null && child.signalCode === null ? gone : undefined;
      }),
    );
  }

  async stop(): Promise<void> {
    await this.halt();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

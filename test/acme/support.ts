/** ACME in one process: what workers do is done here, by one server for http-01 and one for tls-alpn-01. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { Acme, certificatesOf, makePlaceholders } from "../../src/acme/acme.ts";
import { type Challenges, NO_CHALLENGES } from "../../src/acme/challenges.ts";
import { placeholder } from "../../src/acme/x509.ts";
import type { AcmeStatus } from "../../src/acme/managed.ts";
import { loadConfigValue, SlotAllocator } from "../../src/config/load.ts";
import type { AcmeCertificateConfig, Snapshot } from "../../src/config/snapshot.ts";
import { bunNetwork } from "../../src/net/bun.ts";
import type { Log } from "../../src/observability/log.ts";
import { until } from "../support/until.ts";

/** @param acme tables [listeners.tls.acme], each of a listener of its own beside one that speaks http */
export function snapshotWith(...acme: readonly object[]): Snapshot {
  const listeners = [{ address: ":80", upstream: "u" }, ...acme.map((each, index) => ({ address: `:${443 + index}`, upstream: "u", tls: { acme: each } }))];
  const loaded = loadConfigValue({ listeners, upstreams: [{ name: "u", targets: [{ address: "127.0.0.1:1" }] }] }, undefined, "test", { slots: new SlotAllocator({ targets: 8, upstreams: 8 }), generation: 1 });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
  return loaded.snapshot;
}

/** What answers challenges; `falsify` makes something else of them. */
export class Validated {
  shown: Challenges = NO_CHALLENGES;
  /** How often something else was to be shown. */
  changes = 0;
  falsify: (challenges: Challenges) => Challenges = (challenges) => challenges;
  private readonly http: Bun.Server<undefined>;
  private readonly tls: Bun.TCPSocketListener<undefined>;

  constructor() {
    this.http = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: ({ url }) => {
        const answer = this.shown.http[new URL(url).pathname.replace("/.well-known/acme-challenge/", "")];
        return answer === undefined ? new Response("no such token", { status: 404 }) : new Response(answer);
      },
    });
    const choose = (_listener: unknown, name: string): unknown => {
      const answer = this.shown.alpn[name];
      return answer === undefined ? undefined : (createSecureContext({ cert: answer.certificate, key: answer.key }) as unknown as { context: unknown }).context;
    };
    const { key, certificate } = OTHER;
    const options = { hostname: "127.0.0.1", port: 0, tls: { key, cert: certificate, ALPNProtocols: Buffer.from("\x0aacme-tls/1") }, socket: { data() {}, serverName: choose } };
    this.tls = (Bun.listen as unknown as (options: object) => Bun.TCPSocketListener<undefined>)(options);
  }

  get httpPort(): number {
    return this.http.port!;
  }

  get tlsPort(): number {
    return this.tls.port;
  }

  show = async (challenges: Challenges): Promise<void> => {
    this.changes++;
    this.shown = this.falsify(challenges);
  };

  async stop(): Promise<void> {
    this.tls.stop(true);
    await this.http.stop(true);
  }
}

/** What is shown to who asks for a name that nobody validates. */
const OTHER = await placeholder(["other.invalid"], Date.now());

export interface Logged {
  readonly level: "info" | "error" | "debug" | "warn";
  readonly message: string;
  readonly [field: string]: unknown;
}

/** One instance's ACME with a log that can be read. */
export class Instance {
  readonly acme: Acme;
  readonly log: Logged[] = [];
  private snapshot: Snapshot | undefined = undefined;

  constructor(validated: Validated) {
    const { clock } = bunNetwork();
    const write =
      (level: Logged["level"]) =>
      (fields: object, message: string): void =>
        void this.log.push({ level, message, ...fields });
    const log = { level: "debug", debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") } as unknown as Log;
    this.acme = new Acme({ clock, random: Math.random, log, show: validated.show });
  }

  async run(snapshot: Snapshot, again = false): Promise<void> {
    this.snapshot = snapshot;
    await makePlaceholders(snapshot, Date.now());
    this.acme.apply(snapshot, again);
  }

  get certificates(): AcmeCertificateConfig[] {
    return certificatesOf(this.snapshot!);
  }

  get status(): AcmeStatus {
    return this.acme.status()[0]!;
  }

  /** Of the n-th attempt's failure. */
  failure(nth: number): Promise<Logged> {
    return until(`failure ${nth}`, () => this.log.filter(({ level }) => level === "error")[nth - 1], 15_000);
  }

  async issued(nth = 1): Promise<void> {
    await until(`certificate ${nth}`, () => this.log.filter(({ message }) => message === "Certificate issued").length >= nth, 15_000).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${JSON.stringify(this.log, undefined, 1)}`, { cause: error });
    });
  }
}

export function temporaryDirectory(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "fairlead-acme-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/**
 * The certificates that this instance gets by itself: each is kept up to date from the moment that the configuration names it until it does not any more.
 * What is served is always in a file: at first a placeholder, then what the CA has issued, the old one for as long as there is no new one.
 */
import type { AcmeCertificateConfig, Snapshot } from "../config/snapshot.ts";
import type { Clock } from "../net/network.ts";
import type { Log } from "../observability/log.ts";
import type { Chronicle } from "../observability/timeline.ts";
import { type Challenges, PendingChallenges } from "./challenges.ts";
import { type AcmeStatus, ManagedCertificate } from "./managed.ts";
import { makeCertificate, readCertificate } from "./store.ts";

export interface AcmeOptions {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log: Log;
  /** Absent: nobody asks afterwards what happened. */
  readonly chronicle?: Chronicle;
  /** Makes every worker show these; resolves when they do. */
  readonly show: (challenges: Challenges) => Promise<void>;
}

/** Each once, though several listeners may have it. */
export function certificatesOf({ listeners }: Snapshot): AcmeCertificateConfig[] {
  const byFile = new Map(listeners.flatMap(({ tls }) => (tls?.acme === undefined ? [] : [[tls.acme.file, tls.acme] as const])));
  return [...byFile.values()];
}

/**
 * There is something to serve for every name of this configuration.
 * @returns true: something was made that was not there
 * @throws Error that says why not
 */
export async function makePlaceholders(snapshot: Snapshot, wall: number): Promise<boolean> {
  let made = false;
  for (const { file, domains } of certificatesOf(snapshot)) {
    if (readCertificate(file) !== undefined) continue;
    const { placeholder } = await import("./x509.ts");
    try {
      makeCertificate(file, await placeholder(domains, wall));
    } catch (error) {
      throw new Error(`cannot keep the certificate of ${domains[0]!} in ${file}: ${(error as Error).message}`, { cause: error });
    }
    made = true;
  }
  return made;
}

export class Acme {
  private readonly options: AcmeOptions;
  private readonly pending: PendingChallenges;
  private managed = new Map<string, ManagedCertificate>();
  private readonly turns = new Map<string, Promise<unknown>>();

  constructor(options: AcmeOptions) {
    this.options = options;
    this.pending = new PendingChallenges(options.show);
  }

  /**
   * Workers serve this configuration: order what is due.
   * @param again also what has failed, whose next attempt would come later
   */
  apply(snapshot: Snapshot, again: boolean): void {
    const before = this.managed;
    this.managed = new Map();
    const fresh: ManagedCertificate[] = [];
    for (const config of certificatesOf(snapshot)) {
      const known = before.get(config.file);
      const same = known !== undefined && JSON.stringify(known.config) === JSON.stringify(config);
      const managed = same ? known : new ManagedCertificate(config, this.how);
      if (!same) fresh.push(managed);
      this.managed.set(config.file, managed);
    }
    for (const [file, managed] of before) if (this.managed.get(file) !== managed) managed.stop();
    for (const managed of this.managed.values()) {
      if (again || fresh.includes(managed)) managed.look(again);
    }
  }

  stop(): void {
    for (const managed of this.managed.values()) managed.stop();
  }

  status(): AcmeStatus[] {
    return [...this.managed.values()].map(({ status }) => status);
  }

  private get how(): ConstructorParameters<typeof ManagedCertificate>[1] {
    const { clock, random, log, chronicle } = this.options;
    return { clock, random, log, ...(chronicle === undefined ? {} : { chronicle }), pending: this.pending, inTurn: (what, work) => this.inTurn(what, work) };
  }

  private inTurn<T>(what: string, work: () => Promise<T>): Promise<T> {
    const done = (this.turns.get(what) ?? Promise.resolve()).then(work);
    this.turns.set(
      what,
      done.catch(() => {}),
    );
    return done;
  }
}

/** One certificate that is kept up to date: when it is ordered, what happens when that fails, and what there is to say of it. */
import { readFileSync } from "node:fs";
import type { AcmeCertificateConfig, AcmeChallenge, Milliseconds } from "../config/snapshot.ts";
import type { Clock } from "../net/network.ts";
import type { Log } from "../observability/log.ts";
import type { Chronicle } from "../observability/timeline.ts";
import type { PendingChallenges } from "./challenges.ts";
import { AcmeProblem } from "./problem.ts";
import { leastPause, LONGEST_PAUSE, type Refusal, renewalTime, retryDelay } from "./schedule.ts";
import { type Attempts, lock, readAccount, readAttempts, readCertificate, type Stored, writeAccount, writeAttempts, writeCertificate } from "./store.ts";

/** The longest sleep: clocks are set, machines are suspended, and another instance may have renewed the certificate. In ms. */
const LOOK_AGAIN = 3_600_000;
/** While another instance orders it, in ms. */
const LOCKED = 1_000;

const NO_ATTEMPTS: Attempts = { failures: 0, nextAttempt: 0, notBefore: 0, lastError: "" };

export interface ManagedOptions {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log: Log;
  /** Absent: nobody asks afterwards what happened. */
  readonly chronicle?: Chronicle;
  readonly pending: PendingChallenges;
  /** Works on one thing, named by `what`, one after another. */
  readonly inTurn: <T>(what: string, work: () => Promise<T>) => Promise<T>;
}

export interface AcmeStatus {
  readonly domains: readonly string[];
  readonly directory: string;
  /** What is served: a placeholder until the first certificate is there. */
  readonly state: "placeholder" | "valid" | "expired";
  /** One is being ordered now. */
  readonly ordering: boolean;
  /** ISO 8601; undefined: there is none yet. */
  readonly notAfter: string | undefined;
  /** When the next one is ordered, ISO 8601; undefined: now. */
  readonly nextAttempt: string | undefined;
  /** In a row. */
  readonly failures: number;
  /** Of the last attempt; undefined: it succeeded, or there was none. */
  readonly lastError: string | undefined;
}

export class ManagedCertificate {
  readonly config: AcmeCertificateConfig;
  private readonly options: ManagedOptions;
  private readonly stopped = new AbortController();
  /** The same for as long as we run, so that a look does not move the renewal. */
  private readonly jitter: number;
  private attempts: Attempts = NO_ATTEMPTS;
  private stored: Stored | undefined;
  private ordering = false;
  private nextAttempt = 0;
  private cancelTimer: () => void = () => {};

  constructor(config: AcmeCertificateConfig, options: ManagedOptions) {
    this.config = config;
    this.options = options;
    this.jitter = options.random();
    this.stored = readCertificate(config.file);
  }

  /**
   * Order what is due, now or when it will be.
   * @param hurried somebody has perhaps mended what made it fail: try again, unless the CA wants to be left alone
   */
  look(hurried = false): void {
    if (this.ordering || this.stopped.signal.aborted) return;
    const now = this.options.clock.wall();
    this.readState();
    this.nextAttempt = Math.max(this.due, hurried ? this.attempts.notBefore : this.attempts.nextAttempt);
    if (this.nextAttempt <= now) void this.attempt(hurried);
    else this.lookAfter(Math.min(this.nextAttempt - now, LOOK_AGAIN));
  }

  /** Of the disk, which another instance may share. */
  private readState(): void {
    this.stored = readCertificate(this.config.file);
    if (this.due > this.options.clock.wall()) this.attempts = NO_ATTEMPTS;
    else {
      const kept = readAttempts(this.config.file);
      // A pause that is longer than any comes from a clock that was wrong.
      const believed = kept !== undefined && kept.nextAttempt <= this.options.clock.wall() + LONGEST_PAUSE;
      if (believed && kept.nextAttempt > this.attempts.nextAttempt) this.attempts = kept;
    }
  }

  /** An order under way ends as it is. */
  stop(): void {
    this.cancelTimer();
    this.stopped.abort();
  }

  get status(): AcmeStatus {
    const { stored, attempts, ordering, nextAttempt } = this;
    const { domains, account } = this.config;
    const real = stored !== undefined && !stored.isPlaceholder;
    return {
      domains,
      directory: account.directory,
      state: !real ? "placeholder" : stored.notAfter > this.options.clock.wall() ? "valid" : "expired",
      ordering,
      notAfter: real ? new Date(stored.notAfter).toISOString() : undefined,
      nextAttempt: ordering ? undefined : new Date(nextAttempt).toISOString(),
      failures: attempts.failures,
      lastError: attempts.lastError === "" ? undefined : attempts.lastError,
    };
  }

  /** In ms since 1970. */
  private get due(): number {
    const { stored } = this;
    return stored === undefined || stored.isPlaceholder ? 0 : renewalTime(stored, this.config.renewBefore, this.jitter);
  }

  private lookAfter(delay: Milliseconds): void {
    this.cancelTimer();
    this.cancelTimer = this.options.clock.after(delay, () => this.look());
  }

  private async attempt(hurried: boolean): Promise<void> {
    this.cancelTimer();
    this.ordering = true;
    let locked = false;
    try {
      const unlock = lock(this.config.file);
      if (unlock === undefined) locked = true;
      else {
        try {
          await this.obtainIfDue(hurried);
        } finally {
          unlock();
        }
      }
    } catch (error) {
      if (!this.stopped.signal.aborted) this.failed(error as Error);
    }
    this.ordering = false;
    if (!locked) this.look();
    else if (!this.stopped.signal.aborted) this.lookAfter(LOCKED);
  }

  /** Another instance may just have had it, or failed with it. */
  private async obtainIfDue(hurried: boolean): Promise<void> {
    const now = this.options.clock.wall();
    this.readState();
    if (this.due <= now && (hurried || this.attempts.nextAttempt <= now)) await this.obtain();
  }

  private async obtain(): Promise<void> {
    const { config, options } = this;
    const { clock, log, pending } = options;
    const { account: accountConfig, domains, file } = config;
    const began = clock.wall();
    log.info({ domains, directory: accountConfig.directory }, "Ordering a certificate");
    // Loaded when they are needed: what makes and signs requests takes 16 MB, and an instance whose certificates are good for weeks does without it.
    const [{ AcmeClient, isForgotten }, { order }, { makeAccount }] = await Promise.all([import("./client.ts"), import("./order.ts"), import("./account.ts")]);
    const { signal } = this.stopped;
    const ca = accountConfig.ca === undefined ? undefined : readFileSync(accountConfig.ca, "utf8");
    const client = new AcmeClient({ account: accountConfig, ca, wall: () => clock.wall(), signal });
    const logIn = (forgotten?: string): Promise<string> =>
      options.inTurn(accountConfig.file, async () => {
        const known = readAccount(accountConfig.file, accountConfig.directory) ?? (await makeAccount(accountConfig));
        const account = await client.logIn(known.url === forgotten ? { ...known, url: "" } : known);
        writeAccount(accountConfig.file, account);
        return account.url;
      });
    const account = await logIn();
    const place = (): ReturnType<typeof order> => order({ client, certificate: config, challenges: this.challenges, pending, wall: () => clock.wall(), sleep: (delay) => this.sleep(delay) });
    const pair = await place().catch(async (error: unknown) => {
      if (!isForgotten(error)) throw error;
      // A server that has lost its accounts gets ours again.
      await logIn(account);
      return place();
    });
    writeCertificate(file, pair);
    this.attempts = NO_ATTEMPTS;
    this.keepAttempts();
    this.stored = readCertificate(file);
    options.chronicle?.record({ kind: "certificate-renewed", summary: `Certificate of ${domains.join(", ")} issued, good until ${this.status.notAfter ?? "?"}`, by: "acme" });
    log.info({ domains, notAfter: this.status.notAfter, milliseconds: Math.round(clock.wall() - began) }, "Certificate issued");
  }

  /** What failed is not the first thing that is tried the next time. */
  private get challenges(): AcmeChallenge[] {
    const { challenges } = this.config;
    const first = this.attempts.failures % challenges.length;
    return [...challenges.slice(first), ...challenges.slice(0, first)];
  }

  private sleep(delay: Milliseconds): Promise<void> {
    const { signal } = this.stopped;
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        cancel();
        reject(new Error("stopped"));
      };
      const cancel = this.options.clock.after(delay, () => {
        signal.removeEventListener("abort", stop);
        resolve();
      });
      if (signal.aborted) stop();
      else signal.addEventListener("abort", stop, { once: true });
    });
  }

  private failed(error: Error): void {
    const { clock, random, log } = this.options;
    const refusal: Refusal = error instanceof AcmeProblem ? error : { retryAfter: undefined, rateLimited: false };
    const now = clock.wall();
    const failures = this.attempts.failures + 1;
    this.attempts = { failures, nextAttempt: now + retryDelay(failures, refusal, random()), notBefore: now + leastPause(refusal), lastError: error.message };
    this.keepAttempts();
    const { domains, account } = this.config;
    const problem = error instanceof AcmeProblem ? { type: error.type, detail: error.detail } : {};
    const nextAttempt = new Date(this.attempts.nextAttempt).toISOString();
    this.options.chronicle?.record({ kind: "certificate-failed", summary: `Certificate of ${domains.join(", ")} not issued, tried again at ${nextAttempt}: ${error.message}`, by: "acme" });
    log.error({ domains, directory: account.directory, reason: error.message, ...problem, failures, nextAttempt, serves: this.status.state }, "Certificate not issued; trying again later");
  }

  /** For a restart, so that one in a loop is not an order in a loop. */
  private keepAttempts(): void {
    try {
      writeAttempts(this.config.file, this.attempts === NO_ATTEMPTS ? undefined : this.attempts);
    } catch (error) {
      this.options.log.error({ reason: (error as Error).message }, "How certificates were ordered cannot be kept");
    }
  }
}


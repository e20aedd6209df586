/** Looks after the certificates that are in use: says when their files changed, and day by day when one is about to expire. */
import { expiryWarnings } from "../config/warnings.ts";
import type { Loaded } from "../config/load.ts";
import type { Log } from "../observability/log.ts";
import { FileWatch } from "./watch.ts";

/** A chain and its key are two files, renewed one after the other, in ms. */
const SETTLE = 250;
/** Between two warnings of the same certificate, in ms. */
const DAY = 86_400_000;

export class CertificateWatch {
  private readonly log: Log;
  private readonly files: FileWatch;
  private readonly daily: Timer;
  private loaded: (Loaded & { readonly ok: true }) | undefined = undefined;

  /** @param changed called when a file did */
  constructor(log: Log, changed: () => void) {
    this.log = log;
    this.files = new FileWatch(changed, SETTLE);
    this.daily = setInterval(() => this.warn(), DAY);
    this.daily.unref();
  }

  /** These are in use from now on. */
  follow(loaded: Loaded & { readonly ok: true }): void {
    this.loaded = loaded;
    this.files.files(loaded.certificateFiles);
  }

  private warn(): void {
    if (this.loaded !== undefined) for (const warning of expiryWarnings(this.loaded.snapshot, Date.now())) this.log.warn(warning);
  }

  stop(): void {
    this.files.stop();
    clearInterval(this.daily);
  }
}

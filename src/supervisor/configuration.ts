/**
 * Which configuration runs, and what brings another one: a reload, one by the API, targets that joined, what people said, certificates renewed.
 * Each is compiled whole, and applied whole or not at all. How it is applied is the supervisor's business.
 */
import { makePlaceholders } from "../acme/acme.ts";
import { certificatesOf } from "../admin/certificates.ts";
import type { ConfigError, Configurable, ConfigReport, DiffReport } from "../admin/config.ts";
import type { ConfigState } from "../admin/overview.ts";
import { Problem } from "../admin/problem.ts";
import type { ReloadResult } from "../admin/status.ts";
import { type Diagnostic, diagnosticLine, type Loaded, type LoadOptions, SlotAllocator } from "../config/load.ts";
import type { Overrides as Laid } from "../config/overrides.ts";
import { effective, shown } from "../config/effective.ts";
import type { Snapshot } from "../config/snapshot.ts";
import type { Log } from "../observability/log.ts";
import type { Chronicle } from "../observability/timeline.ts";
import type { Scoreboard } from "../scoreboard/scoreboard.ts";
import { CAPACITY } from "./board.ts";
import { changesBetween, type Changes } from "./changes.ts";
import { ConfigFile, type Replaced } from "./config-file.ts";
import { ConfigError as BadConfig, StartError } from "./errors.ts";
import { tellApplied, tellMoved, tellRejected, tellRenewed, tellUnrenewed } from "./instance-events.ts";
import { machineSecret } from "./machine-secret.ts";
import type { JoinedTargets, Membership } from "./membership.ts";
import type { Overrides } from "./overrides.ts";
import type { PendingSlots } from "./pending-slots.ts";
import type { KeptConfig } from "./runtime-directory.ts";
import { keptSelfSigned } from "./self-signed-file.ts";
import { placeProblem } from "./state-file.ts";
import type { Turns } from "./turns.ts";

export type Applicable = Loaded & { readonly ok: true };

export interface ConfigSource {
  /** Reads the configuration anew each time it is called. @param text instead of what the file says */
  readonly load: (options: LoadOptions, text?: string) => Loaded;
  /** Path of the file; undefined: there is none. */
  readonly file?: string | undefined;
  /** This is what runs. @param persisted the file was replaced by us: that is no news */
  readonly applied?: (snapshot: Snapshot, persisted: boolean) => void;
}

export interface ConfigurationOptions {
  readonly source: ConfigSource;
  readonly first: Applicable;
  /** Where the first one came from when it is in no file. */
  readonly kept: KeptConfig | undefined;
  readonly slots: PendingSlots;
  readonly turns: Turns;
  readonly log: Log;
  readonly board: Scoreboard;
  readonly membership: Membership;
  /** Process ids. */
  readonly workers: () => readonly number[];
  /** Why nothing can be brought now; undefined: it can. */
  readonly closed: () => string | undefined;
  /** Run it from now on. @returns why that is not possible; undefined: it is run */
  readonly adopt: (loaded: Applicable) => Promise<string | undefined>;
  /** How much is logged, and where, goes by it … */
  readonly logged: (snapshot: Snapshot) => void;
  /** … and what else goes by a configuration that people brought. */
  readonly applied: (snapshot: Snapshot) => void;
  readonly isInPlace: (snapshot: Snapshot) => boolean;
  /** Its policies' files do not load. */
  readonly policyProblem: (snapshot: Snapshot) => Promise<string | undefined>;
  /** A reload begins and ends. */
  readonly announce: (what: "reloading" | "ready") => void;
  /** For a supervisor that comes after this one. */
  readonly keep: (config: KeptConfig | undefined) => void;
  readonly chronicle: Chronicle;
}

interface Candidate {
  readonly by: string;
  /** Undefined: what the file says. */
  readonly text?: string;
  readonly persist?: boolean;
}

type Outcome = { readonly ok: true; readonly diff: DiffReport } | { readonly ok: false; readonly errors: readonly ConfigError[]; readonly lines: readonly string[] };

/** What every configuration of ours is made with. */
export const MAKING = { secret: machineSecret, selfSigned: keptSelfSigned };

export class Configuration implements Configurable {
  /** What runs. */
  loaded: Applicable;
  lastReload: ReloadResult | undefined = undefined;
  private readonly options: ConfigurationOptions;
  private readonly overrides: Overrides;
  private readonly file: ConfigFile | undefined;
  private applied: ConfigReport["applied"];
  private rejected: ConfigReport["rejected"] = null;
  private source: ConfigReport["source"];
  /** A reload that has not begun yet. */
  private nextReload: Promise<Outcome> | undefined = undefined;

  constructor(options: ConfigurationOptions, overrides: Overrides) {
    const { first, source, kept } = options;
    this.options = options;
    this.overrides = overrides;
    this.loaded = first;
    this.file = source.file === undefined ? undefined : new ConfigFile(source.file);
    this.source = kept === undefined ? "file" : "api";
    this.applied = { generation: first.snapshot.generation, at: kept?.at ?? new Date().toISOString(), by: kept?.by ?? "start", summary: "started" };
  }

  get snapshot(): Snapshot {
    return this.loaded.snapshot;
  }

  /** What runs, if it is in no file. */
  get kept(): KeptConfig | undefined {
    return this.source === "api" ? { text: this.loaded.text!, at: this.applied.at, by: this.applied.by } : undefined;
  }

  // What is told of it.

  get etag(): string {
    return `"${this.applied.generation}-${Bun.hash(this.loaded.text ?? "").toString(36)}"`;
  }

  report(): ConfigReport {
    return { generation: this.snapshot.generation, source: this.source, file: this.file?.state(this.loaded.text) ?? null, applied: this.applied, rejected: this.rejected };
  }

  /** The same in short. */
  get state(): ConfigState {
    const { applied: { generation, at }, lastReload } = this;
    return { applied: { generation, at }, rejected: lastReload === undefined || lastReload.applied ? null : { at: lastReload.at, errors: [...lastReload.errors] } };
  }

  shown(): unknown {
    return shown(effective(this.loaded.value, this.overrides.laid));
  }

  async preview(text: string | undefined, load: boolean, ifMatch?: string): Promise<DiffReport> {
    this.refuseUnless(ifMatch);
    // With rows of its own: a configuration may be applied in the meantime.
    const read = this.options.source.load({ slots: new SlotAllocator(CAPACITY), generation: this.snapshot.generation + 1 }, text);
    if (!read.ok) throw invalid(read.diagnostics);
    const problem = (load ? await this.options.policyProblem(read.snapshot) : undefined) ?? stateFileProblem(read.snapshot);
    if (problem !== undefined) throw invalid([{ message: problem }]);
    return this.changes(read, this.overrides.laid).report;
  }

  private changes(loaded: Applicable, laid: Laid): Changes {
    return changesBetween(this.loaded, this.overrides.laid, loaded, laid, this.options.board, this.options.isInPlace(loaded.snapshot));
  }

  // What brings another one.

  async reload(by: string): Promise<DiffReport> {
    const outcome = await this.reloadFile(by);
    if (!outcome.ok) throw rejection(outcome.errors);
    return outcome.diff;
  }

  /** Read the file again and run it; a bad one changes nothing. */
  reloadFile(by: string): Promise<Outcome> {
    // One that waits its turn will read what there is by then: a second one would read the same.
    this.nextReload ??= this.options.turns.take(() => {
      this.nextReload = undefined;
      return this.bring({ by });
    });
    return this.nextReload;
  }

  put(text: string, { by, persist, ifMatch }: { readonly by: string; readonly persist: boolean; readonly ifMatch: string | undefined }): Promise<DiffReport> {
    return this.options.turns.take(async () => {
      this.refuseUnless(ifMatch);
      const outcome = await this.bring({ text, by, persist });
      if (!outcome.ok) throw rejection(outcome.errors);
      return outcome.diff;
    });
  }

  /** @throws Problem 412 when another one than that runs */
  private refuseUnless(ifMatch: string | undefined): void {
    const { etag, applied } = this;
    if (ifMatch !== undefined && !matches(ifMatch, etag)) throw new Problem(412, `another configuration has been applied since: it is ${etag} now, by ${applied.by} at ${applied.at}`, {}, { ETag: etag });
  }

  private async bring(candidate: Candidate): Promise<Outcome> {
    const closed = this.options.closed();
    if (closed !== undefined) throw new Problem(503, closed);
    this.options.announce("reloading");
    const outcome = await this.apply(candidate).catch((error: Error) => error);
    this.options.announce("ready");
    if (outcome instanceof Error) throw outcome;
    const at = new Date().toISOString();
    this.lastReload = { applied: outcome.ok, at, errors: outcome.ok ? [] : outcome.lines };
    if (!outcome.ok) {
      this.rejected = { at, by: candidate.by, source: candidate.text === undefined ? "file" : "api", errors: [...outcome.errors] };
      this.options.log.error({ errors: outcome.errors.length, generation: this.snapshot.generation, by: candidate.by, ...(outcome.errors.length === 1 ? { reason: outcome.lines[0] } : {}) }, "Reload rejected; nothing has changed");
      tellRejected(this.options.chronicle, this.snapshot, outcome.lines, asTold(candidate.by));
    }
    return outcome;
  }

  private async apply({ by, text, persist }: Candidate): Promise<Outcome> {
    const { source, membership, log } = this.options;
    const began = performance.now();
    const joined = membership.joined();
    const how = this.how(joined);
    const read = source.load(how, text);
    if (!read.ok) {
      // Their lines are not the file's.
      const diagnostics = text === undefined ? read.diagnostics : read.diagnostics.map((diagnostic) => ({ ...diagnostic, file: SENT }));
      for (const diagnostic of diagnostics) log.error({ ...diagnostic.place }, diagnosticLine(diagnostic));
      return { ok: false, errors: diagnostics.map(errorOf), lines: diagnostics.map(diagnosticLine) };
    }
    for (const warning of read.warnings) log.warn(warning);
    const failed = (message: string): Outcome => ({ ok: false, errors: [errorOf({ message })], lines: [message] });
    const misplaced = stateFileProblem(read.snapshot);
    if (misplaced !== undefined) return failed(misplaced);
    let replaced: Replaced | undefined;
    try {
      const base = await withPlaceholders(read, how);
      const { loaded, laid, applied } = this.overrides.lay(base, (overrides) => base.again({ ...how, overrides }));
      const changes = this.changes(loaded, laid);
      const before = this.snapshot;
      if (persist === true) replaced = this.replaceFile(text!);
      const reason = await this.options.adopt(loaded);
      if (reason !== undefined) return failed(reason);
      const took = performance.now() - began;
      const put = replaced;
      replaced = undefined;
      put?.keep();
      const persisted = put !== undefined;
      membership.hasApplied(joined);
      applied();
      source.applied?.(loaded.snapshot, persisted);
      tellApplied(this.options.chronicle, before, loaded.snapshot, asTold(by));
      if (this.source === "api" && text === undefined) log.warn({ before: this.applied }, "A configuration that came by the API is replaced by what the file says");
      this.hasApplied(loaded, by, text !== undefined && !persisted ? "api" : "file", changes, took);
      return { ok: true, diff: changes.report };
    } catch (error) {
      // What is wrong with it, not with us.
      if (error instanceof StartError || error instanceof BadConfig) return failed(error.message);
      throw error;
    } finally {
      replaced?.takeBack();
    }
  }

  private replaceFile(text: string): Replaced {
    if (this.file === undefined) throw new Problem(409, "this instance was started without a file: leave persist out");
    try {
      return this.file.replace(text);
    } catch (error) {
      throw new Problem(409, `it cannot be written to ${this.file.path}, and so was not applied: ${(error as Error).message}`);
    }
  }

  /** @param took until all workers ran it, in ms */
  private hasApplied({ snapshot }: Applicable, by: string, source: ConfigReport["source"], { summary, words }: Changes, took: number): void {
    const { log, keep, applied, logged, workers } = this.options;
    this.source = source;
    this.applied = { generation: snapshot.generation, at: new Date().toISOString(), by, summary };
    this.rejected = null;
    keep(this.kept);
    this.overrides.keepIn(snapshot.admin?.stateFile);
    logged(snapshot);
    log.info({ generation: snapshot.generation, milliseconds: Math.round(took), workers: workers(), by, source, changes: summary }, source === "api" ? "Configuration applied; it is in no file, and ends with the next reload" : "Reload applied");
    for (const word of words.slice(0, MOST_WORDS)) log.debug(word);
    applied(snapshot);
  }

  private how(joined: JoinedTargets): LoadOptions {
    return { ...MAKING, slots: this.options.slots, generation: this.snapshot.generation + 1, joined };
  }

  /** The same, with what people said. */
  private fullHow(joined: JoinedTargets): LoadOptions {
    return { ...this.how(joined), overrides: this.overrides.laid };
  }

  /** What runs, with these over it. */
  compile(overrides: Laid): Loaded {
    return this.loaded.again({ ...this.how(this.options.membership.joined()), overrides });
  }

  /** The files of certificates have changed: workers get what is in them now, and their connections go on. */
  async renewCertificates(): Promise<void> {
    const { membership, log, chronicle, closed } = this.options;
    if (closed() !== undefined) return;
    const joined = membership.joined();
    const loaded = this.loaded.again({ ...this.fullHow(joined), renewCertificates: true });
    const reasons = loaded.ok ? loaded.unrenewed : loaded.diagnostics.map(diagnosticLine);
    for (const reason of reasons) log.error({ reason }, "A certificate cannot be renewed; the one before serves on");
    tellUnrenewed(chronicle, reasons);
    if (!loaded.ok || sameCertificates(loaded.snapshot, this.snapshot)) return;
    const reason = await this.options.adopt(loaded);
    if (reason !== undefined) {
      log.error({ reason }, "Certificates cannot be renewed; those before serve on");
      return;
    }
    membership.hasApplied(joined);
    for (const warning of loaded.warnings) log.warn(warning);
    const certificates = certificatesOf(this.snapshot, Date.now());
    tellRenewed(chronicle, certificates);
    log.info({ generation: this.snapshot.generation, certificates }, "Certificates renewed");
  }

  /** Targets have joined or left, or something was said of one. */
  async rejoin(): Promise<void> {
    const { membership, log, chronicle, closed } = this.options;
    if (closed() !== undefined) return;
    membership.save();
    const before = this.snapshot;
    const loaded = this.withJoined();
    if (loaded === undefined) return;
    const reason = await this.options.adopt(loaded);
    if (reason === undefined) {
      tellMoved(chronicle, before, this.snapshot);
      log.debug({ generation: this.snapshot.generation }, "Targets have joined or left");
      return;
    }
    log.error({ reason }, "Targets that joined or left cannot be applied; trying again");
    membership.hasFailed();
  }

  /** The configuration with those that have joined by now; undefined: it would be the same, or cannot be. */
  withJoined(): Applicable | undefined {
    const joined = this.options.membership.toApply();
    if (joined === undefined) return undefined;
    const loaded = this.loaded.again(this.fullHow(joined));
    if (loaded.ok) return loaded;
    this.options.log.error({ reason: loaded.diagnostics.map(diagnosticLine).join("; ") }, "Targets that joined cannot be applied");
    return undefined;
  }

  /** What people had said before this process began. Undefined: nothing. */
  withSaid(): Applicable | undefined {
    const how = this.how(this.options.membership.joined());
    const { loaded, applied } = this.overrides.lay(this.loaded, (overrides) => this.loaded.again({ ...how, overrides }));
    const before = this.loaded;
    this.loaded = loaded;
    applied();
    return loaded === before ? undefined : loaded;
  }
}

/** What people do by signals and files the timeline knows as the configuration's doing. */
function asTold(by: string): string {
  return by.startsWith("api:") ? by : "config";
}

/** What a configuration by the API is called, where the file has its name. */
const SENT = "what was sent";

/** Of a reload's changes the log has so many, at debug. */
const MOST_WORDS = 100;

function stateFileProblem({ admin }: Snapshot): string | undefined {
  return admin?.stateFile === undefined ? undefined : placeProblem(admin.stateFile);
}

/** @throws StartError when it is no place for one */
export function checkStateFile(snapshot: Snapshot): void {
  const problem = stateFileProblem(snapshot);
  if (problem !== undefined) throw new StartError(problem);
}

function errorOf({ message, place, hint }: Partial<Diagnostic> & { readonly message: string }): ConfigError {
  return { message, line: place?.line ?? null, column: place?.column ?? null, hint: hint ?? null };
}

function invalid(diagnostics: readonly (Partial<Diagnostic> & { readonly message: string })[]): Problem {
  return rejection(diagnostics.map(errorOf));
}

function rejection(errors: readonly ConfigError[]): Problem {
  const [first] = errors;
  return new Problem(422, errors.length === 1 ? first!.message : `${errors.length} errors; the first: ${first?.message ?? ""}`, { errors });
}

/** If-Match (RFC 9110 section 13.1.1). */
function matches(ifMatch: string, etag: string): boolean {
  return ifMatch.split(",").some((each) => each.trim() === "*" || each.trim() === etag);
}

/** With something to show on every listener that gets its certificate by itself. @throws StartError when that cannot be kept */
export async function withPlaceholders(loaded: Applicable, how: LoadOptions): Promise<Applicable> {
  try {
    if (!(await makePlaceholders(loaded.snapshot, Date.now()))) return loaded;
  } catch (error) {
    throw new StartError((error as Error).message);
  }
  const again = loaded.again({ ...how, renewCertificates: true });
  if (!again.ok) throw new BadConfig(again.diagnostics);
  return again;
}

function sameCertificates(a: Snapshot, b: Snapshot): boolean {
  const shown = ({ listeners, upstreams }: Snapshot): string => JSON.stringify([listeners.map(({ tls }) => tls ?? null), upstreams.map(({ tls }) => tls ?? null)]);
  return shown(a) === shown(b);
}

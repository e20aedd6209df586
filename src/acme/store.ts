/**
 * What is kept of ACME on disk, for this user only: accounts, certificates with their keys, and how attempts have gone.
 *
 * A certificate and its key are one file, so that no reader ever sees one of them without the other's match; every file is written whole and renamed into
 * place. A lock a certificate keeps two instances from ordering it both; the system lets go of it when its holder dies.
 */
import { X509Certificate } from "node:crypto";
import { closeSync, linkSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { JWK } from "jose";
import { PLACEHOLDER } from "../config/acme-certificates.ts";
import { tryLock } from "../net/file-lock.ts";
import type { Validity } from "./schedule.ts";

export interface Account {
  /** Where it is an account. */
  readonly directory: string;
  readonly key: JWK;
  /** "": the server does not have it yet. */
  readonly url: string;
  /** Contact as the server has it. */
  readonly email: string;
}

/** How attempts at one certificate have gone since the last one that succeeded. */
export interface Attempts {
  readonly failures: number;
  /** In ms since 1970. */
  readonly nextAttempt: number;
  /** Before this the CA wants no other, whatever happens here; in ms since 1970. */
  readonly notBefore: number;
  readonly lastError: string;
}

export interface Stored extends Validity {
  readonly isPlaceholder: boolean;
}

/** Undefined: there is none, or what is there is none that can be served. */
export function readCertificate(file: string): Stored | undefined {
  try {
    const pem = readFileSync(file, "utf8");
    const certificate = new X509Certificate(pem);
    if (!pem.includes("PRIVATE KEY-----")) return undefined;
    return { notBefore: Date.parse(certificate.validFrom), notAfter: Date.parse(certificate.validTo), isPlaceholder: certificate.subject === PLACEHOLDER };
  } catch {
    return undefined;
  }
}

/** Where there is none that can be served; somebody else's of the same moment stays. @throws the system's error when the disk does not take it */
export function makeCertificate(file: string, pair: { readonly certificate: string; readonly key: string }): void {
  makeDirectory(dirname(file));
  if (readCertificate(file) === undefined) rmSync(file, { force: true });
  const draft = writeDraft(file, pemOf(pair));
  try {
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** @param pair PEM @throws the system's error when the disk does not take it */
export function writeCertificate(file: string, pair: { readonly certificate: string; readonly key: string }): void {
  writeWhole(file, pemOf(pair));
}

function pemOf({ certificate, key }: { readonly certificate: string; readonly key: string }): string {
  return `${certificate.trimEnd()}\n${key}`;
}

export function readAccount(file: string, directory: string): Account | undefined {
  const account = readJson(file) as Account | undefined;
  return account?.directory === directory ? account : undefined;
}

/** The first one's: two that start at the same time agree. @returns the one that is kept */
export function keepAccount(file: string, account: Account): Account {
  makeDirectory(dirname(file));
  const draft = writeDraft(file, JSON.stringify(account));
  try {
    linkSync(draft, file);
    return account;
  } catch {
    const theirs = readAccount(file, account.directory);
    if (theirs !== undefined) return theirs;
    // What lies there is none of this server's.
    renameSync(draft, file);
    return account;
  } finally {
    rmSync(draft, { force: true });
  }
}

export function writeAccount(file: string, account: Account): void {
  writeWhole(file, JSON.stringify(account));
}

export function readAttempts(certificate: string): Attempts | undefined {
  const attempts = readJson(`${certificate}.attempts`) as Attempts | undefined;
  return [attempts?.failures, attempts?.nextAttempt, attempts?.notBefore].every((each) => typeof each === "number") ? attempts : undefined;
}

/** @param attempts undefined: the last one succeeded */
export function writeAttempts(certificate: string, attempts: Attempts | undefined): void {
  const file = `${certificate}.attempts`;
  if (attempts === undefined) rmSync(file, { force: true });
  else writeWhole(file, JSON.stringify(attempts));
}

/** Undefined: somebody else has it. Else what lets go of it. */
export function lock(file: string): (() => void) | undefined {
  makeDirectory(dirname(file));
  const descriptor = openSync(`${file}.lock`, "a", 0o600);
  if (tryLock(descriptor, "exclusive")) return () => closeSync(descriptor);
  closeSync(descriptor);
  return undefined;
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

function makeDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
}

function writeWhole(file: string, text: string): void {
  makeDirectory(dirname(file));
  renameSync(writeDraft(file, text), file);
}

function writeDraft(file: string, text: string): string {
  const draft = join(dirname(file), `.${basename(file)}.${process.pid}`);
  writeFileSync(draft, text, { mode: 0o600, flush: true });
  return draft;
}

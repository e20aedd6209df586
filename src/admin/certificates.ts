/** What listeners show to their clients, and for how long it is good. */
import type { Snapshot } from "../config/snapshot.ts";

export interface CertificateStatus {
  readonly listener: string;
  readonly names: readonly string[];
  /** ISO 8601. */
  readonly notAfter: string;
  /** Whole days; negative: it has expired. */
  readonly daysLeft: number;
  readonly file: string;
}

const DAY = 86_400_000;

/** @param now wall-clock ms */
export function certificatesOf({ listeners }: Snapshot, now: number): CertificateStatus[] {
  return listeners.flatMap(({ name, tls }) => (tls?.certificates ?? []).map(({ names, notAfter, file }) => ({ listener: name, names, notAfter: new Date(notAfter).toISOString(), daysLeft: Math.floor((notAfter - now) / DAY), file })));
}

/** How this instance is, in short: `GET /health` and `/ready` for those who ask many, and `GET /v1/status` for people. */
import { z } from "zod";
import type { AcmeStatus } from "../acme/managed.ts";
import type { TargetStatus } from "../health/checker.ts";
import type { EjectionStatus } from "../health/ejection.ts";
import type { RotationStatus } from "../health/rotation.ts";
import type { InstanceStatus as SupervisedStatus } from "../supervised/supervised.ts";
import type { CertificateStatus } from "./certificates.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import type { Traffic } from "./traffic.ts";
import { jsonResponse } from "./json.ts";

export interface InstanceStatus {
  readonly generation: number;
  readonly draining: boolean;
  /** Process ids. */
  readonly workers: readonly number[];
  readonly targets: readonly (TargetStatus & RotationStatus)[];
  /** Upstreams of which too few targets are healthy, so that all are used. */
  readonly panicking: readonly string[];
  readonly ejections: readonly EjectionStatus[];
  readonly supervised: readonly SupervisedStatus[];
  readonly traffic: readonly Traffic[];
  readonly certificates: readonly CertificateStatus[];
  readonly acme: readonly AcmeStatus[];
  /** Undefined: there was none. */
  readonly lastReload: ReloadResult | undefined;
}

/** How the last reload went. */
export interface ReloadResult {
  readonly applied: boolean;
  /** ISO 8601. */
  readonly at: string;
  /** Why it was rejected. */
  readonly errors: readonly string[];
}

/** What those are told who ask many times a second. */
export interface Readiness {
  readonly draining: boolean;
  readonly generation: number;
  /** Workers that serve, and how many there should be. */
  readonly serving: number;
  readonly wanted: number;
}

const health = z.object({ status: z.enum(["ok", "draining"]), generation: z.int() }).meta({ id: "Health" });
const ready = z
  .object({ status: z.enum(["ok", "draining", "not-serving"]), generation: z.int(), workers: z.object({ serving: z.int(), wanted: z.int() }), reason: z.string().optional().describe("Why it is not ready") })
  .meta({ id: "Ready" });
const everything = z.looseObject({ status: z.enum(["ok", "draining"]), generation: z.int(), pid: z.int(), workers: z.array(z.int()), panicking: z.array(z.string()), upstreams: z.record(z.string(), z.array(z.looseObject({ target: z.string(), up: z.boolean(), state: z.string() }))) }).meta({ id: "Status" });

export function statusEndpoints(status: () => InstanceStatus, readiness: () => Readiness): Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/health",
      summary: "Is this instance alive, and not about to stop?",
      access: "open",
      answers: { 200: { description: "It is.", schema: health }, 503: { description: "It drains.", schema: health } },
      handle: () => {
        const { draining, generation } = readiness();
        return jsonResponse({ status: draining ? "draining" : "ok", generation }, { status: draining ? 503 : 200 });
      },
    }),
    endpoint({
      method: "GET",
      path: "/ready",
      summary: "Does this instance serve clients?",
      access: "open",
      answers: { 200: { description: "At least one worker does.", schema: ready }, 503: { description: "No worker does, or the instance drains.", schema: ready } },
      handle: () => readyAnswer(readiness()),
    }),
    endpoint({ method: "GET", path: "/v1/status", summary: "How this instance is, and whom it thinks healthy.", access: "read", answers: { 200: { description: "All of it.", schema: everything } }, handle: () => told(status()) }),
  ];
}

function readyAnswer({ draining, generation, serving, wanted }: Readiness): Response {
  const workers = { serving, wanted };
  if (draining) return jsonResponse({ status: "draining", generation, workers, reason: "the instance stops: what is open may end, and nobody new is served" }, { status: 503 });
  if (serving === 0) return jsonResponse({ status: "not-serving", generation, workers, reason: `none of ${wanted} workers serves: they start, or cannot; the service log says why` }, { status: 503 });
  return jsonResponse({ status: "ok", generation, workers });
}

function told(status: InstanceStatus): object {
  const { generation, draining, workers, targets, panicking, ejections, supervised, traffic, certificates, acme, lastReload } = status;
  const upstreams: Record<string, object[]> = {};
  for (const { upstream, name, slot, up, state: rotation, share, check, since, lastResult } of targets) {
    const ejected = ejections.find((ejection) => ejection.slot === slot);
    (upstreams[upstream] ??= []).push({
      target: name,
      up,
      state: rotation,
      share,
      check,
      since: new Date(since).toISOString(),
      ...(lastResult === undefined ? {} : { lastResult }),
      ...(ejected === undefined ? {} : { ejected: { detector: ejected.detector, until: new Date(ejected.until).toISOString(), times: ejected.times } }),
    });
  }
  return { status: draining ? "draining" : "ok", generation, pid: process.pid, workers, lastReload, panicking, upstreams, supervised, traffic, certificates: certificates.map(({ notAfter, daysLeft, ...rest }) => ({ ...rest, not_after: notAfter, days_left: daysLeft })), acme: acme.map(({ notAfter, nextAttempt, lastError, ...rest }) => ({ ...rest, not_after: notAfter, next_attempt: nextAttempt, last_error: lastError })) };
}

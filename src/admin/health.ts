/** The admin address: `GET /health` and `GET /v1/status` say how this instance is and whom it thinks healthy; targets.ts changes things. */
import { chmodSync, rmSync } from "node:fs";
import type { AcmeStatus } from "../acme/managed.ts";
import type { Address } from "../config/snapshot.ts";
import { formatAddress } from "../config/values.ts";
import type { TargetStatus } from "../health/checker.ts";
import type { EjectionStatus } from "../health/ejection.ts";
import type { RotationStatus } from "../health/rotation.ts";
import { removeStaleSocket } from "../net/stale-socket.ts";
import type { Log } from "../observability/log.ts";
import type { InstanceStatus as SupervisedStatus } from "../supervised/supervised.ts";
import type { CertificateStatus } from "./certificates.ts";
import type { Traffic } from "./traffic.ts";

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

/** Between two attempts to open an address that another process has still, and how long they go on, in ms. */
const RETRY_INTERVAL = 100;
const PATIENCE = 60_000;

/** Nothing that is told here is longer. */
const MAX_BODY = 64 * 1024;

export class AdminError extends Error {
  readonly code = "FAIRLEAD_ADMIN";
}

export class HealthEndpoint {
  private readonly log: Log;
  private readonly status: () => InstanceStatus;
  private readonly change: (request: Request, path: string) => Promise<Response | undefined>;
  private server: Bun.Server<undefined> | undefined = undefined;
  /** Of what is open. */
  private address = JSON.stringify("");
  /** Of a unix socket that is open: its name is ours to remove. */
  private path: string | undefined = undefined;
  private retry: Timer | undefined = undefined;

  /** @param change answers what changes something; undefined: it is nothing of that kind */
  constructor(log: Log, status: () => InstanceStatus, change: (request: Request, path: string) => Promise<Response | undefined>) {
    this.log = log;
    this.status = status;
    this.change = change;
  }

  /** Listen here from now on; undefined: nowhere. @throws AdminError that says why not; then all is as before */
  async open(address: Address | undefined): Promise<void> {
    const key = JSON.stringify(address ?? "");
    clearTimeout(this.retry);
    if (key === this.address) return;
    const server = address === undefined ? undefined : await this.listen(address);
    this.stop();
    this.server = server;
    this.address = key;
    this.path = address?.kind === "unix" ? address.path : undefined;
  }

  private async listen(address: Address): Promise<Bun.Server<undefined>> {
    const fetch = async (request: Request): Promise<Response> => {
      const path = new URL(request.url).pathname;
      return (await this.change(request, path)) ?? this.answer(path, request.method);
    };
    const maxRequestBodySize = MAX_BODY;
    const failed = (why: string): AdminError => new AdminError(`cannot open the admin address ${formatAddress(address)}: ${why}`);
    const occupied = address.kind === "unix" ? await removeStaleSocket(address.path) : undefined;
    if (occupied !== undefined) throw failed(occupied);
    try {
      const server = address.kind === "unix" ? Bun.serve({ unix: address.path, maxRequestBodySize, fetch }) : Bun.serve({ hostname: address.host, port: address.port, maxRequestBodySize, fetch });
      // Who may connect may look inside: the user and nobody else.
      if (address.kind === "unix") chmodSync(address.path, 0o600);
      this.log.info({ admin: formatAddress(address.kind === "unix" ? address : { ...address, port: server.port ?? address.port }) }, "Admin address open");
      return server;
    } catch (error) {
      throw failed((error as NodeJS.ErrnoException).code === "EADDRINUSE" ? "it is taken by another program" : (error as Error).message);
    }
  }

  /** The same for one who waits for another to let go of the address. */
  openWhenFree(address: Address | undefined, patience = PATIENCE): void {
    this.open(address).catch((error: unknown) => {
      if (patience > 0) this.retry = setTimeout(() => this.openWhenFree(address, patience - RETRY_INTERVAL), RETRY_INTERVAL);
      else this.log.error({ reason: (error as Error).message }, "No admin address; traffic is served all the same");
    });
  }

  stop(): void {
    clearTimeout(this.retry);
    void this.server?.stop(true);
    if (this.path !== undefined) rmSync(this.path, { force: true });
    this.server = undefined;
    this.path = undefined;
    this.address = JSON.stringify("");
  }

  private answer(path: string, method: string): Response {
    if (path !== "/health" && path !== "/v1/status") return Response.json({ error: "not found", known: ["/health", "/v1/status"] }, { status: 404 });
    if (method !== "GET" && method !== "HEAD") return Response.json({ error: "method not allowed" }, { status: 405, headers: { Allow: "GET, HEAD" } });
    const { generation, draining, workers, targets, panicking, ejections, supervised, traffic, certificates, acme, lastReload } = this.status();
    const state = draining ? "draining" : "ok";
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
    return Response.json({ status: state, generation, pid: process.pid, workers, lastReload, panicking, upstreams, supervised, traffic, certificates: certificates.map(({ notAfter, daysLeft, ...rest }) => ({ ...rest, not_after: notAfter, days_left: daysLeft })), acme: acme.map(({ notAfter, nextAttempt, lastError, ...rest }) => ({ ...rest, not_after: notAfter, next_attempt: nextAttempt, last_error: lastError })) }, { status: path === "/health" && draining ? 503 : 200 });
  }
}

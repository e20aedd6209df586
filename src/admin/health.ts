/** `GET /health` and `GET /v1/status` on the admin address: is this instance alive, and whom does it think healthy. */
import type { Address } from "../config/snapshot.ts";
import { formatAddress } from "../config/values.ts";
import type { TargetStatus } from "../health/checker.ts";
import type { Log } from "../observability/log.ts";

export interface InstanceStatus {
  readonly generation: number;
  readonly draining: boolean;
  /** Process ids. */
  readonly workers: readonly number[];
  readonly targets: readonly TargetStatus[];
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

export class AdminError extends Error {
  readonly code = "FAIRLEAD_ADMIN";
}

export class HealthEndpoint {
  private readonly log: Log;
  private readonly status: () => InstanceStatus;
  private server: Bun.Server<undefined> | undefined = undefined;
  /** Of what is open. */
  private address = JSON.stringify("");
  private retry: Timer | undefined = undefined;

  constructor(log: Log, status: () => InstanceStatus) {
    this.log = log;
    this.status = status;
  }

  /** Listen here from now on; undefined: nowhere. @throws Error that says why not; then all is as before */
  open(address: Address | undefined): void {
    const key = JSON.stringify(address ?? "");
    clearTimeout(this.retry);
    if (key === this.address) return;
    const fetch = (request: Request): Response => this.answer(new URL(request.url).pathname, request.method);
    let server: Bun.Server<undefined> | undefined;
    if (address !== undefined) {
      try {
        server = address.kind === "unix" ? Bun.serve({ unix: address.path, fetch }) : Bun.serve({ hostname: address.host, port: address.port, fetch });
      } catch (error) {
        throw new AdminError(`cannot open the admin address ${formatAddress(address)}: ${(error as NodeJS.ErrnoException).code === "EADDRINUSE" ? "it is taken by another program" : (error as Error).message}`);
      }
      this.log.info({ admin: address.kind === "unix" ? address.path : `${address.host}:${server.port}` }, "Admin address open");
    }
    this.stop();
    this.server = server;
    this.address = key;
  }

  /** The same for one who waits for another to let go of the address. */
  openWhenFree(address: Address | undefined, patience = PATIENCE): void {
    try {
      this.open(address);
    } catch (error) {
      if (patience > 0) this.retry = setTimeout(() => this.openWhenFree(address, patience - RETRY_INTERVAL), RETRY_INTERVAL);
      else this.log.error({ reason: (error as Error).message }, "No admin address; traffic is served all the same");
    }
  }

  stop(): void {
    clearTimeout(this.retry);
    void this.server?.stop(true);
    this.server = undefined;
    this.address = JSON.stringify("");
  }

  private answer(path: string, method: string): Response {
    if (path !== "/health" && path !== "/v1/status") return Response.json({ error: "not found", known: ["/health", "/v1/status"] }, { status: 404 });
    if (method !== "GET" && method !== "HEAD") return Response.json({ error: "method not allowed" }, { status: 405, headers: { Allow: "GET, HEAD" } });
    const { generation, draining, workers, targets, lastReload } = this.status();
    const state = draining ? "draining" : "ok";
    const upstreams: Record<string, object[]> = {};
    for (const { upstream, name, up, check, since, lastResult } of targets) {
      (upstreams[upstream] ??= []).push({ target: name, up, check, since: new Date(since).toISOString(), ...(lastResult === undefined ? {} : { lastResult }) });
    }
    return Response.json({ status: state, generation, pid: process.pid, workers, lastReload, upstreams }, { status: path === "/health" && draining ? 503 : 200 });
  }
}

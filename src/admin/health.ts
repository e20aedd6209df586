/** `GET /health` and `GET /v1/status` on the admin address: is this instance alive, and whom does it think healthy. */
import type { Address } from "../config/snapshot.ts";
import type { TargetStatus } from "../health/checker.ts";
import type { Log } from "../observability/log.ts";

export interface InstanceStatus {
  readonly generation: number;
  readonly draining: boolean;
  /** Process ids. */
  readonly workers: readonly number[];
  readonly targets: readonly TargetStatus[];
}

export class HealthEndpoint {
  private readonly log: Log;
  private readonly status: () => InstanceStatus;
  private server: Bun.Server<undefined> | undefined = undefined;
  private address = "";

  constructor(log: Log, status: () => InstanceStatus) {
    this.log = log;
    this.status = status;
  }

  /** Listen here from now on; undefined: nowhere. An address that cannot be had is said, and costs no traffic. */
  apply(address: Address | undefined): void {
    const key = JSON.stringify(address ?? "");
    if (key === this.address) return;
    this.stop();
    this.address = key;
    if (address === undefined) return;
    const fetch = (request: Request): Response => this.answer(new URL(request.url).pathname, request.method);
    try {
      this.server = address.kind === "unix" ? Bun.serve({ unix: address.path, fetch }) : Bun.serve({ hostname: address.host, port: address.port, fetch });
      this.log.info({ admin: address.kind === "unix" ? address.path : `${address.host}:${this.server.port}` }, "Admin address open");
    } catch (error) {
      this.log.error({ reason: String(error) }, "Admin address cannot be opened");
    }
  }

  stop(): void {
    void this.server?.stop(true);
    this.server = undefined;
    this.address = "";
  }

  private answer(path: string, method: string): Response {
    if (path !== "/health" && path !== "/v1/status") return Response.json({ error: "not found", known: ["/health", "/v1/status"] }, { status: 404 });
    if (method !== "GET" && method !== "HEAD") return Response.json({ error: "method not allowed" }, { status: 405, headers: { Allow: "GET, HEAD" } });
    const { generation, draining, workers, targets } = this.status();
    const state = draining ? "draining" : "ok";
    if (path === "/health") return Response.json({ status: state }, { status: draining ? 503 : 200 });
    const upstreams: Record<string, object[]> = {};
    for (const { upstream, name, up, check, since, lastResult } of targets) {
      (upstreams[upstream] ??= []).push({ target: name, up, check, since: new Date(since).toISOString(), ...(lastResult === undefined ? {} : { lastResult }) });
    }
    return Response.json({ status: state, generation, pid: process.pid, workers, upstreams });
  }
}

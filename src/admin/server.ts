/** The admin address: opened, moved and closed as the configuration says. What is answered there is api.ts's business. */
import { rmSync } from "node:fs";
import type { Address } from "../config/snapshot.ts";
import { formatAddress } from "../config/values.ts";
import { openFilesLimit } from "../net/open-files.ts";
import { removeStaleSocket } from "../net/stale-socket.ts";
import type { Log } from "../observability/log.ts";
import { type Api, IDLE } from "./api.ts";
import { Crowd } from "./crowd.ts";

/** Between two attempts to open an address that another process has still, and how long they go on, in ms. */
const RETRY_INTERVAL = 100;
const PATIENCE = 60_000;

/** How long what is open may go on at an address that is left once all calls of it are answered, in ms: streams have no end of their own. */
const LAST_ANSWERS = 1_000;

export class AdminError extends Error {
  readonly code = "FAIRLEAD_ADMIN";
}

export class AdminServer {
  private readonly log: Log;
  private readonly api: Api;
  private readonly opened: (isOpen: boolean) => void;
  private server: Bun.Server<undefined> | undefined = undefined;
  /** Calls of what is open that have no answer yet. */
  private calls = new Set<Promise<Response>>();
  /** Of what is open. */
  private address = JSON.stringify("");
  /** Of a unix socket that is open: its name is ours to remove. */
  private path: string | undefined = undefined;
  private retry: Timer | undefined = undefined;
  /** Of what is open, if it is no unix socket: there nobody else connects. */
  private crowd: Crowd | undefined = undefined;

  /** @param opened hears whether there is an address, each time that changes or moves */
  constructor(log: Log, api: Api, opened: (isOpen: boolean) => void) {
    this.log = log;
    this.api = api;
    this.opened = opened;
  }

  /** Listen here from now on; undefined: nowhere. @throws AdminError that says why not; then all is as before */
  async open(address: Address | undefined): Promise<void> {
    const key = JSON.stringify(address ?? "");
    clearTimeout(this.retry);
    if (key === this.address) return;
    const calls = new Set<Promise<Response>>();
    const server = address === undefined ? undefined : await this.listen(address, calls);
    // Whoever moved it by a call of it is answered there still, however long that takes.
    this.letGo(false);
    this.server = server;
    this.calls = calls;
    this.crowd = this.crowdAt(server);
    this.address = key;
    this.path = address?.kind === "unix" ? address.path : undefined;
    this.opened(server !== undefined);
  }

  private async listen(address: Address, calls: Set<Promise<Response>>): Promise<Bun.Server<undefined>> {
    const fetch = (request: Request, server: Bun.Server<undefined>): Promise<Response> => {
      const { crowd } = this;
      const port = server.requestIP(request)?.port ?? 0;
      let endless = false;
      const allow = (silence: number): void => {
        endless = silence === 0;
        server.timeout(request, silence);
      };
      const call = this.api.answer(request, allow).finally(() => calls.delete(call));
      calls.add(call);
      crowd?.begins(port);
      void call.then(({ ok }) => crowd?.ends(port, endless && ok ? request.signal : undefined));
      return call;
    };
    // Each endpoint has its own limit, and says so; what it does not read takes no memory.
    const maxRequestBodySize = Number.MAX_SAFE_INTEGER;
    const failed = (why: string): AdminError => new AdminError(`cannot open the admin address ${formatAddress(address)}: ${why}`);
    const occupied = address.kind === "unix" ? await removeStaleSocket(address.path) : undefined;
    if (occupied !== undefined) throw failed(occupied);
    try {
      const how = { maxRequestBodySize, development: false, fetch };
      const server = address.kind === "unix" ? serveUnix(address.path, how) : Bun.serve({ hostname: address.host, port: address.port, idleTimeout: IDLE, ...how });
      this.log.info({ admin: formatAddress(address.kind === "unix" ? address : { ...address, port: server.port ?? address.port }) }, "Admin address open");
      return server;
    } catch (error) {
      throw failed((error as NodeJS.ErrnoException).code === "EADDRINUSE" ? "it is taken by another program" : (error as Error).message);
    }
  }

  private crowdAt(server: Bun.Server<undefined> | undefined): Crowd | undefined {
    const limit = openFilesLimit();
    return server?.port === undefined || limit === undefined ? undefined : new Crowd(server.port, limit, this.log);
  }

  /** The same for one who waits for another to let go of the address. */
  openWhenFree(address: Address | undefined, patience = PATIENCE): void {
    this.open(address).catch((error: unknown) => {
      if (patience > 0) this.retry = setTimeout(() => this.openWhenFree(address, patience - RETRY_INTERVAL), RETRY_INTERVAL);
      else this.log.error({ reason: (error as Error).message }, "No admin address; traffic is served all the same");
    });
  }

  stop(): void {
    this.letGo(true);
  }

  private letGo(atOnce: boolean): void {
    clearTimeout(this.retry);
    const { server, calls } = this;
    this.crowd?.stop();
    this.crowd = undefined;
    void server?.stop(atOnce);
    if (!atOnce) void Promise.allSettled(calls).then(() => setTimeout(() => void server?.stop(true), LAST_ANSWERS).unref());
    if (this.path !== undefined) rmSync(this.path, { force: true });
    this.server = undefined;
    this.path = undefined;
    this.address = JSON.stringify("");
    this.opened(false);
  }
}

/** Who may connect may look inside: the user and nobody else, from the first moment on. */
function serveUnix(path: string, how: { readonly maxRequestBodySize: number; readonly development: boolean; readonly fetch: (request: Request, server: Bun.Server<undefined>) => Promise<Response> }): Bun.Server<undefined> {
  const before = process.umask(0o177);
  try {
    return Bun.serve({ unix: path, ...how });
  } finally {
    process.umask(before);
  }
}

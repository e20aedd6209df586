/**
 * What a test file arranges: back ends, a Fairlead in front of them, clients. `openStage()` at the top of a file; everything
 * that was started on the stage is ended after the file's last test, whether the tests passed or not.
 */
import { afterAll } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fairlead, type StartOptions } from "./fairlead.ts";
import { fullQueue } from "./full-queue.ts";
import { type H2Script, H2Target, type H2TargetOptions } from "./h2-target.ts";
import { NodeBackend } from "./node-backend.ts";
import { freePort } from "./ports.ts";
import { RawBackend, type Script } from "./raw-backend.ts";
import { RawClient } from "./raw-client.ts";
import { connected, RawConnection } from "./raw-connection.ts";
import { type OnConnection, RawServer } from "./raw-server.ts";
import { type TomlTable, toToml } from "./toml.ts";

/** Anything that listens, or an address. */
export type Target = string | { readonly address: string };

export interface BalanceOptions extends StartOptions {
  /** Targets of the upstream `main`, which serves what matches no route. */
  readonly targets: readonly Target[];
  /** Keys of the listener, of the upstream `main` and of the top level, as in the file. */
  readonly listener?: TomlTable;
  readonly upstream?: TomlTable;
  readonly top?: TomlTable;
  readonly routes?: readonly TomlTable[];
  /** Further upstreams by name. */
  readonly upstreams?: Readonly<Record<string, readonly Target[]>>;
  /** More of the file, as text. */
  readonly tail?: string;
}

/** A running Fairlead and the port of its first listener. */
export interface Balanced {
  readonly fairlead: Fairlead;
  readonly port: number;
  readonly url: string;
}

function addresses(targets: readonly Target[]): TomlTable[] {
  return targets.map((target) => ({ address: typeof target === "string" ? target : target.address }));
}

/** The configuration that `options` stand for; one worker, unless said otherwise, so that what happened is in one place. */
export function configText(port: number, options: BalanceOptions): string {
  const more = Object.entries(options.upstreams ?? {}).map(([name, targets]) => ({ name, targets: addresses(targets) }));
  const text = toToml({
    workers: 1,
    ...options.top,
    listeners: [{ name: "front", address: `127.0.0.1:${port}`, protocol: "http", upstream: "main", ...options.listener }],
    ...(options.routes === undefined ? {} : { routes: options.routes }),
    upstreams: [{ name: "main", policy: "round-robin", ...options.upstream, targets: addresses(options.targets) }, ...more],
  });
  return text + (options.tail ?? "");
}

export class Stage {
  private readonly endings: (() => unknown)[] = [];

  async fairlead(options: BalanceOptions): Promise<Balanced> {
    const port = await freePort();
    const fairlead = await Fairlead.start(configText(port, options), options);
    this.atEnd(() => fairlead.kill());
    return { fairlead, port, url: `http://127.0.0.1:${port}` };
  }

  /** Fairlead with these arguments, and no file. */
  async process(args: readonly string[], options: StartOptions = {}): Promise<Fairlead> {
    const fairlead = await Fairlead.start("", { ...options, arguments: args });
    this.atEnd(() => fairlead.kill());
    return fairlead;
  }

  async backend(script?: Script): Promise<RawBackend> {
    const backend = await RawBackend.start(script);
    this.atEnd(() => backend.stop());
    return backend;
  }

  async backends(count: number, script?: Script): Promise<RawBackend[]> {
    const all: RawBackend[] = [];
    while (all.length < count) all.push(await this.backend(script));
    return all;
  }

  /** A target of HTTP/2, by frames. */
  async h2Target(script?: H2Script, options?: H2TargetOptions): Promise<H2Target> {
    const target = await H2Target.start(script, options);
    this.atEnd(() => target.stop());
    return target;
  }

  async server(onConnection?: OnConnection): Promise<RawServer> {
    const server = await RawServer.start(onConnection);
    this.atEnd(() => server.stop());
    return server;
  }

  /** A back end of node:http, in a process of its own. */
  async node(): Promise<NodeBackend> {
    const backend = await NodeBackend.start();
    this.atEnd(() => backend.kill());
    return backend;
  }

  /** A client that reads no HTTP. */
  async connection(to: Balanced): Promise<RawConnection> {
    const connection = new RawConnection(await connected(to.port));
    this.atEnd(() => connection.destroy());
    return connection;
  }

  /** The address of a listener that never accepts and whose queue is full: a connect to it gets no answer. */
  async fullQueue(): Promise<string> {
    const { address, close } = await fullQueue();
    this.atEnd(close);
    return address;
  }

  async client(to: Balanced | number): Promise<RawClient> {
    const client = await RawClient.connect(typeof to === "number" ? to : to.port);
    this.atEnd(() => client.destroy());
    return client;
  }

  /** An empty directory. */
  directory(): string {
    const path = mkdtempSync(join(tmpdir(), "fairlead-stage-"));
    this.atEnd(() => rmSync(path, { recursive: true, force: true }));
    return path;
  }

  atEnd(ending: () => unknown): void {
    this.endings.push(ending);
  }

  async close(): Promise<void> {
    const results = await Promise.allSettled(this.endings.toReversed().map(async (end) => end()));
    this.endings.length = 0;
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }
}

export function openStage(): Stage {
  const stage = new Stage();
  afterAll(() => stage.close());
  return stage;
}

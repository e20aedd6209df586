/**
 * The data plane of one worker, or of one process in library mode: takes snapshots, accepts clients, hands them to http, tcp or udp.
 * It owns what its connections share; which listening sockets there are is its caller's business.
 */
import { challengeServer } from "../accept/acme-challenge.ts";
import type { Arrival } from "../accept/arrival.ts";
import type { Explained, RequestToExplain } from "../admin/explained.ts";
import { HelloStage } from "../accept/hello-stage.ts";
import { ProxyStage } from "../accept/proxy-stage.ts";
import type { NextOwner } from "../accept/stage.ts";
import { TlsHandshake } from "../accept/tls-handshake.ts";
import { TlsTermination } from "../accept/tls-termination.ts";
import type { Challenges } from "../acme/challenges.ts";
import type { ClientFault, ListenerConfig, Snapshot, TargetFault, TracingConfig, UpstreamConfig } from "../config/snapshot.ts";
import { effectsOf } from "../faults/effects.ts";
import { type FaultOverlay, Faults } from "../faults/faults.ts";
import { RequestHead } from "../http/h1/request-head.ts";
import { ReplyHead } from "../http/h1/reply-head.ts";
import { ClientConnection } from "../http/h1/client-connection.ts";
import { LineSink } from "../http/h1/writer.ts";
import { UpstreamConnection } from "../http/h1/upstream-connection.ts";
import { HeadArena } from "../http/h2/head-arena.ts";
import { HeaderBlock } from "../http/h2/hpack/header-block.ts";
import { ClientSession } from "../http/h2/client-session.ts";
import { UpstreamSession } from "../http/h2/upstream-session.ts";
import type { Services } from "../http/services.ts";
import type { UpstreamStream } from "../http/sides.ts";
import { Tracing } from "../http/tracing.ts";
import { Cork } from "../net/cork.ts";
import { OpenFiles } from "../net/open-files.ts";
import { NOBODY } from "../net/leaving.ts";
import type { NetListener, Network, SocketOwner } from "../net/network.ts";
import { Output } from "../net/output.ts";
import type { ChallengeServer } from "../net/tls.ts";
import { TimerWheel } from "../net/timers.ts";
import { AccessLog } from "../observability/access-log.ts";
import type { Witness } from "../observability/account.ts";
import { type Batch, ExchangeWitness } from "../observability/exchange-witness.ts";
import { LimitedLog } from "../observability/limited-log.ts";
import type { Log, LogModule, Logs } from "../observability/log.ts";
import { TraceExport } from "../observability/tracing/export.ts";
import { Witnesses } from "../observability/witnesses.ts";
import { loadPolicyModule } from "../policies/module.ts";
import type { BalancerFactory } from "../policies/balanced.ts";
import type { PolicyFactory, RoutingPolicy } from "../policies/policy.ts";
import { builtinPolicy } from "../policies/registry.ts";
import { Listener } from "../routing/listener.ts";
import { Router } from "../routing/router.ts";
import { FAULT_EFFECTS, FAULTS_INJECTED, type Scoreboard, TOTAL_CLIENTS, TOTAL_LOST_LINES } from "../scoreboard/scoreboard.ts";
import { TcpClient } from "../tcp/relay.ts";
import { Flows } from "../udp/flows.ts";
import { UdpRelay } from "../udp/relay.ts";
import { LatencyClock } from "../upstream/latency.ts";
import type { BreakerChange } from "../upstream/circuit-breaker.ts";
import type { OutlierReport } from "../upstream/outliers.ts";
import { Target } from "../upstream/target.ts";
import { UpstreamSecurity } from "../upstream/tls.ts";
import { Upstream, type UpstreamHost } from "../upstream/upstream.ts";
import { explain } from "./explain/explain.ts";
import { LoopLag } from "./lag.ts";

export interface DataPlaneOptions {
  readonly network: Network;
  readonly scoreboard: Scoreboard;
  /** This worker's row of the scoreboard. */
  readonly slot: number;
  readonly logs: Logs;
  /** Access lines as JSON where the configuration does not say; default false. */
  readonly jsonAccessLog?: boolean;
  /** Takes the exchanges that the configuration wants kept; absent: none are. */
  readonly keep?: (batch: Batch) => void;
  /** Want to know of exchanges, besides those that the configuration asks for. */
  readonly witnesses?: readonly Witness[];
  /** Policies made in code, by the name that the config gives; for the library. */
  readonly policies?: ReadonlyMap<string, PolicyFactory>;
  /** Files that this process may open; absent: as many as it likes. */
  readonly openFiles?: number | undefined;
  /** Hears of targets that fail too much; absent: nobody does. */
  readonly report?: (outlier: OutlierReport) => void;
  /** Hears of circuits that this worker turned; absent: nobody does. */
  readonly turned?: (change: BreakerChange) => void;
}

/** Makes a policy, ours or a user's: each takes of the context what it knows. */
type AnyPolicyFactory = (context: Parameters<BalancerFactory>[0]) => RoutingPolicy;

/** Between two complaints that files run low, in ms. */
const COMPLAIN_EVERY = 10_000;
/** What is offered to targets over TLS. */
const OFFERED = { h1: ["http/1.1"], h2: ["h2"], h2c: [], auto: ["h2", "http/1.1"] } as const satisfies Record<UpstreamConfig["protocol"], readonly string[]>;
/** The most fields that any config may allow in a head. */
const MAX_FIELDS = 1000;

export class DataPlane {
  private readonly options: DataPlaneOptions;
  private readonly log: Log;
  private readonly services: Services;
  private readonly host: UpstreamHost;
  private readonly openFiles: OpenFiles;
  private readonly flows: Flows;
  private accessLog: AccessLog | undefined = undefined;
  private traceExport: TraceExport | undefined = undefined;
  private exchanges: ExchangeWitness | undefined = undefined;
  private readonly faults: Faults;
  /** Which shortages are told of. */
  private saysShortage = false;
  private nextComplaint = 0;
  private readonly listeners = new Map<string, Listener>();
  /** By the listener's name, like `terminations`: those of listeners with TLS. */
  private readonly sockets = new Map<string, NetListener>();
  private readonly terminations = new Map<string, TlsTermination>();
  private challenge: ChallengeServer | undefined = undefined;
  private targets = new Map<string, Target>();
  private upstreams = new Map<string, Upstream>();
  private securities = new Map<string, UpstreamSecurity>();
  private lastSecurity = 0;
  /** Of earlier configurations, with connections that are still open. */
  private readonly retired = new Set<Target>();
  private snapshot: Snapshot | undefined = undefined;
  private readonly stopTicks: () => void;
  private readonly lag: LoopLag;
  private whenEmpty: (() => void) | undefined = undefined;
  /** Of the scoreboard, when targets' states were last taken over. */
  private epoch = 0;

  constructor(options: DataPlaneOptions) {
    const { network, scoreboard, slot, logs } = options;
    const limited = (module: LogModule): LimitedLog => new LimitedLog(logs.of(module), network.clock);
    this.options = options;
    this.log = logs.of("http");
    this.openFiles = new OpenFiles(network, options.openFiles);
    const output = new Output();
    this.services = {
      network,
      openFiles: this.openFiles,
      wheel: new TimerWheel(network.clock.now),
      output,
      lines: new LineSink(output),
      board: scoreboard,
      slot,
      log: limited("http"),
      tcpLog: limited("tcp"),
      udpLog: limited("udp"),
      tlsLog: limited("tls"),
      witnesses: undefined,
      faults: undefined,
      accountFields: [],
      tracing: undefined,
      requestHead: new RequestHead(MAX_FIELDS),
      replyHead: new ReplyHead(MAX_FIELDS),
      toldHead: new RequestHead(MAX_FIELDS),
      cork: new Cork(network),
      block: new HeaderBlock(),
      requestArena: new HeadArena(),
      replyArena: new HeadArena(),
      openStream: (target, upstream) => this.openStream(target, upstream),
      challenges: undefined,
      draining: false,
      short: false,
    };
    this.flows = new Flows(this.openFiles.mostFlows, this.services.udpLog, network.clock);
    const counts = scoreboard.workerColumn(slot);
    const injected = (fault: ClientFault | TargetFault): void => {
      for (const effect of effectsOf(fault)) counts.add(FAULTS_INJECTED + FAULT_EFFECTS.indexOf(effect));
    };
    this.faults = new Faults({ clock: network.clock, random: () => network.random(), injected }, () => (this.services.faults = this.faults.active ? this.faults : undefined));
    this.stopTicks = network.clock.everyTick((now) => this.tick(now));
    this.lag = new LoopLag(scoreboard, slot, network.clock.now);
    this.host = { board: scoreboard, slot, clock: network.clock, latencyClock: new LatencyClock(network.clock), log: logs.of("policy"), random: () => network.random(), report: (outlier) => options.report?.(outlier), turned: (change) => options.turned?.(change) };
  }

  private openStream(target: Target, upstream: Upstream): UpstreamStream | undefined {
    const { protocol } = upstream.config;
    const multiplexed = protocol === "h2" || protocol === "h2c" || (protocol === "auto" && target.speaks === "h2");
    const shared = multiplexed ? (target.sharedWithRoom() as UpstreamSession | undefined) : undefined;
    if (shared !== undefined) return shared.take();
    const opening = multiplexed || upstream.config.proxyProtocol !== undefined ? undefined : (target.takeOpening() as UpstreamConnection | undefined);
    if (opening !== undefined) return opening;
    if (this.openFiles.isExhausted) return undefined;
    return multiplexed ? new UpstreamSession(target, upstream, this.services).take() : new UpstreamConnection(target, upstream, this.services);
  }

  private tick(now: number): void {
    this.lag.tick(now);
    this.services.wheel.sweep(now);
    this.accessLog?.tick(now);
    this.takeOverStates();
    if (this.services.short) this.goOnAccepting();
    if (this.whenEmpty !== undefined && this.openClients === 0) this.whenEmpty();
  }

  /** Files run low: who comes waits in the system's queue, and what is idle is closed. */
  private pauseAccepting(): void {
    this.services.short = true;
    for (const socket of this.sockets.values()) socket.pause();
    const { now } = this.services.network.clock;
    this.saysShortage = now >= this.nextComplaint;
    if (this.saysShortage) {
      this.nextComplaint = now + COMPLAIN_EVERY;
      this.log.error({ clients: this.openClients }, "Open files run low: no further client is accepted for now (raise the limit: ulimit -n)");
    }
    this.closeIdle();
  }

  private goOnAccepting(): void {
    if (this.openFiles.isAmple(this.openConnections)) {
      for (const socket of this.sockets.values()) socket.resume();
      this.services.short = false;
      if (this.saysShortage) this.log.info({ clients: this.openClients }, "Clients are accepted again");
    }
  }

  /** Pooled connections, and clients between two requests. */
  private closeIdle(): void {
    for (const target of this.targets.values()) target.closeIdle();
    for (const { clients } of this.listeners.values()) for (const client of clients) client.drain();
  }

  /** Connections of targets that drain or go are closed without waiting for a request. */
  private takeOverStates(): void {
    const { epoch } = this.services.board;
    if (epoch === this.epoch) return;
    this.epoch = epoch;
    for (const upstream of this.upstreams.values()) upstream.refresh();
    // What is open to them is cut with what is open to those that stand in their place.
    for (const target of this.retired) {
      if (target.hasConnections) target.refresh();
      else this.retired.delete(target);
    }
  }

  /**
   * Run this snapshot from the next request on; what is in flight ends on the one it began with.
   * @throws when a policy does not load: then nothing has changed
   */
  async apply(snapshot: Snapshot): Promise<void> {
    const factories = new Map<UpstreamConfig, AnyPolicyFactory>();
    for (const upstream of snapshot.upstreams) factories.set(upstream, await this.policyFactory(upstream));
    await this.applyTracing(snapshot.tracing, this.snapshot?.tracing);
    this.snapshot = snapshot;
    this.applyAccessLog(snapshot);
    this.exchanges = this.exchangeWitness(snapshot);
    this.services.witnesses = Witnesses.of([this.accessLog, this.exchanges, this.traceExport, ...(this.options.witnesses ?? [])]);
    this.faults.apply(snapshot.faults);
    this.buildUpstreams(snapshot, factories);
    for (const config of snapshot.listeners) {
      const router = this.router(config);
      const running = this.listeners.get(config.name);
      if (running !== undefined) running.apply(config, router, snapshot.maxClients);
      else {
        const { board, slot } = this.services;
        this.listeners.set(config.name, new Listener(config.slot, config, router, snapshot.maxClients, board, slot, this.openFiles));
      }
      this.applyTls(config);
      this.applyChallenge(config);
    }
  }

  private applyAccessLog({ accessLog: config, listeners }: Snapshot): void {
    const { options, services } = this;
    const silent = new Set(listeners.filter(({ accessLog }) => !accessLog).map(({ name }) => name));
    if (config !== undefined && this.accessLog?.apply(config, silent) === true) return;
    this.accessLog?.end();
    const column = services.board.workerColumn(services.slot);
    const lost = (lines: number): void => column.add(TOTAL_LOST_LINES, lines);
    this.accessLog = config === undefined ? undefined : new AccessLog(config, silent, { json: options.jsonAccessLog === true, random: () => services.network.random(), log: options.logs.of("access_log"), lost });
    services.accountFields = this.accessLog?.headers ?? [];
  }

  /** The log's files have other names now. */
  reopenLogs(): void {
    this.accessLog?.reopen();
  }

  /** What is gathered goes out now: this process is about to end. */
  flushLogs(): void {
    this.accessLog?.flush();
  }

  private async applyTracing(config: TracingConfig | undefined, before: TracingConfig | undefined): Promise<void> {
    if (JSON.stringify(config) === JSON.stringify(before)) return;
    const { network } = this.services;
    const random = (): number => network.random();
    const exporting = config === undefined ? undefined : await TraceExport.start(config, this.options.logs.of("tracing"), random);
    void this.traceExport?.stop();
    this.traceExport = exporting;
    this.services.tracing = config === undefined ? undefined : new Tracing(config, random);
  }

  private exchangeWitness({ exchanges: rules }: Snapshot): ExchangeWitness | undefined {
    const { keep } = this.options;
    if (rules === undefined || keep === undefined) return undefined;
    if (this.exchanges === undefined) {
      const { network } = this.services;
      return new ExchangeWitness(rules, { clock: network.clock, random: () => network.random(), send: keep });
    }
    this.exchanges.apply(rules);
    return this.exchanges;
  }

  /** Whoever keeps exchanges has the last ones. */
  exchangesTaken(): void {
    this.exchanges?.taken();
  }

  /** Handshakes that have begun end as they began. */
  private applyTls(config: ListenerConfig): void {
    const { name, tls } = config;
    const { terminations } = this;
    const before = terminations.get(name);
    let anew = true;
    if (tls === undefined) anew = terminations.delete(name);
    else if (before !== undefined) anew = before.apply(tls);
    else terminations.set(name, new TlsTermination(this.services.network, tls));
    if (anew) this.sockets.get(name)?.secure(this.tlsFromAccept(config));
  }

  /** Undefined: clients begin with something else, if only with the header of the PROXY protocol. */
  private tlsFromAccept({ name, proxyProtocol }: ListenerConfig): TlsTermination | undefined {
    return proxyProtocol === undefined ? this.terminations.get(name) : undefined;
  }

  private async policyFactory(upstream: UpstreamConfig): Promise<AnyPolicyFactory> {
    const { policy } = upstream;
    if (policy.kind === "module") return loadPolicyModule(policy.path, policy.version);
    return this.options.policies?.get(policy.name) ?? (builtinPolicy(policy.name) as unknown as AnyPolicyFactory);
  }

  /** Targets that stay keep their connections and counters; an upstream that did not change keeps its policy too. */
  private buildUpstreams(snapshot: Snapshot, factories: ReadonlyMap<UpstreamConfig, AnyPolicyFactory>): void {
    const { board, slot } = this.services;
    const targets = new Map<string, Target>();
    const upstreams = new Map<string, Upstream>();
    const securities = new Map<string, UpstreamSecurity>();
    for (const config of snapshot.upstreams) {
      const security = this.securityOf(config);
      if (security !== undefined) securities.set(config.name, security);
      const column = board.upstreamColumn(slot, config.slot);
      const members = config.targets.map((target) => {
        const key = `${target.slot} ${target.name} ${target.weight} ${target.tier} ${target.zone} ${target.maxConnections} ${target.maxRequests} ${config.protocol} ${security?.number ?? 0}`;
        const kept = this.targets.get(key) ?? new Target(target, board, slot, this.host.latencyClock, security?.client(target.address, OFFERED[config.protocol]), column);
        targets.set(key, kept);
        return kept;
      });
      const before = this.upstreams.get(config.name);
      const samePolicy = before !== undefined && JSON.stringify([before.config.policy, before.config.hash]) === JSON.stringify([config.policy, config.hash]);
      const make = factories.get(config)!;
      upstreams.set(config.name, new Upstream(config, members, (tier, context) => (samePolicy ? before.policyOf(tier) : undefined) ?? make(context), this.host, before));
    }
    for (const [key, target] of this.targets) {
      if (targets.get(key) === target) continue;
      target.retire();
      if (target.hasConnections) this.retired.add(target);
    }
    this.targets = targets;
    this.upstreams = upstreams;
    this.securities = securities;
  }

  private securityOf({ name, tls }: UpstreamConfig): UpstreamSecurity | undefined {
    if (tls === undefined) return undefined;
    const before = this.securities.get(name);
    return before?.isFor(tls) === true ? before : new UpstreamSecurity(this.services.network, tls, ++this.lastSecurity);
  }

  private router(listener: ListenerConfig): Router<Upstream> {
    const { board, slot } = this.services;
    const routes = listener.protocol === "tcp" || listener.protocol === "udp" ? [] : this.snapshot!.routes.filter(({ listeners }) => listeners.length === 0 || listeners.includes(listener.name));
    const fallback = listener.upstream === undefined ? undefined : this.upstreams.get(listener.upstream);
    return new Router(routes, fallback, (name) => this.upstreams.get(name)!, (route) => board.routeColumn(slot, route.slot));
  }

  /** Answer these challenges, and no others. */
  show({ http, alpn }: Challenges): void {
    const answers = Object.entries(http);
    this.services.challenges = answers.length === 0 ? undefined : new Map(answers);
    this.challenge = challengeServer(this.services.network, alpn);
    for (const { config } of this.listeners.values()) this.applyChallenge(config);
  }

  private applyChallenge({ name, tls, proxyProtocol }: ListenerConfig): void {
    const termination = this.terminations.get(name);
    // Where a header of the PROXY protocol comes first there is no ClientHello to be looked at.
    const challenge = tls?.acme === undefined || proxyProtocol !== undefined ? undefined : this.challenge;
    if (termination === undefined || termination.challenge === challenge) return;
    termination.challenge = challenge;
    this.sockets.get(name)?.secure(termination);
  }

  /** Accept on a listener of the snapshot: on an inherited descriptor, or on its own address. */
  open(listenerName: string, fd?: number): NetListener {
    const listener = this.listeners.get(listenerName);
    if (listener === undefined) throw new Error(`no listener "${listenerName}" in the snapshot`);
    const { services, openFiles } = this;
    if (listener.config.protocol === "udp") {
      const relay = new UdpRelay(listener, fd, services, this.flows);
      this.sockets.set(listenerName, relay);
      return relay;
    }
    const clientFor: NextOwner = (arrival) => this.clientFor(listener, arrival);
    const secured: NextOwner = (arrival) => {
      const owner = new TlsHandshake(listener, services, clientFor, arrival);
      return { ...NOBODY, onOpen: (socket) => services.network.secure(socket, this.terminations.get(listenerName)!, owner) };
    };
    const accept = (): SocketOwner => {
      listener.counters.add(TOTAL_CLIENTS);
      if (!services.short && openFiles.isShort(this.openConnections)) this.pauseAccepting();
      const { tls, proxyProtocol } = listener.config;
      if (proxyProtocol !== undefined) return new ProxyStage(listener, services, tls === undefined ? clientFor : secured, tls !== undefined);
      return tls === undefined ? clientFor(undefined) : new TlsHandshake(listener, services, clientFor);
    };
    const socket = services.network.listen(listener.config.address, fd, accept, this.tlsFromAccept(listener.config), listener.config.tls !== undefined && listener.config.proxyProtocol !== undefined);
    this.sockets.set(listenerName, socket);
    return socket;
  }

  /** Whoever speaks the client's protocol. */
  private clientFor(listener: Listener, arrival: Arrival | undefined): SocketOwner {
    const { services } = this;
    const { protocol } = listener.config;
    const relay: NextOwner = (known) => new TcpClient(listener, services, known);
    if (protocol === "tcp") return relay(arrival);
    if (protocol === "tls-passthrough") return new HelloStage(listener, services, relay, arrival);
    return arrival?.tls?.alpn === "h2" ? new ClientSession(listener, services, arrival) : new ClientConnection(listener, services, arrival);
  }

  /** Inject these, over what the configuration says. */
  injectFaults(overlay: FaultOverlay): void {
    this.faults.override(overlay);
  }

  /** Exchanges that wait because of a fault. */
  get heldByFaults(): number {
    return this.faults.holding;
  }

  /** Which way a request would go, and why; nothing is sent, and nothing is changed. @throws Unexplainable */
  explain(request: RequestToExplain): Promise<Explained> {
    const listeners = [...this.listeners].map(([name, listener]) => ({ listener, port: this.portOf(name, listener.config) }));
    return explain(request, { generation: this.snapshot!.generation, services: this.services, listeners });
  }

  /** 0: none, or it is not known. */
  private portOf(name: string, { address }: ListenerConfig): number {
    return address.kind === "tcp" && address.port > 0 ? address.port : (this.sockets.get(name)?.port ?? 0);
  }

  /** Open client connections, and flows of udp. */
  get openClients(): number {
    let open = 0;
    for (const listener of this.listeners.values()) open += listener.clients.size;
    return open;
  }

  /** Those that are not flows. */
  private get openConnections(): number {
    let open = 0;
    for (const listener of this.listeners.values()) if (listener.config.protocol !== "udp") open += listener.clients.size;
    return open;
  }

  /** Stop accepting; resolves when the last client has gone, or after `timeout` ms, when what is left is cut. */
  async drain(timeout: number): Promise<void> {
    this.services.draining = true;
    // Nobody is to wait for long delays now.
    this.faults.stop();
    this.closeSockets();
    for (const listener of this.listeners.values()) for (const client of listener.clients) client.drain();
    await new Promise<void>((resolve) => {
      const cancel = this.services.network.clock.after(timeout, resolve);
      this.whenEmpty = () => {
        cancel();
        resolve();
      };
    });
    this.stop();
    await this.traceExport?.stop();
  }

  /** Cut everything now. */
  stop(): void {
    this.closeSockets();
    for (const listener of this.listeners.values()) for (const client of [...listener.clients]) client.abort();
    this.faults.stop();
    for (const target of this.targets.values()) target.retire();
    this.accessLog?.end();
    this.stopTicks();
  }

  private closeSockets(): void {
    for (const socket of this.sockets.values()) socket.close();
    this.sockets.clear();
  }
}

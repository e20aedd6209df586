/** A listener at work: its configuration of the moment, its router, its open connections. */
import type { ListenerConfig } from "../config/snapshot.ts";
import type { OpenFiles } from "../net/open-files.ts";
import { trustedMatcher } from "../net/trusted.ts";
import { CAUSE_NUMBERS, type Cause } from "../observability/cause.ts";
import { hashText, mix } from "../policies/consistent/consistent.ts";
import { CAUSES_OF_END, type Class, classOf, CLIENTS, type Column, ENDED, type Scoreboard } from "../scoreboard/scoreboard.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { clientKey } from "./key.ts";
import type { Match, Router } from "./router.ts";

/** A client connection as its listener sees it. */
export interface Client {
  /** Textual IP address; "" on unix sockets. */
  readonly clientAddress: string;
  /** End what is idle; let go on what is open, but nothing new after it. */
  drain(): void;
  /** End at once. */
  abort(): void;
}

export class Listener {
  /** Its row in the scoreboard. */
  readonly index: number;
  config: ListenerConfig;
  router: Router<Upstream>;
  isTrusted: (address: string) => boolean;
  /** By its address: must it begin with a PROXY protocol header? */
  sendsProxyHeader: (address: string) => boolean;
  readonly clients = new Set<Client>();
  /** This worker's counters of it. */
  readonly counters: Column;
  private maxClients: number;
  private readonly board: Scoreboard;
  private readonly slot: number;
  private readonly openFiles: OpenFiles;
  /** Hashes of those whose addresses are counted. */
  private readonly byAddress = new Map<Client, number>();

  /** @param maxClients over all listeners */
  constructor(index: number, config: ListenerConfig, router: Router<Upstream>, maxClients: number, board: Scoreboard, slot: number, openFiles: OpenFiles) {
    this.index = index;
    this.counters = board.listenerColumn(slot, index);
    this.config = config;
    this.router = router;
    this.maxClients = maxClients;
    this.isTrusted = trustedMatcher(config.forwarding.trustedProxies);
    this.sendsProxyHeader = trustedMatcher(config.proxyProtocol?.from ?? []);
    this.board = board;
    this.slot = slot;
    this.openFiles = openFiles;
  }

  /** In force from the next request on; a request in flight keeps what it began with. */
  apply(config: ListenerConfig, router: Router<Upstream>, maxClients: number): void {
    this.config = config;
    this.router = router;
    this.maxClients = maxClients;
    this.isTrusted = trustedMatcher(config.forwarding.trustedProxies);
    this.sendsProxyHeader = trustedMatcher(config.proxyProtocol?.from ?? []);
  }

  /** Count one more. Not undefined when a limit is passed by it: the client is to be removed, told and closed. */
  add(client: Client): Cause | undefined {
    const { board, slot, index } = this;
    const { maxClients, maxClientsPerIp } = this.config;
    this.clients.add(client);
    board.addClient(slot, 1);
    this.counters.hold(CLIENTS, 1);
    if (board.clientsOf(index) > maxClients || board.clients > this.maxClients) return "too-many-connections";
    if (this.openFiles.isExhausted) return "overloaded";
    if (maxClientsPerIp === 0 || client.clientAddress === "") return undefined;
    const hash = this.hashOf(client.clientAddress);
    board.addAddress(slot, hash, 1);
    this.byAddress.set(client, hash);
    return board.connectionsOfAddress(hash) <= maxClientsPerIp ? undefined : "too-many-connections-of-client";
  }

  /** What `add` would say to one more client of that address, without counting it. */
  refusalFor(clientAddress: string): Cause | undefined {
    const { board, index } = this;
    const { maxClients, maxClientsPerIp } = this.config;
    if (board.clientsOf(index) >= maxClients || board.clients >= this.maxClients) return "too-many-connections";
    if (this.openFiles.isExhausted) return "overloaded";
    if (maxClientsPerIp === 0 || clientAddress === "") return undefined;
    return board.connectionsOfAddress(this.hashOf(clientAddress)) < maxClientsPerIp ? undefined : "too-many-connections-of-client";
  }

  remove(client: Client): void {
    if (!this.clients.delete(client)) return;
    this.board.addClient(this.slot, -1);
    this.counters.hold(CLIENTS, -1);
    const hash = this.byAddress.get(client);
    if (hash === undefined) return;
    this.byAddress.delete(client);
    this.board.addAddress(this.slot, hash, -1);
  }

  /** A connection came to no exchange: it is not told as one. */
  failed(cause: Cause): void {
    this.counters.add(CAUSES_OF_END + CAUSE_NUMBERS[cause]);
  }

  /** A request came to no exchange: its client was told so with this status. */
  refused(cause: Cause, status: number): void {
    this.failed(cause);
    this.counters.add(ENDED + classOf(status));
  }

  /**
   * An exchange is over. All that is counted of it, but for its attempts, is counted here.
   * @param how as its client saw it
   * @param milliseconds from its begin
   * @param upstream undefined: it came to none
   * @param match undefined: no route matched, and there is no default
   */
  ended(cause: Cause, how: Class, milliseconds: number, upstream: Upstream | undefined, match: Match<Upstream> | undefined): void {
    const bucket = this.board.bounds.bucketOf(milliseconds);
    this.counters.ended(how, bucket, milliseconds);
    match?.counters?.ended(how, bucket, milliseconds);
    upstream?.column.ended(how, bucket, milliseconds);
    if (cause === "done") return;
    const failure = CAUSES_OF_END + CAUSE_NUMBERS[cause];
    this.counters.add(failure);
    upstream?.column.add(failure);
  }

  /** Of one client on one listener; an IPv4 address on an IPv6 socket is the IPv4 address. */
  private hashOf(address: string): number {
    return mix(hashText(clientKey(address)!) + this.index);
  }
}

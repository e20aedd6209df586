/** A listener at work: its configuration of the moment, its router, its open connections. */
import type { ListenerConfig } from "../config/snapshot.ts";
import { trustedMatcher } from "../net/trusted.ts";
import type { Scoreboard } from "../scoreboard/scoreboard.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { Router } from "./router.ts";

/** A client connection as its listener sees it. */
export interface Client {
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
  readonly clients = new Set<Client>();
  private maxClients: number;
  private readonly board: Scoreboard;
  private readonly slot: number;

  /** @param maxClients over all listeners */
  constructor(index: number, config: ListenerConfig, router: Router<Upstream>, maxClients: number, board: Scoreboard, slot: number) {
    this.index = index;
    this.config = config;
    this.router = router;
    this.maxClients = maxClients;
    this.isTrusted = trustedMatcher(config.forwarding.trustedProxies);
    this.board = board;
    this.slot = slot;
  }

  /** In force from the next request on; a request in flight keeps what it began with. */
  apply(config: ListenerConfig, router: Router<Upstream>, maxClients: number): void {
    this.config = config;
    this.router = router;
    this.maxClients = maxClients;
    this.isTrusted = trustedMatcher(config.forwarding.trustedProxies);
  }

  /** Count one more. False when a limit is passed by it: the client is to be removed, told and closed. */
  add(client: Client): boolean {
    this.clients.add(client);
    this.board.addClient(this.slot, this.index, 1);
    return this.board.clientsOf(this.index) <= this.config.maxClients && this.board.clients <= this.maxClients;
  }

  remove(client: Client): void {
    if (this.clients.delete(client)) this.board.addClient(this.slot, this.index, -1);
  }
}

/**
 * Waits for the header of the PROXY protocol from those who must send one; others go on at once as what their socket says.
 *
 * Where TLS follows, its first bytes may have come with the header, and nobody but the socket can hand them to a handshake: then the header is
 * looked at where it waits, and no more than the header is read.
 */
import { plainAddress } from "../net/endpoint.ts";
import type { NetSocket } from "../net/network.ts";
import type { Listener } from "../routing/listener.ts";
import type { Arrival, Peer } from "./arrival.ts";
import { MAX_LINE, type ProxyHeader, readProxyHeader } from "./proxy-header.ts";
import { type NextOwner, Stage, type StageServices } from "./stage.ts";

/** Between two looks, in ms: from the first to the last doubled each time. */
const FIRST_LOOK = 1;
const LAST_LOOK = 32;

export class ProxyStage extends Stage {
  /** A proxy's connections are those of many clients: whose this is, the header says. */
  readonly clientAddress = "";
  private readonly sparing: boolean;
  private asAccepted: NetSocket | undefined = undefined;
  private headerBytes = 0;
  private cancelLook: (() => void) | undefined = undefined;

  /** @param sparing read nothing beyond the header */
  constructor(listener: Listener, services: StageServices, nextOwner: NextOwner, sparing: boolean) {
    super(listener, services, nextOwner);
    this.sparing = sparing;
  }

  protected opened(socket: NetSocket): void {
    this.asAccepted = socket;
    const { proxyProtocol } = this.listener.config;
    // One too many is told so in the protocol that it speaks: the owner after this one counts again.
    this.listener.add(this);
    if (proxyProtocol === undefined || !this.listener.sendsProxyHeader(plainAddress(socket.remoteAddress))) {
      this.pass(undefined);
      return;
    }
    this.headerBytes = proxyProtocol.headerBytes;
    this.within(proxyProtocol.timeout);
    if (this.sparing) {
      this.pause();
      this.look(Buffer.allocUnsafe(Math.max(this.headerBytes, MAX_LINE)), FIRST_LOOK);
    }
  }

  protected get peer(): Peer | undefined {
    return this.asAccepted;
  }

  protected read(bytes: Buffer): void {
    const header = this.judge(bytes);
    if (header !== undefined) this.pass(arrivalOf(header, this.asAccepted!), bytes.subarray(header.length));
  }

  /** Undefined: it is not whole, or was refused. */
  private judge(bytes: Buffer): ProxyHeader | undefined {
    const header = readProxyHeader(bytes, this.headerBytes);
    if (header === "more") return undefined;
    if (!("problem" in header)) return header;
    this.refuse("bad-proxy-header", header.problem);
    return undefined;
  }

  /** @param pause ms until the next look, when there is not enough yet */
  private look(seen: Buffer, pause: number): void {
    const { network } = this.services;
    const socket = this.asAccepted!;
    const length = network.peek(socket, seen);
    if (length === 0) {
      this.end();
      return;
    }
    const header = length < 0 ? undefined : this.judge(seen.subarray(0, length));
    if (header !== undefined) {
      network.take(socket, seen, header.length);
      this.resume();
      this.pass(arrivalOf(header, socket));
    } else if (this.isOpen) this.cancelLook = network.clock.after(pause, () => this.look(seen, Math.min(2 * pause, LAST_LOOK)));
  }

  protected cutShort(): void {
    this.refuse("bad-proxy-header", "it ended within the header");
  }

  protected override closed(): void {
    this.cancelLook?.();
    super.closed();
  }

  protected due(): void {
    this.refuse("proxy-header-timeout", "no PROXY protocol header in time");
  }
}

function arrivalOf({ peer, authority, alpn, uniqueId }: ProxyHeader, socket: NetSocket): Arrival | undefined {
  const hello = authority === "" && alpn === "" ? {} : { hello: { serverName: authority, alpn: alpn === "" ? [] : [alpn] } };
  return { peer: peer ?? socket, ...hello, ...(uniqueId === undefined ? {} : { uniqueId }) };
}

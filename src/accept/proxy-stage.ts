/** Waits for the header of the PROXY protocol from those who must send one; others go on at once as what their socket says. */
import { plainAddress } from "../net/endpoint.ts";
import type { NetSocket } from "../net/network.ts";
import type { Arrival, Peer } from "./arrival.ts";
import { type ProxyHeader, readProxyHeader } from "./proxy-header.ts";
import { Stage } from "./stage.ts";

export class ProxyStage extends Stage {
  /** A proxy's connections are those of many clients: whose this is, the header says. */
  readonly clientAddress = "";
  private headerBytes = 0;
  private asAccepted: NetSocket | undefined = undefined;

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
  }

  protected get peer(): Peer | undefined {
    return this.asAccepted;
  }

  protected read(bytes: Buffer): void {
    const header = readProxyHeader(bytes, this.headerBytes);
    if (header === "more") return;
    if ("problem" in header) this.refuse("bad-proxy-header", header.problem);
    else this.pass(arrivalOf(header, this.asAccepted!), bytes.subarray(header.length));
  }

  protected cutShort(): void {
    this.refuse("bad-proxy-header", "it ended within the header");
  }

  onDeadline(): void {
    this.refuse("proxy-header-timeout", "no PROXY protocol header in time");
  }
}

function arrivalOf({ peer, authority, alpn, uniqueId }: ProxyHeader, socket: NetSocket): Arrival | undefined {
  const hello = authority === "" && alpn === "" ? {} : { hello: { serverName: authority, alpn: alpn === "" ? [] : [alpn] } };
  return { peer: peer ?? socket, ...hello, ...(uniqueId === undefined ? {} : { uniqueId }) };
}

/** Waits for the ClientHello of a client whose TLS ends at the target, and hands all of it on with the name that it asks for. */
import { plainAddress } from "../net/endpoint.ts";
import type { NetSocket } from "../net/network.ts";
import type { Listener } from "../routing/listener.ts";
import type { Arrival, Peer } from "./arrival.ts";
import { readClientHello } from "./client-hello.ts";
import { type NextOwner, Stage, type StageServices } from "./stage.ts";

export class HelloStage extends Stage {
  clientAddress = "";
  protected peer: Peer | undefined = undefined;
  private readonly arrival: Arrival | undefined;

  constructor(listener: Listener, services: StageServices, nextOwner: NextOwner, arrival: Arrival | undefined) {
    super(listener, services, nextOwner);
    this.arrival = arrival;
  }

  protected opened(socket: NetSocket): void {
    this.peer = this.arrival?.peer ?? socket;
    this.clientAddress = plainAddress(this.peer.remoteAddress);
    const refused = this.listener.add(this);
    if (refused === undefined) this.within(this.listener.config.timeouts.tlsHandshake);
    else this.refuse(refused, "");
  }

  protected read(bytes: Buffer): void {
    const hello = readClientHello(bytes, this.listener.config.limits.clientHelloBytes);
    if (hello === "more") return;
    if ("problem" in hello) this.refuse("bad-client-hello", hello.problem);
    else this.pass({ peer: this.peer!, ...this.arrival, hello }, bytes);
  }

  protected cutShort(): void {
    this.refuse("bad-client-hello", "it ended within the ClientHello");
  }

  protected due(): void {
    this.refuse("client-hello-timeout", "no ClientHello in time");
  }
}

/** What the requests of one client have in common, whatever codec they come by: who sent them, what targets are told of that, and which way they go. */
import type { Arrival, Peer } from "../accept/arrival.ts";
import { least } from "../net/least.ts";
import { CAUSES, type Cause } from "../observability/cause.ts";
import type { Listener } from "../routing/listener.ts";
import { Name } from "./fields.ts";
import { forwardedLines, type ForwardedBy, type OwnField, type RequestForward } from "./forward.ts";
import type { Exchange } from "./exchange.ts";
import { answerHere, isIdempotent, type Answer } from "./admission.ts";
import { deadlineOf } from "./deadline.ts";
import type { ReplyHead } from "./h1/reply-head.ts";
import type { RequestHead } from "./h1/request-head.ts";
import type { RequestView } from "./request-view.ts";
import { OwnConnections } from "./own-connections.ts";
import type { Services } from "./services.ts";
import { traceparentOf } from "./tracing.ts";

/** What is sent on of an exchange, and whose child the target's spans are. */
type Forwardable<Way> = Pick<Exchange, "upstream" | "asksUpgrade" | "requestId" | "trace"> & { spanOf(stream: Way): string };

export class Reception {
  readonly listener: Listener;
  readonly arrival: Arrival | undefined;
  private readonly services: Services;
  /** Who the client's certificate says that it is, as targets are told. */
  readonly subject: OwnField | undefined;
  private by: ForwardedBy | undefined = undefined;
  private lines = "";
  private ownConnections: OwnConnections | undefined = undefined;

  constructor(listener: Listener, services: Services, arrival: Arrival | undefined) {
    this.listener = listener;
    this.services = services;
    this.arrival = arrival;
    this.subject = subjectField(listener.config.tls?.clientSubjectHeader, arrival?.tls?.clientSubject ?? "");
  }

  /** How long a request may take, in ms; 0: no limit. */
  wholeOf(head: RequestHead): number {
    return least(this.listener.config.timeouts.request, deadlineOf(head));
  }

  /** When a request that begins now must be over, in clock ms; 0: no limit. */
  endOf(head: RequestHead): number {
    const whole = this.wholeOf(head);
    return whole > 0 ? this.services.network.clock.now + whole : 0;
  }

  /** Begin the exchange of a request whose head the view shows. Not undefined: it is to be answered here. */
  admit(exchange: Exchange, head: RequestHead): Answer | undefined {
    exchange.begin();
    exchange.toHead = head.methodIs("HEAD");
    exchange.idempotent = isIdempotent(head);
    if (this.services.witnesses?.wantMost === true) exchange.telemetry.describe(head);
    return answerHere(head, this.listener.config, this.services.draining || this.services.board.draining, this.services.challenges);
  }

  /** Send it where its route says. */
  dispatch(exchange: Exchange, head: RequestHead, view: RequestView): void {
    exchange.telemetry.trace = this.services.tracing?.begin(head, this.arrival?.tls === undefined ? "http" : "https");
    const match = this.listener.router.route(view);
    if (match === undefined) {
      exchange.fail("no-route", "");
      return;
    }
    const { upstream } = match;
    if (this.makesId(head, view)) exchange.telemetry.requestId = this.makeRequestId();
    view.keySource = upstream.config.hash.key;
    exchange.dispatch(match, upstream.config.policy.kind === "builtin" ? view : view.copy());
  }

  /** The request gets an ID of our making. */
  makesId(head: RequestHead, view: RequestView): boolean {
    const { requestId } = this.listener.config.forwarding;
    return requestId !== "off" && (requestId === "always" || !head.has(Name.X_REQUEST_ID) || !this.forwardedBy(view).trusted);
  }

  /** What goes on with the request to this stream's target. @param via our line of Via */
  forward<Way extends { readonly target: { readonly name: string } }>(exchange: Forwardable<Way>, view: RequestView, stream: Way, via: string): RequestForward {
    const { config } = this.listener;
    const { trace } = exchange;
    return {
      config: config.forwarding,
      upstream: exchange.upstream!.config,
      by: this.forwardedBy(view),
      lines: this.lines,
      targetName: stream.target.name,
      upgrade: exchange.asksUpgrade,
      requestId: exchange.requestId,
      traceparent: trace === undefined ? undefined : traceparentOf(trace, exchange.spanOf(stream)),
      dropTracestate: trace?.parent === "",
      dropUnderscores: config.underscoreNames !== "allow",
      via,
      own: this.subject,
    };
  }

  /** @param lines field lines of our own @returns the same, with what this listener adds to every reply */
  replyLines(head: ReplyHead, lines: string): string {
    const { hsts } = this;
    return hsts === "" || head.get("strict-transport-security") !== undefined ? lines : lines + hsts;
  }

  /** A field line with its CRLF; "": none is wanted (RFC 6797 section 7). */
  get hsts(): string {
    const value = this.arrival?.tls === undefined ? undefined : this.listener.config.tls?.hsts;
    return value === undefined ? "" : `Strict-Transport-Security: ${value}\r\n`;
  }

  /** @param peer what the socket says; it counts when nothing else is known */
  own(peer: Peer): OwnConnections {
    return (this.ownConnections ??= new OwnConnections(this.arrival ?? { peer }));
  }

  /** For people: somebody was told no. @param client asked for only if it is told, for that can cost a system call @param protocol absent: HTTP/1 */
  tellRefused(client: () => string, cause: Cause, status: number, detail: string, protocol?: "h2"): void {
    const { log } = this.services;
    if (!log.allows(cause)) return;
    const { phase } = CAUSES[cause];
    log.write("info", { cause, phase, status, detail, client: client(), listener: this.listener.config.name, ...(protocol === undefined ? {} : { protocol }) }, "Request refused");
  }

  /** The client is gone. */
  leave(): void {
    this.ownConnections?.close();
  }

  private forwardedBy(view: RequestView): ForwardedBy {
    if (this.by === undefined) {
      const address = view.clientAddress;
      this.by = { address: address === "" ? "unknown" : address, trusted: this.listener.isTrusted(address), proto: this.arrival?.tls === undefined ? "http" : "https" };
      this.lines = forwardedLines(this.by);
    }
    return this.by;
  }

  private makeRequestId(): string {
    const { network } = this.services;
    const part = (): string => Math.floor(network.random() * 2 ** 32).toString(16).padStart(8, "0");
    return part() + part() + part() + part();
  }
}

/** That there was no certificate is ours to say too: nothing stands under the name then. */
function subjectField(name: string | undefined, subject: string): OwnField | undefined {
  if (name === undefined) return undefined;
  return { name: Buffer.from(name.toLowerCase().replaceAll("_", "-")), line: subject === "" ? "" : `${name}: ${subject}\r\n` };
}

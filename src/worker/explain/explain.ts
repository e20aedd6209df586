/**
 * Which way a request would go, and why: the code that requests go through, on the state of now, with nothing sent and nothing changed.
 * Heads are parsed and admitted by what parses and admits them, routes and policies tell of themselves.
 */
import type { Arrival } from "../../accept/arrival.ts";
import type { Explained, RequestToExplain } from "../../admin/explained.ts";
import { formatAddress } from "../../config/values.ts";
import type { Faults } from "../../faults/faults.ts";
import { answerHere, isIdempotent } from "../../http/admission.ts";
import { asksUpgrade } from "../../http/upgrade.ts";
import { Name } from "../../http/fields.ts";
import { isGrpc } from "../../http/grpc.ts";
import { Parse, refusals } from "../../http/h1/head.ts";
import { RequestHead } from "../../http/h1/request-head.ts";
import { Reception } from "../../http/reception.ts";
import { RequestView } from "../../http/request-view.ts";
import type { Services } from "../../http/services.ts";
import { formatEndpoint } from "../../net/endpoint.ts";
import { CAUSES, type Cause } from "../../observability/cause.ts";
import type { RoutingRequest } from "../../policies/policy.ts";
import { clientKey } from "../../routing/key.ts";
import type { Listener } from "../../routing/listener.ts";
import { normalizePath } from "../../routing/path.ts";
import type { Upstream } from "../../upstream/upstream.ts";
import { appliesOf } from "./applies.ts";
import { endOf, faultsOf } from "./faults.ts";
import { forwardedOf } from "./forwarded.ts";
import { type Asked, askedOf, type Candidate, listenerFor } from "./request.ts";
import { upstreamOf } from "./upstream.ts";

/** What a data plane knows that this needs. */
export interface Sources {
  readonly generation: number;
  readonly services: Services;
  readonly listeners: readonly { readonly listener: Listener; readonly port: number }[];
}

type Outcome = Explained["outcome"];

const MAX_FIELDS = 1000;
const VIA = "Via: 1.1 fairlead\r\n";
/** What the Host field is, where it is the target's address and chance decides which one. */
const ANY_TARGET = "(the target)";
/** A request ID that nobody has. */
const NO_ID = "0".repeat(32);

/** @throws Unexplainable */
export async function explain(question: RequestToExplain, sources: Sources): Promise<Explained> {
  const asked = askedOf(question);
  const candidates = sources.listeners.map(({ listener: { config }, port }): Candidate => ({ config, port }));
  const found = listenerFor(asked, question.listener, candidates);
  const { listener } = sources.listeners.find((other) => other.listener.config === found.config)!;
  const { config } = listener;
  const teller = config.protocol === "http" ? new HttpRequest(asked, listener, sources.services, question) : new Connection(asked, config.protocol);
  const { request } = teller;
  const told: Explained = {
    worker: process.pid,
    generation: sources.generation,
    outcome: undecided,
    request: { protocol: config.protocol, method: request.method, host: request.host, path: request.path, path_for_routes: config.protocol === "http" ? normalizePath(request.path) : "", client: formatEndpoint(asked.client, asked.clientPort) },
    listener: { name: config.name, address: addressOf(found), protocol: config.protocol, tls: config.tls !== undefined, found_by: found.foundBy, clients: sources.services.board.clientsOf(listener.index), max_clients: config.maxClients },
    routes: [],
    faults: [],
    upstream: null,
    applies: null,
    forwarded: null,
  };
  const turnedAway = listener.refusalFor(asked.client);
  if (turnedAway !== undefined) return { ...told, outcome: refused(turnedAway, {}, config.protocol === "http") };
  if (teller.here !== undefined) return { ...told, outcome: teller.here };
  return { ...told, ...(await beyond(listener, teller, sources.services.faults, question.ask_policy === true)) };
}

const undecided: Outcome = { kind: "undecided", route: null, upstream: null, target: null, status: null, summary: "" };

function addressOf({ config: { address }, port }: Candidate): string {
  return formatAddress(address.kind === "tcp" && address.port === 0 ? { ...address, port } : address);
}

function refused(cause: Cause, where: Partial<Outcome>, isHttp: boolean, why: string = cause): Outcome {
  const { status } = CAUSES[cause];
  return { ...undecided, ...where, kind: "refused", status: isHttp && status > 0 ? status : null, summary: isHttp ? `${status}: ${why}` : why };
}

/** A request that is not answered here: route, upstream, target. */
async function beyond(listener: Listener, teller: HttpRequest | Connection, faults: Faults | undefined, ask: boolean): Promise<Pick<Explained, "outcome" | "routes" | "faults" | "upstream" | "applies" | "forwarded">> {
  const { request } = teller;
  const isHttp = listener.config.protocol === "http";
  const routes = listener.router.explain(request).map(({ route, label, failed }) => ({ label, upstream: route.upstream, matched: failed === undefined, failed: failed === undefined ? null : { ...failed, seen: failed.seen ?? null } }));
  const match = listener.router.route(request);
  if (match === undefined) return { outcome: refused("no-route", {}, isHttp, "no route matches, and the listener has no upstream of its own"), routes, faults: [], upstream: null, applies: null, forwarded: null };
  const { upstream } = match;
  teller.goesTo(upstream);
  const pick = await upstream.explain(request, ask);
  const { hash } = upstream.config;
  const where = { route: match.route === undefined ? null : match.label, upstream: upstream.name };
  const told = upstreamOf(upstream, request, hash.key, pick);
  const applies = appliesOf(listener.config, upstream, teller.manner);
  const forwarded = teller instanceof HttpRequest ? teller.forwarded(upstream, pick.pick?.name ?? ANY_TARGET) : null;
  const findings = faults?.explain({ listener: listener.config.name, route: match.label, upstream: upstream.name }, request, teller.isCall) ?? [];
  const injected = faultsOf(findings, pick.pick?.name);
  const rest = { routes, faults: injected, upstream: told, applies, forwarded };
  // They come before all that an upstream may say.
  const end = endOf(findings, injected);
  if (end !== undefined) return { ...rest, outcome: { ...undecided, ...where, ...end } };
  if (told.breaker?.admits === "no") return { ...rest, outcome: refused("circuit-open", where, isHttp, `the circuit breaker of ${upstream.name} is ${told.breaker.state}`) };
  const mayWait = upstream.queue.length < upstream.config.queue.size;
  const waits = (why: string): Outcome => (mayWait ? { ...undecided, ...where, kind: "queued", summary: `waits for a place: ${why}` } : refused("queue-full", where, isHttp, why));
  if (upstream.isWaitedFor) return { ...rest, outcome: waits(`${upstream.queue.length} wait before it`) };
  if (!pick.hasRoom) return { ...rest, outcome: upstream.isFull([]) ? waits(`every target of ${upstream.name} is full`) : refused("no-target", where, isHttp, `no target of ${upstream.name} is usable`) };
  const goes = (summary: string): Outcome => ({ ...undecided, ...where, kind: pick.pick === undefined ? "undecided" : "forwarded", target: pick.pick?.name ?? null, summary });
  if (pick.pick !== undefined) return { ...rest, outcome: goes(pick.by === "sticky" ? "by its sticky cookie" : `by ${told.policy}`) };
  return { ...rest, outcome: goes(pick.tiers.filter(({ load }) => load > 0).length > 1 ? "chance decides between tiers" : pick.tiers.some(({ policy }) => policy?.scores?.some(({ probability }) => probability !== undefined) === true) ? "chance decides between targets" : "its policy does not say") };
}

/** One of an http listener. */
class HttpRequest {
  readonly request: RequestView;
  /** It goes no further. */
  readonly here: Outcome | undefined;
  private readonly head = new RequestHead(MAX_FIELDS);
  private readonly listener: Listener;
  private readonly reception: Reception;

  constructor(asked: Asked, listener: Listener, services: Services, { client_subject: clientSubject = "" }: RequestToExplain) {
    const { config } = listener;
    const { head } = asked;
    const peer = { remoteAddress: asked.client, remotePort: asked.clientPort, localAddress: "", localPort: 0 };
    const arrival: Arrival = { peer, ...(config.tls === undefined ? {} : { tls: { alpn: "http/1.1", serverName: asked.name, clientSubject } }) };
    this.listener = listener;
    this.reception = new Reception(listener, services, arrival);
    this.request = new RequestView(this.head);
    this.request.peer = peer;
    this.request.show(head, 0, head.length, config.limits);
    const result = this.head.parse(head, 0, head.length, config.limits);
    this.here = this.answer(result, services);
  }

  private answer(result: number, services: Services): Outcome | undefined {
    if (result !== Parse.OK) {
      const [status, reason] = refusals[result] ?? [400, "the head is not whole"];
      return { ...undecided, kind: "answered", status, summary: `${status}: ${reason}` };
    }
    const answer = answerHere(this.head, this.listener.config, services.draining || services.board.draining, services.challenges);
    if (answer === undefined) return undefined;
    const { status, text, location } = answer;
    return { ...undecided, kind: "answered", status, summary: `${status}: ${location === undefined ? text.trim() : `go to ${location}`}` };
  }

  goesTo({ config }: Upstream): void {
    this.request.keySource = config.hash.key;
  }

  get manner(): Parameters<typeof appliesOf>[2] {
    return { whole: this.reception.wholeOf(this.head), idempotent: isIdempotent(this.head), upgrade: asksUpgrade(this.head), isRequest: true };
  }

  /** Calls are HTTP/2's: one that looks like one is taken to have come by it. */
  get isCall(): boolean {
    return this.head.has(Name.TE) && isGrpc(this.head);
  }

  forwarded(upstream: Upstream, targetName: string): Explained["forwarded"] {
    const made = this.reception.makesId(this.head, this.request);
    const forward = this.reception.forward({ upstream, asksUpgrade: asksUpgrade(this.head), requestId: made ? NO_ID : undefined, trace: undefined, spanOf: () => "" }, this.request, { target: { name: targetName } }, VIA);
    return forwardedOf(this.head, forward, made);
  }
}

/** A connection of a tcp listener, or a client of a udp one: all that a policy sees of it is where it is from. */
class Connection {
  readonly request: RoutingRequest;
  readonly here = undefined;
  readonly isCall = false;
  readonly manner = { whole: 0, idempotent: false, upgrade: false, isRequest: false };

  constructor({ client, clientPort, name }: Asked, protocol: "tcp" | "tls-passthrough" | "udp") {
    this.request = { protocol: protocol === "udp" ? "udp" : "tcp", clientAddress: client, clientPort, method: "", host: protocol === "tls-passthrough" ? name : "", path: "", key: clientKey(client), header: () => undefined };
  }

  goesTo(_upstream: Upstream): void {
    // Its key is its client's address, whatever the upstream says.
  }
}

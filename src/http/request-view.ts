/** An HTTP/1 request as router and policies see it: strings are made when somebody asks, from the bytes that came. */
import type { Peer } from "../accept/arrival.ts";
import type { HashKey } from "../config/snapshot.ts";
import { plainAddress } from "../net/endpoint.ts";
import type { HeadText } from "../observability/head-text.ts";
import type { RoutingRequest } from "../policies/policy.ts";
import { keyOf } from "../routing/key.ts";
import { Name } from "./fields.ts";
import { joined } from "./forward.ts";
import type { HeadLimits } from "./h1/head.ts";
import type { RequestHead } from "./h1/request-head.ts";

/** A request for people; "" where nothing is known. */
export interface RequestDescription {
  readonly client: string;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  /** As the client sent it. */
  readonly requestId: string;
}

function describeHead(client: string, head: RequestHead): RequestDescription {
  return { client, method: head.method, host: head.host, path: head.target, requestId: head.has(Name.X_REQUEST_ID) ? joined(head, Name.X_REQUEST_ID) : "" };
}

export class RequestView implements RoutingRequest {
  readonly protocol = "http";
  /** Whose addresses are asked for once, when somebody wants them: each costs a system call. */
  peer: Peer | undefined = undefined;
  /** What `key` is made of: the upstream says. */
  keySource: HashKey | undefined = undefined;
  private address: string | undefined = undefined;
  private port: number | undefined = undefined;
  private scratch: RequestHead;
  private buffer: Buffer | undefined = undefined;
  private at = 0;
  private end = 0;
  private limits: HeadLimits | undefined = undefined;

  /** @param scratch the worker's parser, which may be holding another message by the time that somebody asks */
  constructor(scratch: RequestHead) {
    this.scratch = scratch;
  }

  /** Look at the head that was parsed just now from buffer[at, end). */
  show(buffer: Buffer, at: number, end: number, limits: HeadLimits): void {
    this.buffer = buffer;
    this.at = at;
    this.end = end;
    this.limits = limits;
  }

  /** Let go of all bytes but those of the head, which ends at `end`. */
  keepOnly(end: number): void {
    if (this.buffer === undefined) return;
    this.buffer = Buffer.from(this.buffer.subarray(this.at, end));
    this.end = this.buffer.length;
    this.at = 0;
  }

  /** Let go of the bytes. */
  clear(): void {
    this.buffer = undefined;
  }

  get hasHead(): boolean {
    return this.buffer !== undefined;
  }

  /** A view of its own for code that may keep it. */
  copy(): RequestView {
    const copy = new RequestView(this.scratch);
    copy.peer = this.peer;
    copy.keySource = this.keySource;
    copy.address = this.address;
    copy.port = this.port;
    copy.buffer = this.buffer;
    copy.at = this.at;
    copy.end = this.end;
    copy.limits = this.limits;
    return copy;
  }

  /** The head, parsed once more if the parser has moved on. It parsed before, so it parses again. */
  get head(): RequestHead {
    const { scratch, buffer } = this;
    if (buffer !== undefined && (scratch.buffer !== buffer || scratch.parsedAt !== this.at)) {
      scratch.parse(buffer, this.at, this.end, this.limits!);
    }
    return scratch;
  }

  /** @param scratch a parser of its own: somebody may be in the middle of what the worker's holds */
  describe(client: string, scratch: RequestHead): RequestDescription {
    if (this.buffer === undefined) return { client, method: "", host: "", path: "", requestId: "" };
    return describeHead(client, this.parsedBy(scratch));
  }

  /** Only where there is a head. @param scratch as `describe` needs it */
  parsedBy(scratch: RequestHead): RequestHead {
    scratch.parse(this.buffer!, this.at, this.end, this.limits!);
    return scratch;
  }

  /** Where the head is now, for who knows what stands where in it. */
  locate(text: HeadText): void {
    text.buffer = this.buffer;
    text.base = this.at;
  }

  get clientAddress(): string {
    return (this.address ??= plainAddress(this.peer?.remoteAddress));
  }

  get clientPort(): number {
    return (this.port ??= this.peer?.remotePort ?? 0);
  }

  get method(): string {
    return this.head.method;
  }

  get host(): string {
    return this.head.host;
  }

  get path(): string {
    return this.head.target;
  }

  get key(): string | undefined {
    return this.keySource === undefined ? undefined : keyOf(this, this.keySource);
  }

  header(name: string): string | undefined {
    return this.head.get(name.toLowerCase());
  }
}

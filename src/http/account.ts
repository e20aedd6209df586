/**
 * What is told of a request, read from what its exchange keeps: nothing is made before somebody asks for it. Good while the exchange ends; who keeps an
 * account has a copy made.
 */
import { type Account, type Attempt, candidateNames, type Trace } from "../observability/account.ts";
import type { Cause } from "../observability/cause.ts";
import { HeadText, type Passing, Slot } from "../observability/head-text.ts";
import type { Placement } from "../upstream/placement.ts";
import { Name } from "./fields.ts";
import { joined } from "./forward.ts";
import type { RequestHead } from "./h1/request-head.ts";
import type { Services } from "./services.ts";
import type { Downstream } from "./sides.ts";
import type { Telemetry } from "./telemetry.ts";

const NO_TRIES: readonly Attempt[] = [];

export class HttpAccount implements Passing {
  at = 0;
  milliseconds = 0;
  status = 0;
  cause: Cause = "done";
  readonly text = new HeadText();
  /** The fields that it was taken down with. */
  private marked: readonly string[] | undefined = undefined;
  private readonly telemetry: Telemetry;
  private readonly placement: Placement;
  private readonly downstream: Downstream;
  private readonly services: Services;

  constructor(telemetry: Telemetry, placement: Placement, downstream: Downstream, services: Services) {
    this.telemetry = telemetry;
    this.placement = placement;
    this.downstream = downstream;
    this.services = services;
  }

  /** Another request begins. */
  begin(): void {
    this.text.clear();
  }

  /** Take down where its texts are, now that its head is parsed. */
  mark(head: RequestHead): void {
    const { accountFields } = this.services;
    this.marked = accountFields;
    mark(this.text, head, accountFields);
  }

  /** The exchange has ended so. */
  end(cause: Cause, status: number, milliseconds: number): this {
    const { text, services } = this;
    const { view } = this.downstream;
    this.cause = cause;
    this.status = status;
    this.milliseconds = milliseconds;
    this.at = services.network.clock.wall() - milliseconds;
    // A reload may have brought another log, which tells other fields.
    if ((text.isEmpty || this.marked !== services.accountFields) && view.hasHead) {
      text.clear();
      this.mark(view.parsedBy(services.toldHead));
    }
    view.locate(text);
    return this;
  }

  /** Whoever wanted to know does; nothing of the request stays for it. */
  letGo(): void {
    this.text.buffer = undefined;
  }

  get protocol(): Account["protocol"] {
    return this.downstream.protocol;
  }

  get listener(): string {
    return this.downstream.listener.config.name;
  }

  get route(): string {
    return this.telemetry.match?.label ?? "";
  }

  get upstream(): string {
    return this.placement.upstream?.name ?? "";
  }

  get target(): string {
    return this.telemetry.target?.name ?? "";
  }

  get client(): string {
    return this.downstream.clientName;
  }

  get address(): string {
    return this.downstream.view.clientAddress;
  }

  get method(): string {
    return this.text.text(Slot.METHOD);
  }

  get host(): string {
    return this.text.text(Slot.HOST);
  }

  get path(): string {
    return this.text.text(Slot.PATH);
  }

  get fields(): readonly string[] {
    return this.services.accountFields.map((_, index) => this.text.text(Slot.FIELDS + index));
  }

  get requestId(): string {
    return this.telemetry.requestId ?? this.text.text(Slot.REQUEST_ID);
  }

  get grpcStatus(): number | undefined {
    return this.telemetry.callStatus(this.cause, this.status);
  }

  get detail(): string {
    return this.telemetry.detail;
  }

  get fault(): string {
    return this.telemetry.fault;
  }

  get queued(): number {
    return this.placement.queued;
  }

  get connect(): number {
    return this.telemetry.connect;
  }

  get firstByte(): number {
    const { answeredAt, startedAt } = this.telemetry;
    return answeredAt === 0 ? 0 : answeredAt - startedAt;
  }

  get bytesIn(): number {
    return this.downstream.bytesIn;
  }

  get bytesOut(): number {
    return this.telemetry.bytesOut;
  }

  get attempts(): number {
    return this.placement.attempts;
  }

  /** With the last one, which ended with the exchange. */
  get tries(): readonly Attempt[] {
    const { tries } = this.telemetry;
    const last = this.telemetry.lastTry(this.cause, this.milliseconds);
    if (last === undefined) return tries ?? NO_TRIES;
    // A hedge that lost began after the one that won.
    return tries === undefined ? [last] : [...tries, last].toSorted((a, b) => a.at - b.at);
  }

  get candidates(): readonly string[] {
    return candidateNames(this.placement.candidates);
  }

  get candidateCount(): number {
    return this.placement.candidates.length;
  }

  get trace(): Trace | undefined {
    return this.telemetry.trace;
  }
}

/** In the order of `Slot`. */
function mark(text: HeadText, head: RequestHead, fields: readonly string[]): void {
  const { parsedAt, pathStart, pathEnd } = head;
  text.add(head.start - parsedAt, head.methodEnd - parsedAt);
  text.add(head.hostStart - parsedAt, head.hostEnd - parsedAt);
  if (head.form === "absolute") text.addScattered(head.target);
  else text.add(pathStart - parsedAt, pathEnd - parsedAt);
  if (head.has(Name.X_REQUEST_ID)) text.addScattered(joined(head, Name.X_REQUEST_ID));
  else text.add(0, 0);
  for (let index = 0; index < fields.length; index++) {
    const name = fields[index]!;
    const at = head.findName(name);
    if (at < 0) text.add(0, 0);
    else if (head.findName(name, at + 1) >= 0) text.addScattered(head.get(name)!);
    else text.add(head.valueStart[at]! - parsedAt, head.valueEnd[at]! - parsedAt);
  }
}

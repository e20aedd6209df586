/** Which trace a request belongs to, and what its targets are told of that (W3C Trace Context). */
import type { TracingConfig } from "../config/snapshot.ts";
import type { Trace } from "../observability/account.ts";
import { formatTraceparent, newSpanId, newTraceId, parseTraceparent } from "../observability/tracing/traceparent.ts";
import { Name } from "./fields.ts";
import { joined } from "./forward.ts";
import type { RequestHead } from "./h1/request-head.ts";

export class Tracing {
  private readonly config: TracingConfig;
  private readonly random: () => number;

  /** @param random uniform in [0, 1) */
  constructor(config: TracingConfig, random: () => number) {
    this.config = config;
    this.random = random;
  }

  /**
   * The request's place in its trace. Undefined: its client's trace is not recorded, and goes on as it came: a span of ours that is told to nobody
   * must not stand between two that are.
   */
  begin(head: RequestHead, scheme: Trace["scheme"]): Trace | undefined {
    const { config, random } = this;
    const came = config.parent === "trust" && head.has(Name.TRACEPARENT) ? parseTraceparent(joined(head, Name.TRACEPARENT)) : undefined;
    if (came?.sampled === false) return undefined;
    const sampled = came !== undefined || random() < config.sample;
    return {
      id: came?.traceId ?? newTraceId(random),
      parent: came?.spanId ?? "",
      state: came === undefined || !head.has(Name.TRACESTATE) ? "" : joined(head, Name.TRACESTATE),
      span: newSpanId(random),
      sampled,
      scheme,
      userAgent: sampled ? (head.get("user-agent") ?? "") : "",
    };
  }

  /** For an attempt of a request that is recorded. */
  newSpan(): string {
    return newSpanId(this.random);
  }
}

/** What its target is told. @param span that the target's spans are children of */
export function traceparentOf({ id, sampled }: Trace, span: string): string {
  return formatTraceparent({ traceId: id, spanId: span, sampled });
}

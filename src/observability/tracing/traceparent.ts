/** The `traceparent` field of W3C Trace Context (https://www.w3.org/TR/trace-context/, section 3.2). */

export interface TraceParent {
  /** 32 lower-case hexadecimal digits. */
  readonly traceId: string;
  /** 16 of them: the span of whoever sent it. */
  readonly spanId: string;
  readonly sampled: boolean;
}

/** What later versions append is not ours to understand: section 3.2.4. */
const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const FORBIDDEN_VERSION = "ff";
const KNOWN_VERSION = "00";
const SAMPLED = 1;

/** Undefined: it is invalid, and the trace is to be begun anew (section 4.2). */
export function parseTraceparent(value: string): TraceParent | undefined {
  const [, version, traceId, spanId, flags, more] = FORM.exec(value) ?? [];
  if (version === undefined || traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (version === FORBIDDEN_VERSION || (version === KNOWN_VERSION && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 };
}

/** Flags that we do not know are zero: section 3.2.2.5. */
export function formatTraceparent({ traceId, spanId, sampled }: TraceParent): string {
  return `${KNOWN_VERSION}-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}

/** @param random uniform in [0, 1) */
export function newTraceId(random: () => number): string {
  return word(random) + word(random) + word(random) + word(random);
}

export function newSpanId(random: () => number): string {
  return word(random) + word(random);
}

/** 32 bits, never all of them zero: an id of zeros is invalid. */
function word(random: () => number): string {
  return (Math.floor(random() * (2 ** 32 - 1)) + 1).toString(16).padStart(8, "0");
}

/** The traceparent field: what is written is read again, and nothing else but what the specification allows. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatTraceparent, newSpanId, newTraceId, parseTraceparent } from "../../src/observability/tracing/traceparent.ts";

const digits = (length: number): fc.Arbitrary<string> => fc.array(fc.constantFrom(..."0123456789abcdef"), { minLength: length, maxLength: length }).map((all) => all.join(""));
const id = (length: number): fc.Arbitrary<string> => digits(length).filter((text) => !/^0+$/.test(text));

test("what is written is read again", () => {
  fc.assert(fc.property(id(32), id(16), fc.boolean(), (traceId, spanId, sampled) => expect(parseTraceparent(formatTraceparent({ traceId, spanId, sampled }))).toEqual({ traceId, spanId, sampled })));
});

test("of the flags one is known", () => {
  fc.assert(fc.property(id(32), id(16), fc.integer({ min: 0, max: 255 }), (traceId, spanId, flags) => expect(parseTraceparent(`00-${traceId}-${spanId}-${flags.toString(16).padStart(2, "0")}`)?.sampled).toBe(flags % 2 === 1)));
});

test("any other character anywhere makes it invalid", () => {
  fc.assert(
    fc.property(id(32), id(16), fc.nat(54), fc.constantFrom("g", "A", " ", "/", "é", "-", "0"), (traceId, spanId, at, character) => {
      const whole = formatTraceparent({ traceId, spanId, sampled: true });
      const changed = whole.slice(0, at) + character + whole.slice(at + 1);
      const isDash = [2, 35, 52].includes(at);
      if (isDash === (character === "-") && (isDash || character === "0")) return;
      expect(parseTraceparent(changed)).toBeUndefined();
    }),
  );
});

test("new ids are well-formed, and never zeros, whatever chance says", () => {
  for (const random of [() => 0, () => 1 - 2 ** -53, Math.random]) {
    expect(newTraceId(random)).toMatch(/^(?!0+$)[0-9a-f]{32}$/);
    expect(newSpanId(random)).toMatch(/^(?!0+$)[0-9a-f]{16}$/);
  }
});

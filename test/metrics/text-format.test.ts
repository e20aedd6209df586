/** The parser that holds /metrics to its format: it must refuse what is wrong. */
import { describe, expect, test } from "bun:test";
import { parsePrometheus } from "../support/prometheus-text.ts";

const HEAD = "# HELP a_total x\n# TYPE a_total counter\n";
const HISTOGRAM = "# HELP h x\n# TYPE h histogram\n";

describe("a strict parser of the text format", () => {
  test("reads names, labels with their escapes, and values", () => {
    const [family] = parsePrometheus(`${HEAD}a_total{x="1\\"\\\\\\n",y=""} 1.5e+3\na_total 0\n`).values();
    expect(family!.series).toEqual([{ name: "a_total", labels: { x: '1"\\\n', y: "" }, value: 1500 }, { name: "a_total", labels: {}, value: 0 }]);
  });

  for (const [what, text] of [
    ["no end of line", `${HEAD}a_total 1`],
    ["no TYPE", "a_total 1\n"],
    ["TYPE without HELP", "# TYPE a_total counter\n"],
    ["an unknown type", "# HELP a x\n# TYPE a thing\n"],
    ["a counter without _total", "# HELP a x\n# TYPE a counter\na 1\n"],
    ["a counter below zero", `${HEAD}a_total -1\n`],
    ["a series twice", `${HEAD}a_total{x="1",y="2"} 1\na_total{y="2",x="1"} 1\n`],
    ["a label twice", `${HEAD}a_total{x="1",x="2"} 1\n`],
    ["a quote that is not escaped", `${HEAD}a_total{x="""} 1\n`],
    ["no value", `${HEAD}a_total{x="1"}\n`],
    ["another metric's series", `${HEAD}b_total 1\n`],
    ["a family in two pieces", `${HEAD}a_total 1\n# HELP b x\n# TYPE b gauge\nb 1\n${HEAD}a_total{x="1"} 1\n`],
    ["buckets that go down", `${HISTOGRAM}h_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n`],
    ["no last bucket", `${HISTOGRAM}h_bucket{le="1"} 2\nh_sum 1\nh_count 2\n`],
    ["a count that is not the last bucket", `${HISTOGRAM}h_bucket{le="+Inf"} 2\nh_sum 1\nh_count 1\n`],
    ["no sum", `${HISTOGRAM}h_bucket{le="+Inf"} 2\nh_count 2\n`],
  ] as const) {
    test(`refuses ${what}`, () => expect(() => parsePrometheus(text)).toThrow());
  }
});

/** What a PromQL expression asks for, as Prometheus' own grammar reads it. */
import { parser } from "@prometheus-io/lezer-promql";

export interface Selector {
  readonly metric: string;
  readonly matchers: readonly { readonly label: string; readonly operator: string; readonly value: string }[];
}

export interface Asked {
  readonly selectors: readonly Selector[];
  /** Of `by`, `on` and their kin. */
  readonly labels: readonly string[];
}

/** @throws Error when it is no PromQL */
export function readPromql(expression: string): Asked {
  const selectors: { metric: string; matchers: { label: string; operator: string; value: string }[] }[] = [];
  const labels: string[] = [];
  let grouping = false;
  parser.parse(expression).iterate({
    enter: ({ name, type, from, to }) => {
      const text = expression.slice(from, to);
      if (type.isError) throw new Error(`no PromQL at ${from}: ${expression}`);
      if (name === "VectorSelector") selectors.push({ metric: "", matchers: [] });
      else if (name === "Identifier") selectors.at(-1)!.metric = text;
      else if (name === "GroupingLabels") grouping = true;
      else if (name === "LabelMatchers") grouping = false;
      else if (name === "LabelName" && grouping) labels.push(text);
      else if (name === "LabelName") selectors.at(-1)!.matchers.push({ label: text, operator: "", value: "" });
      else if (name === "MatchOp") selectors.at(-1)!.matchers.at(-1)!.operator = text;
      else if (name === "StringLiteral" && selectors.at(-1)?.matchers.at(-1)?.value === "") selectors.at(-1)!.matchers.at(-1)!.value = JSON.parse(text) as string;
    },
    leave: ({ name }) => {
      if (name === "GroupingLabels") grouping = false;
    },
  });
  return { selectors, labels };
}

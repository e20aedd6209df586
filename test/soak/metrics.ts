/** Some of what `/metrics` tells: asked for each second, it must cost little, and test/metrics/ holds the format. */

export interface Metric {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Those of these names, in their order there; none of ours has an escaped label. */
export function metricsOf(text: string, names: readonly string[]): Metric[] {
  const lines = new RegExp(`^(${names.join("|")})(?:\\{(.*)\\})? (\\S+)$`, "gm");
  return [...text.matchAll(lines)].map(([, name, labels, value]) => ({ name: name!, labels: Object.fromEntries([...(labels ?? "").matchAll(/(\w+)="([^"]*)"/g)].map(([, label, of]) => [label!, of!])), value: Number(value) }));
}

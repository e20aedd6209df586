/** Faults that would be injected into a request, and how likely: by the rules that it would meet, with nothing drawn. */
import type { Explained, ExplainedFault } from "../../admin/explained.ts";
import type { FaultRule } from "../../config/snapshot.ts";
import type { FaultFinding } from "../../faults/faults.ts";
import { clientWords, targetWords } from "../../faults/words.ts";

/** What is nearer to one than this is one. */
const CERTAIN = 1 - 1e-9;

/** @param pick of the first attempt; undefined: chance decides, or nobody may have it */
export function faultsOf(findings: readonly FaultFinding[], pick: string | undefined): ExplainedFault[] {
  // What those before have left.
  let ofClient = 1;
  let atTarget = 1;
  return findings.map(({ rule, failed, fault }) => {
    const { name, effect, percent, until } = rule;
    const side = effect.side === "target" ? "target" : "client";
    const targets = effect.side === "target" ? [...effect.targets] : [];
    let chance: number | null = null;
    if (failed === undefined && side === "client") {
      chance = (ofClient * percent) / 100;
      ofClient -= chance;
    } else if (failed === undefined && pick !== undefined) {
      chance = targets.length === 0 || targets.includes(pick) ? (atTarget * percent) / 100 : 0;
      atTarget -= chance;
    }
    return {
      name,
      side,
      does: does(rule, fault),
      percent,
      targets,
      until: until === undefined ? null : new Date(until).toISOString(),
      matched: failed === undefined,
      failed: failed === undefined ? null : { ...failed, seen: failed.seen ?? null },
      chance: chance === null ? null : Math.round(chance * 1e6) / 1e6,
    };
  });
}

function does({ effect }: FaultRule, fault: FaultFinding["fault"]): string {
  if (fault === "invalid") return "answer 400: its X-Fairlead-Fault cannot be understood";
  if (effect.side === "target") return targetWords(effect);
  const known = fault ?? (effect.side === "client" ? effect : undefined);
  return known === undefined ? "what X-Fairlead-Fault says" : clientWords(known, known.delay ?? 0);
}

/** What the request comes to where faults leave nothing of it; undefined: a target may get it. */
export function endOf(findings: readonly FaultFinding[], told: readonly ExplainedFault[]): Pick<Explained["outcome"], "kind" | "status" | "summary"> | undefined {
  const ends = findings.flatMap(({ rule, fault }, index) => {
    const chance = told[index]!.chance ?? 0;
    if (fault === undefined || chance === 0) return [];
    if (fault === "invalid") return [{ chance, status: 400, summary: told[index]!.does }];
    const { abort, grpcStatus, reset } = fault;
    if (abort === undefined && grpcStatus === undefined && !reset) return [];
    return [{ chance, status: abort ?? null, summary: `fault "${rule.name}": ${told[index]!.does}` }];
  });
  if (ends.reduce((sum, { chance }) => sum + chance, 0) < CERTAIN) return undefined;
  return { kind: "refused", status: ends.length === 1 ? ends[0]!.status : null, summary: ends.map(({ summary }) => summary).join(", or ") };
}

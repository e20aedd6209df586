/** Which way a request would go, and why: `POST /v1/explain`. A worker tells it; what is known of targets' health only where they are checked is added here. */
import type { TargetStatus } from "../health/checker.ts";
import type { EjectionStatus } from "../health/ejection.ts";
import type { RotationStatus } from "../health/rotation.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { type Explained, explained, type ExplainedTarget, type NotExplained, type RequestToExplain, requestToExplain } from "./explained.ts";
import { Problem } from "./problem.ts";

export interface HealthKnown {
  readonly targets: readonly (TargetStatus & RotationStatus)[];
  readonly ejections: readonly EjectionStatus[];
}

/** @param ask a worker @throws Problem */
export function explainEndpoints(ask: (request: RequestToExplain) => Promise<Explained | NotExplained>, health: () => HealthKnown): Endpoint[] {
  return [
    endpoint({
      method: "POST",
      path: "/v1/explain",
      summary: "Say which way a request would go, and why, without sending it: listener, route, upstream, target, and what would apply to it.",
      access: "read",
      body: requestToExplain,
      answers: { 200: { description: "The way it would go now.", schema: explained } },
      handle: async ({ body }) => {
        const answer = await ask(body);
        if ("problem" in answer) throw new Problem(422, answer.problem);
        return withHealth(answer, health());
      },
    }),
  ];
}

/** The same with what checks and ejection know of each target. */
export function withHealth(told: Explained, { targets, ejections }: HealthKnown): Explained {
  const { upstream } = told;
  if (upstream === null) return told;
  const known = new Map(targets.filter((target) => target.upstream === upstream.name).map((target) => [target.name, target]));
  const merged = upstream.targets.map((target): ExplainedTarget => {
    const status = known.get(target.address);
    if (status === undefined) return target;
    const ejection = ejections.find(({ slot }) => slot === status.slot);
    return {
      ...target,
      state: status.state,
      since: status.check === "none" ? null : new Date(status.since).toISOString(),
      check: status.lastResult === undefined ? null : { ok: status.lastResult.ok, reason: status.lastResult.reason },
      ejected: ejection === undefined ? null : { detector: ejection.detector, until: new Date(ejection.until).toISOString(), times: ejection.times },
    };
  });
  return { ...told, upstream: { ...upstream, targets: merged } };
}

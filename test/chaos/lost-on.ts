/** What may be lost when connections between Fairlead and a back end end: what may not be asked twice, and what is only bytes. */
import type { Allowance } from "./judge.ts";
import type { Backend } from "./load/backend.ts";
import type { Failure } from "./load/plan.ts";
import type { Scene } from "./scene.ts";

/**
 * @param connections those that ended: each carried one exchange at most; Infinity: others have ended before that nobody has counted
 * @param was under way at that time
 */
export function lostOn(scene: Scene, backend: Backend, connections: number, was: (failure: Failure) => boolean): Allowance[] {
  const { id } = backend.plan;
  return [
    {
      why: "POSTs that this back end had, which must not be sent twice",
      most: connections,
      // 0: they were in the kernel's hands, and nobody has read them.
      covers: (failure) => failure.method === "POST" && failure.lane !== "tcp" && [0, id].includes(scene.receiverOf(failure.number)) && was(failure),
    },
    {
      why: "on tcp connections to it, which Fairlead only relays",
      most: connections,
      covers: (failure) => failure.lane === "tcp" && (failure.backend === id || failure.answeredBefore === 0) && was(failure),
    },
  ];
}

/** A reply that had begun cannot be asked for again: its client has a part of it. */
export function truncatedOn(connections: number, was: (failure: Failure) => boolean): Allowance {
  return { why: "replies that had begun", most: connections, covers: (failure) => (failure.kind === "truncated" || failure.kind === "stream reset" || failure.kind === "reset") && failure.lane !== "tcp" && failure.detail !== "" && was(failure) };
}

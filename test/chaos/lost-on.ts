/** What may be lost when connections between Fairlead and a back end end: what may not be asked twice, and what is only bytes. */
import type { Allowance } from "./judge.ts";
import type { Backend } from "./load/backend.ts";
import type { Failure } from "./load/plan.ts";
import type { Scene } from "./scene.ts";

/**
 * @param connections those that ended: each carried one exchange at most
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

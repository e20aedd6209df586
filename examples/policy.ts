/**
 * A policy of one's own: every client always goes to the same target, as long as that target is healthy.
 *
 * Use it with `policy = "./policy.ts"` in an upstream. A client is known by the field `X-Session`, if it sends one, or by its address.
 * Rendezvous hashing (Thaler and Ravishankar, 1998): each target draws a number from its own name and the client's, the highest wins.
 * So a target that goes out moves only its own clients, and all workers agree without talking to each other.
 */
import type { RoutingPolicy, RoutingRequest, RoutingTarget } from "fairlead";

const policy: RoutingPolicy = {
  pick(request: RoutingRequest, targets: readonly RoutingTarget[]): RoutingTarget | undefined {
    let best: RoutingTarget | undefined;
    let highest = -1;
    for (const target of targets) {
      const drawn = draw(request, target);
      if (drawn > highest) {
        highest = drawn;
        best = target;
      }
    }
    return best;
  },
  // For `fairlead explain`: the same without a pick, so that people see why.
  explain(request, targets) {
    const scores = targets.map((target) => ({ target, score: draw(request, target), note: "its number for this client" }));
    const order = scores.toSorted((a, b) => b.score - a.score).map(({ target }) => target);
    return { pick: order[0], order, scores, note: `the highest number drawn for client ${clientOf(request)}` };
  },
};

function clientOf(request: RoutingRequest): string {
  return request.header("x-session") ?? request.clientAddress;
}

function draw(request: RoutingRequest, target: RoutingTarget): number {
  return hash(`${clientOf(request)}\n${target.name}`);
}

export default policy;

/** FNV-1a with a final mix (murmur3's), 32 bits: short, and even enough for this. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

/** What a fault does to a tcp connection: it waits, is reset, or what its target sends goes on slowly. */
import type { Faults, Injection } from "../faults/faults.ts";
import { FaultyTargets } from "../faults/faulty-targets.ts";
import { PacedSink } from "../faults/paced-sink.ts";
import type { RoutingRequest } from "../policies/policy.ts";
import type { Match } from "../routing/router.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { TcpClient, TcpServices } from "./relay.ts";

/** @returns true: the connection has ended, or goes on by itself later */
export function injects(faults: Faults, client: TcpClient, listener: string, match: Match<Upstream>, request: RoutingRequest, services: TcpServices): boolean {
  const { placement } = client;
  const passage = { listener, route: match.label, upstream: match.upstream.name };
  const rules = faults.forTargets(passage, request);
  if (rules.length > 0) placement.tellInstead(new FaultyTargets(client, placement, faults, rules));
  const injection = faults.forClient(passage, request, false);
  if (injection === undefined) return false;
  placement.upstream = match.upstream;
  const { rule, fault } = injection;
  const goOn = (): void => {
    if (!faults.isInForce(rule) || !meets(faults, client, injection, services)) placement.seek(match.upstream.current, request);
  };
  const delay = fault === "invalid" || fault.delay === undefined ? 0 : faults.lengthOf(fault.delay);
  client.tell(`fault "${rule.name}"`);
  client.injected(rule.name);
  if (delay > 0) placement.pause((over) => faults.wait(rule, delay, over), goOn);
  else goOn();
  return true;
}

/** @returns true: it has ended */
function meets(faults: Faults, client: TcpClient, { rule, fault }: Injection, { network, wheel }: TcpServices): boolean {
  // Nobody has chosen it: that takes a header.
  if (fault === "invalid") return false;
  if (fault.reset) {
    client.breakOff();
    return true;
  }
  if (fault.throttle > 0) {
    const sink = new PacedSink(client, fault.throttle, { clock: network.clock, wheel }, () => client.sourceMayGoOn(), () => release());
    const release = faults.hold(rule, () => sink.open());
    client.sink = sink;
  }
  return false;
}

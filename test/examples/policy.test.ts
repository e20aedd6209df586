/** The policy of one's own in examples/: typed against the public interface, loaded as the balancer loads it. */
import { describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { loadPolicyModule } from "../../src/policies/module.ts";
import type { RoutingPolicy, RoutingRequest, RoutingTarget } from "../../src/policies/policy.ts";

const FILE = resolve(import.meta.dir, "../../examples/policy.ts");
const target = (name: string): RoutingTarget => ({ name, weight: 1, zone: "", openConnections: 0, openRequests: 0, latency: 0 });
const targets = ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"].map(target);

function request(clientAddress: string, session?: string): RoutingRequest {
  const header = (name: string) => (name.toLowerCase() === "x-session" ? session : undefined);
  return { protocol: "http", clientAddress, clientPort: 1, method: "GET", host: "localhost", path: "/", key: undefined, header };
}

async function load(): Promise<(request: RoutingRequest, among?: readonly RoutingTarget[]) => string> {
  const make = await loadPolicyModule(FILE, "1");
  const policy: RoutingPolicy = make({ cursor: () => 0, peek: () => 0, random: () => 0.5 });
  return (asked, among = targets) => ((policy.pick(asked, among) as RoutingTarget | undefined) ?? target("none")).name;
}

describe("examples/policy.ts", () => {
  test("sends a client always to the same target, known by session or address", async () => {
    const pick = await load();
    for (let i = 0; i < 50; i++) {
      const first = pick(request(`10.0.0.${i}`));
      expect(pick(request(`10.0.0.${i}`))).toBe(first);
      expect(pick(request("10.0.0.1", `s${i}`))).toBe(pick(request("10.9.9.9", `s${i}`)));
    }
  });

  test("spreads clients evenly", async () => {
    const pick = await load();
    const counts = new Map<string, number>();
    for (let i = 0; i < 3000; i++) {
      const name = pick(request(`10.0.${i >> 8}.${i & 255}`));
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    for (const { name } of targets) expect(Math.abs((counts.get(name) ?? 0) - 1000)).toBeLessThan(120);
  });

  test("moves only the clients of a target that went out", async () => {
    const pick = await load();
    const left = targets.slice(0, 2);
    for (let i = 0; i < 300; i++) {
      const asked = request(`10.1.${i >> 8}.${i & 255}`);
      const before = pick(asked);
      if (before !== targets[2]!.name) expect(pick(asked, left)).toBe(before);
    }
  });

  test("says what it picks, and whom it would pick then", async () => {
    const make = await loadPolicyModule(FILE, "1");
    const policy: RoutingPolicy = make({ cursor: () => 0, peek: () => 0, random: () => 0.5 });
    for (let i = 0; i < 50; i++) {
      const asked = request(`10.2.0.${i}`);
      const { pick, order } = policy.explain!(asked, targets);
      expect(pick).toBe(policy.pick(asked, targets) as RoutingTarget);
      expect(order![1]).toBe(policy.pick(asked, targets.filter((one) => one !== pick)) as RoutingTarget);
    }
  });
});

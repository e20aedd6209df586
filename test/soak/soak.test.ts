/** One short soak of the real program, into which a leak is put after its first rest: what clients do happens, all of it ends, and what does not end is found. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { isAlive } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { type Outcome, soak } from "./soak.ts";

/** Sockets of udp flows that each worker keeps for the next ones. */
const KEPT = 32;

function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

function said(outcome: Outcome, what: string): string[] {
  return outcome.findings.filter((finding) => finding.what === what).map((finding) => `${finding.process} ${finding.said}`);
}

test(
  "a short soak has all kinds of traffic, comes back to its base line, and finds what leaks",
  async () => {
    const outcome = await soak({ seconds: 2.5, rate: 40, seed: 1, pause: 50, preload: [join(import.meta.dir, "leaky.ts")], environment: { LEAKY_EVERY: "2" } });
    const { told, deeds, rests, recorder, findings } = outcome;

    expect(Object.entries(told.counts).filter(([, { begun, well }]) => begun < 2 || well < 1)).toEqual([]);
    expect(Object.keys(told.counts).length).toBeGreaterThan(25);
    expect([...deeds].filter(([, count]) => count === 0)).toEqual([]);

    const [cold, warm] = rests;
    expect(rests.map(({ open }) => open)).toEqual([[], [], []]);
    expect(warm.processes.map(({ pid }) => pid)).toEqual(cold.processes.map(({ pid }) => pid));
    expect(warm.processes.map(({ descriptors }, index) => total(descriptors) - total(cold.processes[index]!.descriptors))).toEqual([0, KEPT, KEPT]);
    expect(warm.processes.every(({ live }) => live > 1_000_000)).toBe(true);

    expect([...recorder.processes.values()].map(({ name, series }) => [name, series.resident.length > 0, series.heap.length > 0, series.descriptors.length > 0]).toSorted()).toEqual(["supervisor", "worker 0", "worker 1"].map((name) => [name, true, true, true]));

    const [supervisor, ...workers] = said(outcome, "descriptors at rest");
    expect(supervisor).toBe("supervisor ok");
    // The kernel may give all of the few connections to one of them.
    expect(workers.filter((worker) => worker.endsWith("BROKEN")).length).toBeGreaterThan(0);
    expect(findings.filter((finding) => finding.said === "BROKEN" && finding.what !== "descriptors at rest")).toEqual([]);

    await until("all of its processes to be gone", () => !cold.processes.some(({ pid }) => isAlive(pid)));
    expect(cold.processes.some(({ pid }) => existsSync(join("/dev/shm", `fairlead-${pid}`)))).toBe(false);
  },
  60_000,
);

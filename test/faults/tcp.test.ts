/** Faults that are injected into tcp connections: a reset, a delay, a slow target, targets that cannot be reached. */
import { afterEach, expect, test } from "bun:test";
import type { Account } from "../../src/observability/account.ts";
import { endings } from "../support/endings.ts";
import { Plane } from "../support/plane.ts";
import { connected, RawConnection } from "../support/raw-connection.ts";
import { RawServer } from "../support/raw-server.ts";
import { until } from "../support/until.ts";

const open = endings(afterEach);

const LONG = Buffer.alloc(30_000, "y");

interface Arranged {
  readonly plane: Plane;
  readonly accounts: Account[];
  readonly apply: (keys: string) => Promise<void>;
  readonly targets: readonly { readonly address: string }[];
}

/** Targets that say much, and end. */
async function arranged(keys: string, count = 1, more = ""): Promise<Arranged> {
  const targets: RawServer[] = [];
  while (targets.length < count) targets.push(await RawServer.start((connection) => void connection.socket.end(LONG)));
  for (const target of targets) open.push(() => target.stop());
  const accounts: Account[] = [];
  const text = (rule: string): string => `[[listeners]]\naddress = "127.0.0.1:0"\nprotocol = "tcp"\nupstream = "main"\n[[upstreams]]\nname = "main"\npolicy = "first"\n${more}\n${targets.map(({ address }) => `[[upstreams.targets]]\naddress = "${address}"\n`).join("")}[faults]\nenabled = true\n${rule === "" ? "" : `[[faults.rules]]\nname = "one"\n${rule}\n`}`;
  const plane = await Plane.start(text(keys), { witnesses: [{ wants: () => true, tell: (account) => void accounts.push(account) }] });
  open.push(() => plane.stop());
  return { plane, accounts, apply: (rule) => plane.apply(text(rule)), targets };
}

async function connect({ plane }: Arranged): Promise<RawConnection> {
  const connection = new RawConnection(await connected(plane.port()));
  open.push(() => connection.destroy());
  return connection;
}

test("a reset comes before any target", async () => {
  const work = await arranged("reset = true");
  const client = await connect(work);
  await until("a reset", () => client.peer === "reset");
  expect(await until("its account", () => work.accounts[0])).toMatchObject({ cause: "fault-injected", attempts: 0, target: "", detail: 'fault "one"', fault: "one" });
  expect([work.plane.clients, work.plane.openRequests(work.targets[0]!)]).toEqual([0, 0]);
});

test("a delay is waited for, frees all when the client leaves, and ends with its rule", async () => {
  const work = await arranged('delay = "60ms"');
  const client = await connect(work);
  await until("all of it", () => client.receivedLength === LONG.length && client.peer === "ended");
  client.destroy();
  expect((await until("its account", () => work.accounts[0])).tries[0]!.at).toBeGreaterThan(57);
  await work.apply('delay = "1h"');
  const leaver = await connect(work);
  const stayer = await connect(work);
  await until("both wait", () => work.plane.heldByFaults === 2);
  leaver.destroy();
  await until("one has left", () => work.plane.heldByFaults === 1);
  await work.apply("");
  await until("the other goes on", () => stayer.receivedLength === LONG.length);
  expect(work.plane.heldByFaults).toBe(0);
});

test("what a target sends passes slowly, whole, and its end behind it", async () => {
  const work = await arranged('throttle = "100KB"');
  const began = performance.now();
  const client = await connect(work);
  await until("the end", () => client.peer === "ended");
  expect(client.received.equals(LONG)).toBe(true);
  expect(performance.now() - began).toBeGreaterThan(170);
  client.destroy();
  await until("nobody", () => work.plane.clients === 0 && work.plane.heldByFaults === 0);
  // Who leaves in the middle of it leaves nothing behind.
  await work.apply('throttle = "1KB"');
  const leaver = await connect(work);
  await until("some of it", () => leaver.receivedLength > 0);
  leaver.destroy();
  await until("nobody", () => work.plane.clients === 0 && work.plane.heldByFaults === 0 && work.plane.openRequests(work.targets[0]!) === 0);
});

test("targets that cannot be reached are left for others, and answer for it", async () => {
  const work = await arranged('target_error = "connect-refused"', 2, "outlier_detection = { consecutive_local = 2 }");
  await work.apply(`target_error = "connect-refused"\ntargets = ["${work.targets[0]!.address}"]`);
  for (let i = 0; i < 2; i++) {
    const client = await connect(work);
    await until("the other one's words", () => client.receivedLength === LONG.length);
    client.destroy();
  }
  expect(work.plane.reports.map(({ target }) => target)).toEqual([work.targets[0]!.address]);
  expect((await until("its account", () => work.accounts[0])).tries).toMatchObject([{ cause: "connect-refused", detail: 'fault "one"' }, { cause: "done" }]);
  // Its place is given back, also by who leaves while the connect takes long.
  await work.apply('target_error = "connect-timeout"');
  const leaver = await connect(work);
  await until("it waits", () => work.plane.heldByFaults === 1);
  leaver.destroy();
  await until("nothing is open", () => work.plane.heldByFaults === 0 && work.targets.every((target) => work.plane.openRequests(target) === 0));
});

/** Which sockets a udp listener has: one for each worker, or the one that systemd made. */
import { afterEach, expect, test } from "bun:test";
import { loadConfigText, SlotAllocator } from "../../src/config/load.ts";
import type { Snapshot } from "../../src/config/snapshot.ts";
import type { ActivatedSocket } from "../../src/supervisor/activation.ts";
import { type ListeningSocket, ListeningSockets } from "../../src/supervisor/sockets.ts";
import { unless } from "../support/needs.ts";
import { freePort } from "../support/ports.ts";
import { listening } from "../support/systemd.ts";

const open: { close(): void }[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

function snapshot(address: string, { workers = 3, protocol = "udp" } = {}): Snapshot {
  const text = `workers = ${workers}\n[[listeners]]\nname = "dns"\naddress = "${address}"\nprotocol = "${protocol}"\nupstream = "dns"\n[[upstreams]]\nname = "dns"\ntargets = [{ address = "127.0.0.1:53" }]\n`;
  const loaded = loadConfigText(text, "f.toml", { slots: new SlotAllocator({ targets: 4, upstreams: 1 }), generation: 1 });
  if (!loaded.ok) throw new Error(loaded.diagnostics[0]!.message);
  return loaded.snapshot;
}

function kept<T extends { close(): void }>(sockets: T): T {
  open.push(sockets);
  return sockets;
}

/** As they are known to whoever comes after them. */
function handedOn(sockets: readonly ListeningSocket[]): ReadonlyMap<string, ListeningSocket> {
  return new Map(sockets.map((socket) => [socket.key, socket]));
}

const seats = (sockets: readonly ListeningSocket[]): unknown => sockets.map(({ seat, activated }) => [seat, activated]);

test("a udp listener has a socket for each worker, all at one address", async () => {
  const sockets = kept(new ListeningSockets());
  const prepared = await sockets.prepare(snapshot("127.0.0.1:0"));
  prepared.commit();
  expect(seats(prepared.sockets)).toEqual([[0, undefined], [1, undefined], [2, undefined]]);
  expect(new Set(prepared.sockets.map(({ address }) => JSON.stringify(address))).size).toBe(1);
  expect([sockets.differs(snapshot("127.0.0.1:0")), sockets.differs(snapshot("127.0.0.1:0", { workers: 2 }))]).toEqual([false, true]);
});

unless(process.platform === "linux" ? undefined : "Linux only").test("systemd's is one socket, and one worker reads it, after an upgrade too", async () => {
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const fd = listening.udp("127.0.0.1", port);
  open.push({ close: () => listening.close(fd) });
  const passed: ActivatedSocket[] = [{ fd, name: "dns", kind: "datagram", address: { kind: "tcp", host: "127.0.0.1", port } }];
  for (const asked of [address, "systemd:dns"]) {
    const sockets = kept(new ListeningSockets(new Map(), passed));
    const prepared = await sockets.prepare(snapshot(asked));
    prepared.commit();
    expect(seats(prepared.sockets)).toEqual([[0, true]]);
    expect([sockets.differs(snapshot(asked)), sockets.unused(snapshot(asked).listeners)]).toEqual([false, []]);
    // A successor is passed nothing by systemd.
    const successor = new ListeningSockets(handedOn(prepared.sockets));
    expect(seats((await successor.prepare(snapshot(asked))).sockets)).toEqual([[0, true]]);
  }
  expect(new ListeningSockets(new Map(), passed).unused(snapshot(address, { protocol: "tcp" }).listeners)).toEqual([`dns (${address})`]);
});

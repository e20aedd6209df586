/** A whole data plane between a client and a target in memory: what each of them sends is fuzzed, what each of them gets is judged. */
import { loadConfigText, SlotAllocator } from "../../src/config/load.ts";
import { oneLog, silentLog } from "../../src/observability/log.ts";
import { LISTENER_ROWS, MAX_ROUTES, Scoreboard } from "../../src/scoreboard/scoreboard.ts";
import { DataPlane } from "../../src/worker/data-plane.ts";
import type { Dice } from "../support/random.ts";
import { Broken, hold } from "./fuzzer.ts";
import { MemoryNetwork, type Peer } from "./memory-network.ts";

const SLOTS = { targets: 4, upstreams: 4 };
/** Longer than every time that a connection whose peer has gone may stay. */
const AFTERWARDS = 3_600_000 * 2;

/** Where clients connect, by what is spoken to the target. */
export const PORTS = { h1: 1, h2c: 2 } as const;

const CONFIG = Object.entries(PORTS)
  .map(([protocol, port]) => `[[listeners]]\nname = "${protocol}"\naddress = "127.0.0.1:${port}"\nupstream = "${protocol}"\n[[upstreams]]\nname = "${protocol}"\nprotocol = "${protocol}"\noutlier_detection = false\nretries = 0\n[[upstreams.targets]]\naddress = "127.0.0.1:${port + 10}"\n`)
  .join("");

export class FuzzedPlane {
  readonly network = new MemoryNetwork();
  private readonly plane: DataPlane;
  private readonly board: Scoreboard;
  /** Connections to the target. */
  private readonly targets: Peer[] = [];

  private constructor(plane: (network: MemoryNetwork) => DataPlane, board: Scoreboard) {
    this.plane = plane(this.network);
    this.board = board;
  }

  static async start(): Promise<FuzzedPlane> {
    const board = Scoreboard.local({ ...SLOTS, workers: 1 });
    const fuzzed = new FuzzedPlane((network) => new DataPlane({ network, scoreboard: board, slot: 0, logs: oneLog(silentLog()) }), board);
    const loaded = loadConfigText(CONFIG, "fuzz", { slots: new SlotAllocator(SLOTS), generation: 1 });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics));
    board.setBounds(loaded.snapshot.metrics.buckets, { ...SLOTS, listeners: LISTENER_ROWS, routes: MAX_ROUTES });
    await fuzzed.plane.apply(loaded.snapshot);
    for (const name of Object.keys(PORTS)) fuzzed.plane.open(name);
    return fuzzed;
  }

  /**
   * One conversation, from an idle plane to an idle plane.
   * @param target is called with each connection to the target, first when it opens, then whenever something has come
   * @param chance how much of each write is taken; absent: all
   */
  play(target: (peer: Peer, opened: boolean) => void, talk: (network: MemoryNetwork) => void, chance?: Dice): void {
    const { network } = this;
    const bugs: unknown[] = [];
    // What a handler of gathered output throws is told there, and one connection pays for it.
    const { error } = console;
    console.error = (...told: unknown[]) => void bugs.push(...told);
    network.takes = chance === undefined ? (length) => length : (length) => (chance.chance(0.5) ? length : chance.below(length + 1));
    network.target = (peer, opened) => {
      if (opened) this.targets.push(peer);
      target(peer, opened);
    };
    try {
      talk(network);
      network.pump();
    } finally {
      console.error = error;
      network.target = () => {};
      network.takes = (length) => length;
      for (const peer of this.targets.splice(0)) peer.reset();
      network.pump();
      network.pass(AFTERWARDS);
      network.pass(AFTERWARDS);
    }
    const [bug] = bugs;
    if (bug !== undefined) throw bug instanceof Error ? bug : new Broken(String(bug));
    hold(this.plane.openClients === 0, `${this.plane.openClients} clients are left`);
    hold(network.openSockets === 0, `${network.openSockets} sockets are left`);
    for (let slot = 0; slot < SLOTS.targets; slot++) {
      hold(this.board.openRequests(slot) === 0, `${this.board.openRequests(slot)} requests are left at target ${slot}`);
      hold(this.board.openConnections(slot) === 0, `${this.board.openConnections(slot)} connections are left at target ${slot}`);
    }
  }
}

/** What goes wrong, done to those who are there at that time. */
import type { Internet } from "./internet.ts";
import type { Instance } from "./instance.ts";
import type { Fault } from "./plan.ts";
import type { Process } from "./process.ts";
import type { SimSocket } from "./socket.ts";
import type { World } from "./world.ts";

/** A back end: a process that can be killed and started again on its port. */
export interface Station {
  readonly port: number;
  process: Process;
  start(): void;
}

/** A connection that can end in a way that looks as if all had been said. */
interface Mortal {
  dies(): void;
}

export interface Stage {
  readonly world: World;
  readonly internet: Internet;
  readonly instance: Instance;
  readonly stations: readonly Station[];
}

/** How far the wall clock may be set, in ms. */
const JUMP = 3_600_000;

function among<T>(list: readonly T[], whom: number): T | undefined {
  return list[Math.floor(whom * list.length)];
}

function openConnection({ internet }: Stage, whom: number): SimSocket | undefined {
  return among(
    internet.connections.filter(({ closed, peer }) => !closed && !peer.closed),
    whom,
  );
}

export function killStation(station: Station): void {
  for (const { data } of station.process.sockets) (data as Partial<Mortal>).dies?.();
  station.process.kill();
}

export function happen(stage: Stage, { kind, whom, time }: Fault): void {
  const { world, instance, stations, internet } = stage;
  const { supervisor, monitor, workers } = instance;
  const worker = among(workers, whom);
  const station = among(stations, whom)!;
  const target = among(
    instance.snapshot.upstreams.flatMap(({ targets }) => targets),
    whom,
  )!;
  switch (kind) {
    case "reset":
      openConnection(stage, whom)?.harm();
      return;
    case "stall": {
      const socket = openConnection(stage, whom);
      (time > 100 ? socket : socket?.peer)?.stall(time);
      return;
    }
    case "target-dies":
      if (!station.process.alive) return;
      killStation(station);
      world.after(time, supervisor, () => station.start());
      return;
    case "target-hangs":
      station.process.hang(time);
      return;
    case "target-unreachable":
      world.note(`${station.process.name} cannot be reached for`, 0, time);
      internet.silence(station.port, true);
      world.after(time, supervisor, () => internet.silence(station.port, false));
      return;
    case "worker-dies":
      if (worker !== undefined) instance.killWorker(worker);
      return;
    case "worker-hangs":
      worker?.process.hang(time);
      return;
    case "supervisor-hangs":
      supervisor.hang(time);
      return;
    case "reload":
      instance.reload();
      return;
    case "clock-jumps": {
      const clocks = [supervisor, ...workers.map(({ process }) => process)];
      for (const { clock } of clocks) clock.jumped += Math.round((time % 2 < 1 ? -whom : whom) * JUMP);
      world.note("the wall clock jumps", 0, 0);
      return;
    }
    case "drain":
    case "cut": {
      world.note(`${target.name} is to ${kind}`, 0, 0);
      world.within(supervisor, () => monitor.rotation.setMode(target.slot, "admin", kind === "drain" ? "drain" : "maint"));
      world.after(time, supervisor, () => monitor.rotation.setMode(target.slot, "admin", "ready"));
      return;
    }
    default:
      kind satisfies never;
  }
}

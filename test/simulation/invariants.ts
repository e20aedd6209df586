/** What must hold in a running instance, and what must be left of it when all is over: nothing. */
import { CLASSES, ENDED, OPEN_CONNECTIONS, OPEN_EXCHANGES, OPEN_REQUESTS, OPEN_RETRIES, QUEUED, QUEUE_HEAD, RETRIES_HELD, TOTAL_CALLED_OFF, TOTAL_REQUESTS } from "../../src/scoreboard/scoreboard.ts";
import { hashText, mix } from "../../src/policies/consistent/consistent.ts";
import type { Instance } from "./instance.ts";
import { CLIENT_PORTS } from "./internet.ts";
import { TARGET_PORT } from "./plan.ts";
import type { Wire } from "./socket.ts";
import { Violation } from "./world.ts";

/** Where clients come from: few, so that they share limits. */
export const CLIENT_ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
/** … and for whom a proxy speaks at each of these places. */
export const SPOKEN_FOR = CLIENT_ADDRESSES.map((address) => address.replace("10.0", "192.168"));
/** Heads and chunk lines around what was read. */
const AROUND = 8 * 1024;
/** Requests that were sent behind each other are read ahead as far as this; then one read may come, and one more after reading was stopped. */
const AHEAD = 16 * 1024;

/** What a connection of HTTP/2 gathers before it is written, and again while the socket takes no more: control frames and heads. */
const GATHERED = 2 * 128 * 1024;
/** What a target of HTTP/2 may send ahead on a stream, and a client, whatever is configured. */
export const WINDOW = 256 * 1024 + 1;

/** One stream of HTTP/2. */
interface StreamKeeps {
  readonly queue?: readonly Buffer[] | undefined;
  readonly queueOffset?: number;
  readonly body?: { readonly bytes: number } | undefined;
}

/** What a connection of the product keeps for a socket that takes no more, or of a request that cannot go on. */
interface Keeps {
  readonly queue?: readonly Buffer[] | undefined;
  readonly queueOffset?: number;
  readonly early?: Buffer | undefined;
  readonly request?: { readonly waiting?: Buffer | undefined; readonly keptBytes?: number; readonly head?: Buffer | undefined };
  /** HTTP/2. */
  readonly streams?: ReadonlyMap<number, StreamKeeps>;
}

/** In bytes, for one connection in one direction. */
export interface Bounds {
  /** To be written: two reads, for one may come after reading was stopped; … */
  readonly queued: number;
  /** … and to a target what was read ahead, or is kept to be sent again. */
  readonly queuedForTarget: number;
  /** To be read on, twice: the request of the moment is kept as it came until its reply begins. */
  readonly kept: number;
  /** By a stream of HTTP/2: what its window has let in, or a read or two of HTTP/1, and of a request what is kept to be sent again. */
  readonly stream: number;
}

/** @param window what a stream of HTTP/2 on the other side may bring; 0: there are none */
export function boundsOf(wires: readonly Wire[], retryBuffer: number, window: number): Bounds {
  const read = Math.max(...wires.map(({ readSize, capacity }) => Math.min(readSize, capacity)));
  return { queued: Math.max(window, 3 * read) + AROUND, queuedForTarget: Math.max(window, 3 * read + AHEAD) + retryBuffer + AROUND, kept: 2 * (AHEAD + 2 * read) + read + retryBuffer + AROUND, stream: Math.max(window, 3 * read) + retryBuffer };
}

/** Of two buffers, which may be parts of the same memory. */
function memoryOf(first: Buffer | undefined, second: Buffer | undefined): number {
  if (first === undefined || second === undefined) return first?.length ?? second?.length ?? 0;
  return first.buffer === second.buffer ? Math.max(first.length, second.length) : first.length + second.length;
}

function bytesOf(queue: readonly Buffer[] | undefined, offset = 0): number {
  return queue === undefined ? 0 : queue.reduce((sum, { length }) => sum + length, -offset);
}

function judgeStreams(id: number, streams: ReadonlyMap<number, StreamKeeps>, most: number): void {
  for (const [number, { queue, queueOffset, body }] of streams) {
    const held = Math.max(bytesOf(queue, queueOffset), body?.bytes ?? 0);
    if (held > most) throw new Violation("no buffer grows above its bound", `#${id}, stream ${number}: ${held} bytes wait; the bound is ${most}`);
  }
}

export function judgeBuffers({ workers }: Instance, bounds: Bounds): void {
  for (const { process } of workers) {
    for (const { data, id, remotePort } of process.sockets) {
      const { queue, queueOffset, early, request, streams } = data as Keeps;
      const queued = bytesOf(queue, queueOffset);
      const kept = (early?.length ?? 0) + (request?.keptBytes ?? 0) + memoryOf(request?.head, request?.waiting);
      if (streams !== undefined) judgeStreams(id, streams, bounds.stream);
      const most = streams !== undefined ? GATHERED : remotePort >= TARGET_PORT && remotePort < CLIENT_PORTS ? bounds.queuedForTarget : bounds.queued;
      if (queued > most || kept > bounds.kept) throw new Violation("no buffer grows above its bound", `#${id}: ${queued} bytes wait to be written, ${kept} to be read on; the bounds are ${most} and ${bounds.kept}`);
    }
  }
}

function judgeZero(what: string, value: number): void {
  if (value !== 0) throw new Violation("counters return to zero", `${what} is ${value}`);
}

/** Nobody is there any more, and all that was pooled had time to go. */
export function judgeRest({ board, snapshot, workers, deaths }: Instance): void {
  for (const { process, plane } of workers) {
    judgeZero(`clients of ${process.name}`, plane.openClients);
    judgeZero(`sockets of ${process.name} (${[...process.sockets].map(({ id }) => `#${id}`).join(" ")})`, process.openSockets);
  }
  judgeZero("clients", board.clients);
  for (const { name, slot } of snapshot.listeners) {
    judgeZero(`clients of ${name}`, board.clientsOf(slot));
    for (const address of [...CLIENT_ADDRESSES, ...SPOKEN_FOR]) judgeZero(`connections of ${address} to ${name}`, board.connectionsOfAddress(mix(hashText(address) + slot)));
  }
  for (const { name, slot } of snapshot.upstreams) {
    for (const [what, gauge] of [["exchanges", OPEN_EXCHANGES], ["retries", OPEN_RETRIES], ["waiting", QUEUED], ["head of the queue", QUEUE_HEAD]] as const) judgeZero(`${what} of ${name}`, board.upstreams.held(slot, gauge));
    judgeZero(`retries held of ${name}`, board.words[board.upstreamWordAt(slot, RETRIES_HELD)]!);
  }
  let requests = 0;
  let ended = 0;
  for (let slot = 0; slot < board.size.targets; slot++) {
    judgeZero(`open requests of target ${slot}`, board.words[board.openRequestsAt(slot)]!);
    judgeZero(`open connections of target ${slot}`, board.openConnections(slot));
    judgeZero(`a worker's open requests of target ${slot}`, board.targets.held(slot, OPEN_REQUESTS));
    judgeZero(`a worker's open connections of target ${slot}`, board.targets.held(slot, OPEN_CONNECTIONS));
    requests += board.targets.sum(slot, TOTAL_REQUESTS);
    ended += board.targets.sum(slot, TOTAL_CALLED_OFF);
    for (const each of CLASSES.keys()) ended += board.targets.sum(slot, ENDED + each);
  }
  // What a worker had begun when it was killed ended nowhere.
  if (deaths === 0 && requests !== ended) throw new Violation("what begins ends", `targets were sent ${requests} requests, of which ${ended} ended`);
}

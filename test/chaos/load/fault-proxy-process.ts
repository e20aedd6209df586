/** The fault proxy itself: `fault-proxy.ts` starts it with its port and where to. */
import type { ToProxy, Weather } from "./fault-proxy.ts";

/** A throttled side sends pieces of this size. */
const PIECE = 4 * 1024;
/** A side that has so much waiting is not read from. */
const MOST_WAITING = 1 << 20;

let weather: Weather = {};
const pairs = new Set<Pair>();

type Socket = Bun.Socket<Side>;

/** One end's socket, and what is on its way to it. */
class Side {
  readonly pair: Pair;
  socket: Socket | undefined = undefined;
  private readonly waiting: { at: number; bytes: Buffer }[] = [];
  private bytes = 0;
  /** When the last piece goes. */
  private last = 0;
  private timer: Timer | undefined = undefined;
  private endsThen = false;

  constructor(pair: Pair) {
    this.pair = pair;
  }

  /** Towards this end. */
  pass(bytes: Buffer): void {
    const { delay = 0, rate } = weather;
    const now = performance.now();
    const piece = rate === undefined ? bytes.length : PIECE;
    for (let at = 0; at < bytes.length; at += piece) {
      const part = Buffer.from(bytes.subarray(at, at + piece));
      this.last = Math.max(now + delay, this.last + (rate === undefined ? 0 : (part.length * 1000) / rate));
      this.waiting.push({ at: this.last, bytes: part });
    }
    this.bytes += bytes.length;
    if (this.bytes > MOST_WAITING) this.pair.other(this).socket?.pause();
    this.flush();
  }

  flush(): void {
    if (this.socket === undefined || weather.hole === true) return;
    while (this.waiting.length > 0) {
      const [first] = this.waiting;
      const wait = first!.at - performance.now();
      if (wait > 0) {
        this.timer ??= setTimeout(() => {
          this.timer = undefined;
          this.flush();
        }, wait);
        return;
      }
      const taken = Math.max(0, this.socket.write(first!.bytes));
      this.bytes -= taken;
      if (taken < first!.bytes.length) {
        first!.bytes = first!.bytes.subarray(taken);
        return;
      }
      this.waiting.shift();
    }
    if (this.bytes < MOST_WAITING / 2) this.pair.other(this).socket?.resume();
    if (this.endsThen) this.socket.end();
  }

  /** After what is on its way. */
  end(): void {
    this.endsThen = true;
    this.flush();
  }

  /** There is nothing that could wait any more. */
  forget(): void {
    clearTimeout(this.timer);
    this.waiting.length = 0;
    this.socket = undefined;
  }
}

class Pair {
  readonly near = new Side(this);
  readonly far = new Side(this);
  readonly port: number;

  constructor(socket: Socket) {
    this.port = socket.remotePort;
    this.near.socket = socket;
    pairs.add(this);
  }

  other(side: Side): Side {
    return side === this.near ? this.far : this.near;
  }

  gone(side: Side, isReset: boolean): void {
    const other = this.other(side);
    side.forget();
    if (isReset) other.socket?.terminate();
    else other.end();
    if (other.socket === undefined) pairs.delete(this);
  }

  cut(how: "reset" | "fin"): void {
    pairs.delete(this);
    for (const side of [this.near, this.far]) {
      const { socket } = side;
      side.forget();
      if (how === "reset") socket?.terminate();
      else socket?.end();
    }
  }
}

const handlers: Bun.SocketHandler<Side> = {
  data: (socket, chunk) => socket.data.pair.other(socket.data).pass(chunk),
  drain: (socket) => socket.data.flush(),
  error: () => {},
  close: (socket, error) => socket.data.pair.gone(socket.data, error !== undefined && error !== null),
};

const [port, to] = process.argv.slice(2).map(Number);

Bun.listen<Side>({
  hostname: "127.0.0.1",
  port: port!,
  socket: {
    ...handlers,
    open(socket) {
      const pair = new Pair(socket);
      socket.data = pair.near;
      const connected = (far: Socket): void => {
        // Cut meanwhile.
        if (!pairs.has(pair)) far.terminate();
        pair.far.socket = far;
        pair.far.flush();
      };
      Bun.connect<Side>({ hostname: "127.0.0.1", port: to!, data: pair.far, socket: { ...handlers, open: connected, connectError: () => socket.terminate() } }).catch(() => socket.terminate());
    },
  },
});

process.on("message", ({ weather: next, cut }: ToProxy) => {
  const all = [...pairs];
  if (next !== undefined) {
    weather = next;
    for (const { near, far } of all) for (const side of [near, far]) side.flush();
  }
  if (cut !== undefined) for (const pair of all) pair.cut(cut);
  process.send!(cut === undefined ? [] : all.map((pair) => pair.port));
});
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {});
process.send!("ready");

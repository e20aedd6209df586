/**
 * One product with many lanes. Each lane is a listener with an upstream and a recording back end of its own, so that whatever one back end
 * sees between the start and the end of a case belongs to that case, also when it is a request that was smuggled in.
 */
import { H2Backend, sayWhich as sayWhichH2 } from "../support/h2-backend.ts";
import { freePort } from "../support/ports.ts";
import { RawBackend, reply, type Script, sayWhich } from "../support/raw-backend.ts";
import { fairlead } from "./products/fairlead.ts";
import type { Product, Running } from "./products/product.ts";

export type Backend = RawBackend | H2Backend;

export interface Lane<B extends Backend = RawBackend> {
  readonly port: number;
  readonly backend: B;
}

/** How a back end treats requests: it waits for all of them, answers at their heads, or agrees to any upgrade. */
export type Behaviour = "patient" | "early" | "agreeable";

const agree: Script = (request, connection) => {
  const asked = request.header("upgrade");
  if (asked === undefined) return sayWhich(request, connection);
  connection.reader.becomeTunnel();
  connection.holdOpen = true;
  connection.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${asked.split(",").find((one) => one.trim() !== "")?.trim() ?? ""}\r\n\r\n`);
  return undefined;
};

const SCRIPTS: Readonly<Record<Behaviour, Script>> = {
  patient: sayWhich,
  early: (_request, connection) => void connection.write(reply(200, "early")),
  agreeable: agree,
};

/** Forget what came, and behave like this from now on. */
export function behave(backend: Backend, as: Behaviour): void {
  if (backend instanceof RawBackend) backend.clear(SCRIPTS[as]);
  else backend.clear(as === "early" ? (request) => request.answer("early") : sayWhichH2);
}

/** A case borrows a lane. */
export class Lanes<B extends Backend = RawBackend> {
  private readonly free: Lane<B>[];
  private readonly waiting: ((lane: Lane<B>) => void)[] = [];
  private readonly all: readonly Lane<B>[];
  private readonly running: Running;

  private constructor(running: Running, lanes: Lane<B>[]) {
    this.running = running;
    this.all = [...lanes];
    this.free = lanes;
  }

  /** Fairlead before back ends of HTTP/1. @param http2 is spoken too: then the preface of HTTP/2 is no request of HTTP/1 */
  static open(count: number, http2: boolean): Promise<Lanes> {
    return Lanes.before(fairlead, count, () => RawBackend.start(), http2);
  }

  static async before<B extends Backend>(product: Product, count: number, start: () => Promise<B>, http2 = false): Promise<Lanes<B>> {
    const lanes: Lane<B>[] = [];
    while (lanes.length < count) lanes.push({ port: await freePort(), backend: await start() });
    const running = await product.start(
      lanes.map(({ port, backend }) => ({ port, backend: backend.address })),
      lanes[0]!.backend instanceof H2Backend ? "h2c" : "h1",
      http2,
    );
    return new Lanes(running, lanes);
  }

  async use<T>(play: (lane: Lane<B>) => Promise<T>): Promise<T> {
    const lane = this.free.pop() ?? (await new Promise<Lane<B>>((resolve) => this.waiting.push(resolve)));
    try {
      return await play(lane);
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.free.push(lane);
      else next(lane);
    }
  }

  async close(): Promise<void> {
    await this.running.stop();
    await Promise.all(this.all.map(({ backend }) => backend.stop()));
  }
}

/** What happens, as it happens: `GET /v1/stream`, as server-sent events (HTML Living Standard, section 9.2). */
import { z } from "zod";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { Problem } from "./problem.ts";
import { jsonText } from "./json.ts";

/** At a time. */
export const MAX_STREAMS = 32;
/** Messages that wait for a client which does not read: an overview is one of them at most, for the next one makes it worthless. */
const MAX_WAITING = 64;
/** A client that takes nothing for so long is given up, in ms. */
const PATIENCE = 30_000;
/** Where nothing is to be told, a comment is sent so often, in ms: whoever stands between must not take the connection for dead. */
const HEARTBEAT = 15_000;

export interface StreamSources {
  readonly overview: () => unknown;
  /** Calls back when there is a new overview. @returns its end */
  readonly sampled: (tell: () => void) => () => void;
  /** Calls back with each new event, and its number. @returns its end */
  readonly happened: (tell: (event: NumberedEvent) => void) => () => void;
  /** The newest events after that one, at most so many, oldest first. */
  readonly missed: (after: number, limit: number) => readonly NumberedEvent[];
}

interface NumberedEvent {
  readonly id: number;
}

const encoder = new TextEncoder();

function eventMessage(event: NumberedEvent): Uint8Array {
  return encoder.encode(`event: event\nid: ${event.id}\ndata: ${jsonText(event)}\n\n`);
}

/** All that are open. While there is none, nothing is made. */
export class Streams {
  private readonly sources: StreamSources;
  private readonly open = new Set<Stream>();
  private stops: readonly (() => void)[] = [];
  private readonly patience: number;

  /** @param patience with a client that takes nothing, in ms */
  constructor(sources: StreamSources, patience = PATIENCE) {
    this.sources = sources;
    this.patience = patience;
  }

  get count(): number {
    return this.open.size;
  }

  /** @param lastEvent that the client has seen; undefined: it begins @throws Problem 503 when there are too many */
  body(withOverview: boolean, lastEvent?: number): ReadableStream<Uint8Array> {
    if (this.open.size >= MAX_STREAMS) throw new Problem(503, `${MAX_STREAMS} streams are open already, and there are no more; close one`);
    const stream = new Stream(withOverview, this.patience, () => this.forget(stream));
    if (this.open.size === 0) this.begin();
    this.open.add(stream);
    stream.begin(withOverview ? this.overview() : undefined);
    if (lastEvent !== undefined) for (const event of this.sources.missed(lastEvent, MAX_WAITING / 2)) stream.event(eventMessage(event));
    return stream.body;
  }

  private begin(): void {
    const { sampled, happened } = this.sources;
    const heartbeat = setInterval(() => this.each((stream) => stream.beat()), HEARTBEAT);
    this.stops = [
      sampled(() => {
        const taking = [...this.open].filter((stream) => stream.takesOverview());
        if (taking.length === 0) return;
        // Made once, whoever looks.
        const overview = this.overview();
        for (const stream of taking) stream.send(overview);
      }),
      happened((event) => {
        const text = eventMessage(event);
        this.each((stream) => stream.event(text));
      }),
      () => clearInterval(heartbeat),
    ];
  }

  private each(tell: (stream: Stream) => void): void {
    for (const stream of [...this.open]) tell(stream);
  }

  private overview(): Uint8Array {
    return encoder.encode(`event: overview\ndata: ${jsonText(this.sources.overview())}\n\n`);
  }

  private forget(stream: Stream): void {
    if (!this.open.delete(stream) || this.open.size > 0) return;
    for (const stop of this.stops) stop();
    this.stops = [];
  }
}

class Stream {
  readonly body: ReadableStream<Uint8Array>;
  private readonly withOverview: boolean;
  private readonly patience: number;
  private readonly ended: () => void;
  private controller!: ReadableStreamDefaultController<Uint8Array>;
  /** When it last took something, or had nothing to take, in ms. */
  private tookAt = performance.now();

  constructor(withOverview: boolean, patience: number, ended: () => void) {
    this.withOverview = withOverview;
    this.patience = patience;
    this.ended = ended;
    this.body = new ReadableStream(
      {
        start: (controller) => {
          this.controller = controller;
        },
        cancel: () => this.ended(),
      },
      { highWaterMark: MAX_WAITING },
    );
  }

  begin(overview: Uint8Array | undefined): void {
    this.send(encoder.encode("retry: 2000\n\n"));
    if (overview !== undefined) this.send(overview);
  }

  private get waiting(): number {
    return MAX_WAITING - (this.controller.desiredSize ?? 0);
  }

  /** Not while anything waits. */
  takesOverview(): boolean {
    return this.withOverview && this.isTaking();
  }

  send(text: Uint8Array): void {
    this.controller.enqueue(text);
  }

  /** None is left out: a client for which too many wait is cut, and asks for what it missed when it comes again. */
  event(text: Uint8Array): void {
    if (this.waiting >= MAX_WAITING) this.cut();
    else this.send(text);
  }

  beat(): void {
    if (!this.withOverview && this.isTaking()) this.send(encoder.encode(":\n\n"));
  }

  /** One that takes nothing for long is cut. */
  private isTaking(): boolean {
    const now = performance.now();
    if (this.waiting === 0) {
      this.tookAt = now;
      return true;
    }
    if (now - this.tookAt > this.patience) this.cut();
    return false;
  }

  private cut(): void {
    this.controller.error(new Error("the client does not read"));
    this.ended();
  }
}

const streamQuery = z.strictObject({ overview: z.enum(["true", "false"], { error: "overview is true or false" }).optional().describe("false: events only") });

export function streamEndpoints(streams: Streams): Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/v1/stream",
      summary: 'Server-sent events: "overview" once a second, as /v1/overview answers it, and "event" for each new entry of the timeline. Last-Event-ID brings those that were missed.',
      access: "read",
      endless: true,
      query: streamQuery,
      answers: { 200: { description: "A stream that ends when the client goes, or does not read.", type: "text/event-stream" } },
      handle: ({ query, request }) => {
        const last = /^\d{1,15}$/.exec(request.headers.get("last-event-id") ?? "")?.[0];
        const body = streams.body(query.overview !== "false", last === undefined ? undefined : Number(last));
        return new Response(body, { headers: { "Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no" } });
      },
    }),
  ];
}

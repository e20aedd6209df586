/** A collector: takes traces by OTLP/HTTP in JSON (https://opentelemetry.io/docs/specs/otlp/), strictly, and keeps them. */
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";
import { until } from "./until.ts";

const hex = (digits: number): z.ZodString => z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`));
const nanoseconds = z.string().regex(/^\d{19}$/);
const value = z.union([z.strictObject({ stringValue: z.string() }), z.strictObject({ intValue: z.int() }), z.strictObject({ doubleValue: z.number() }), z.strictObject({ boolValue: z.boolean() })]);
const attributes = z.array(z.strictObject({ key: z.string().min(1), value }));

const span = z.strictObject({
  traceId: hex(32),
  spanId: hex(16),
  traceState: z.string().optional(),
  parentSpanId: hex(16).optional(),
  name: z.string().min(1),
  kind: z.union([z.literal(2), z.literal(3)]),
  startTimeUnixNano: nanoseconds,
  endTimeUnixNano: nanoseconds,
  attributes,
  droppedAttributesCount: z.literal(0),
  events: z.tuple([]),
  droppedEventsCount: z.literal(0),
  links: z.tuple([]),
  droppedLinksCount: z.literal(0),
  status: z.strictObject({ code: z.union([z.literal(0), z.literal(2)]), message: z.string().optional() }),
  flags: z.int(),
});

const request = z.strictObject({
  resourceSpans: z.array(
    z.strictObject({
      resource: z.object({ attributes }),
      scopeSpans: z.array(z.strictObject({ scope: z.object({ name: z.string() }), spans: z.array(span).min(1) })),
    }),
  ),
});

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

export interface CollectedSpan extends Omit<z.output<typeof span>, "attributes"> {
  readonly attributes: Attributes;
  readonly resource: Attributes;
}

/** Kinds as the protocol numbers them. */
export const Kind = { SERVER: 2, CLIENT: 3 } as const;

export class Collector {
  readonly spans: CollectedSpan[] = [];
  readonly headers: IncomingHttpHeaders[] = [];
  /** What was no request as it should be. */
  readonly problems: string[] = [];
  /** Take requests and say nothing. */
  silent = false;
  private readonly server: Server;

  private constructor() {
    this.server = createServer((incoming, outgoing) => {
      const parts: Buffer[] = [];
      incoming.on("data", (part: Buffer) => parts.push(part));
      incoming.on("end", () => {
        if (incoming.method !== "POST" || incoming.url !== "/v1/traces") this.problems.push(`${incoming.method} ${incoming.url}`);
        if (incoming.headers["content-type"] !== "application/json") this.problems.push(`content-type ${incoming.headers["content-type"]}`);
        this.headers.push(incoming.headers);
        this.take(Buffer.concat(parts).toString());
        if (!this.silent) outgoing.writeHead(200, { "content-type": "application/json" }).end("{}");
      });
    });
  }

  static async start(): Promise<Collector> {
    const collector = new Collector();
    await new Promise<void>((resolve) => collector.server.listen(0, "127.0.0.1", resolve));
    return collector;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** As many spans of one kind, in the order of their begin; an error when something that came was wrong. */
  async collected(count: number, kind?: number): Promise<CollectedSpan[]> {
    const found = (): CollectedSpan[] => this.spans.filter((each) => kind === undefined || each.kind === kind);
    await until(`${count} spans at the collector`, () => {
      if (this.problems.length > 0) throw new Error(this.problems.join("; "));
      return found().length >= count;
    });
    return found().toSorted((a, b) => Number(BigInt(a.startTimeUnixNano) - BigInt(b.startTimeUnixNano)));
  }

  stop(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }

  private take(text: string): void {
    const parsed = request.safeParse(JSON.parse(text));
    if (!parsed.success) {
      this.problems.push(z.prettifyError(parsed.error));
      return;
    }
    for (const { resource, scopeSpans } of parsed.data.resourceSpans) {
      for (const { spans } of scopeSpans) for (const each of spans) this.spans.push({ ...each, attributes: plain(each.attributes), resource: plain(resource.attributes) });
    }
  }
}

function plain(list: z.output<typeof attributes>): Attributes {
  return Object.fromEntries(list.map(({ key, value: typed }) => [key, Object.values(typed)[0] as string | number | boolean]));
}

/** A back end that records each byte and does to a request what its script says, well or badly. */
import { createServer, type Server, type Socket } from "node:net";
import { type Message, MessageReader } from "./messages.ts";
import { freePort } from "./ports.ts";
import { type Bytes, RawConnection } from "./raw-connection.ts";
import { until } from "./until.ts";

export class BackendConnection extends RawConnection {
  readonly reader: MessageReader;
  /** Replies are written in the order of the requests, however long each script takes. */
  turn: Promise<void> = Promise.resolve();
  /** Stay half-open after the peer's FIN. */
  holdOpen = false;

  constructor(socket: Socket, reader: MessageReader) {
    super(
      socket,
      (chunk) => reader.feed(chunk),
      (clean) => reader.finish(clean),
    );
    this.reader = reader;
  }
}

/** What to do with a request, called when its head is there. */
export type Script = (request: Message, connection: BackendConnection) => unknown;

/** A reply's bytes with Content-Length. */
export function reply(status: number, body = "", fields: Readonly<Record<string, string>> = {}): string {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} X\r\n${lines.join("")}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** Waits for the whole request, then says which one it was. */
export const sayWhich: Script = async (request, connection) => {
  if (await request.ended) connection.write(reply(200, request.method === "HEAD" ? "" : `${request.method} ${request.target}`));
};

/** Always the same bytes, once the request is whole. */
export function always(bytes: Bytes): Script {
  return async (request, connection) => {
    if (await request.ended) connection.write(bytes);
  };
}

/** The same, and the connection ends. */
export function alwaysAndEnd(bytes: Bytes): Script {
  return async (request, connection) => {
    if (await request.ended) connection.end(bytes);
  };
}

export interface Seen {
  readonly message: Message;
  readonly connection: BackendConnection;
}

export class RawBackend {
  readonly port: number;
  script: Script;
  connections: BackendConnection[] = [];
  seen: Seen[] = [];
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  private constructor(port: number, script: Script) {
    this.port = port;
    this.script = script;
    this.server = createServer({ allowHalfOpen: true }, (socket) => this.accept(socket));
  }

  static async start(script: Script = sayWhich): Promise<RawBackend> {
    const backend = new RawBackend(await freePort(), script);
    await backend.listen();
    return backend;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Requests whose heads came, complete or not. */
  get requests(): Message[] {
    return this.seen.map(({ message }) => message);
  }

  get complete(): Message[] {
    return this.requests.filter((message) => message.state === "complete");
  }

  /** What came that is no well-formed request. */
  get malformed(): string[] {
    return this.connections.flatMap(({ reader }) => reader.malformed ?? []);
  }

  /** Forget what came; connections stay. */
  clear(script?: Script): this {
    this.seen = [];
    this.connections = this.connections.filter((connection) => !connection.closed);
    if (script !== undefined) this.script = script;
    return this;
  }

  async request(at = 0): Promise<Seen> {
    return until(`request ${at + 1} at the back end`, () => this.seen[at]);
  }

  async connection(at = 0): Promise<BackendConnection> {
    return until(`connection ${at + 1} at the back end`, () => this.connections[at]);
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen(this.port, "127.0.0.1", 4096, resolve);
    });
  }

  /** Refuse new connections and reset the open ones. */
  stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    return new Promise((resolve) => (this.server.listening ? this.server.close(() => resolve()) : resolve()));
  }

  private accept(socket: Socket): void {
    this.sockets.add(socket);
    socket.on("close", () => this.sockets.delete(socket));
    const reader = new MessageReader("request", (message) => {
      this.seen.push({ message, connection });
      const { script } = this;
      connection.turn = connection.turn.then(async () => {
        await script(message, connection);
      });
    });
    const connection = new BackendConnection(socket, reader);
    // A FIN from Fairlead ends the connection, unless the script holds a tunnel open.
    socket.on("end", () => {
      if (!connection.holdOpen) socket.end();
    });
    this.connections.push(connection);
  }
}

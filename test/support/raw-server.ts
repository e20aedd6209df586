/** A TCP back end without any protocol: each connection goes to a handler. */
import { createServer, type Server, type Socket } from "node:net";
import { freePort } from "./ports.ts";
import { RawConnection } from "./raw-connection.ts";
import { until } from "./until.ts";

export type OnConnection = (connection: RawConnection) => void;

/** Everything back, and FIN for FIN. */
export const echo: OnConnection = ({ socket }) => {
  socket.pipe(socket);
};

export class RawServer {
  readonly port: number;
  readonly connections: RawConnection[] = [];
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  private constructor(port: number, onConnection: OnConnection) {
    this.port = port;
    this.server = createServer({ allowHalfOpen: true }, (socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
      const connection = new RawConnection(socket);
      this.connections.push(connection);
      onConnection(connection);
    });
  }

  /** @param port its own free one when left out */
  static async start(onConnection: OnConnection = echo, port?: number): Promise<RawServer> {
    const server = new RawServer(port ?? (await freePort()), onConnection);
    await new Promise<void>((resolve) => server.server.listen(server.port, "127.0.0.1", 4096, resolve));
    return server;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  async connection(at = 0): Promise<RawConnection> {
    return until(`connection ${at + 1} at the back end`, () => this.connections[at]);
  }

  stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    return new Promise((resolve) => (this.server.listening ? this.server.close(() => resolve()) : resolve()));
  }
}

/** Back ends and clients that speak in datagrams. */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { until } from "./until.ts";

export interface Datagram {
  readonly bytes: Buffer;
  readonly text: string;
  readonly from: RemoteInfo;
}

/** What goes back for a datagram: nothing, one, or several. */
export type Answer = (datagram: Datagram, server: UdpServer) => Buffer | string | undefined | readonly (Buffer | string)[];

const echo: Answer = ({ bytes }) => bytes;

function bind(host: string, port: number): Promise<Socket> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, host, () => {
      socket.off("error", reject);
      // A peer that is gone is nobody's fault here.
      socket.on("error", () => {});
      resolve(socket);
    });
  });
}

export class UdpServer {
  readonly received: Datagram[] = [];
  readonly host: string;
  readonly port: number;
  answer: Answer;
  private readonly socket: Socket;
  private closed = false;

  private constructor(socket: Socket, host: string, answer: Answer) {
    this.socket = socket;
    this.host = host;
    this.port = socket.address().port;
    this.answer = answer;
    socket.on("message", (bytes, from) => {
      const datagram = { bytes, text: bytes.toString("latin1"), from };
      this.received.push(datagram);
      const answers = this.answer(datagram, this) ?? [];
      for (const each of typeof answers === "string" || Buffer.isBuffer(answers) ? [answers] : answers) this.send(each, from);
    });
  }

  static async start(answer: Answer = echo, host = "127.0.0.1", port = 0): Promise<UdpServer> {
    return new UdpServer(await bind(host, port), host, answer);
  }

  get address(): string {
    return this.host.includes(":") ? `[${this.host}]:${this.port}` : `${this.host}:${this.port}`;
  }

  /** Ports from which datagrams came. */
  get sources(): Set<number> {
    return new Set(this.received.map(({ from }) => from.port));
  }

  get texts(): string[] {
    return this.received.map(({ text }) => text);
  }

  send(bytes: Buffer | string, { address, port }: { readonly address: string; readonly port: number }): void {
    this.socket.send(bytes, port, address);
  }

  stop(): void {
    if (!this.closed) this.socket.close();
    this.closed = true;
  }
}

export class UdpClient {
  readonly replies: Datagram[] = [];
  readonly port: number;
  private readonly socket: Socket;
  private readonly to: { readonly host: string; readonly port: number };
  private closed = false;

  private constructor(socket: Socket, to: { readonly host: string; readonly port: number }) {
    this.socket = socket;
    this.to = to;
    this.port = socket.address().port;
    socket.on("message", (bytes, from) => this.replies.push({ bytes, text: bytes.toString("latin1"), from }));
  }

  /** @param from its own address */
  static async open(port: number, host = "127.0.0.1", from = host.includes(":") ? "::1" : "127.0.0.1"): Promise<UdpClient> {
    return new UdpClient(await bind(from, 0), { host, port });
  }

  get texts(): string[] {
    return this.replies.map(({ text }) => text);
  }

  send(bytes: Buffer | string): void {
    this.socket.send(bytes, this.to.port, this.to.host);
  }

  /** The next reply. */
  async ask(bytes: Buffer | string, patience?: number): Promise<Datagram> {
    const before = this.replies.length;
    this.send(bytes);
    return until("a reply", () => this.replies[before], patience);
  }

  /** Says it again every 100 ms until there is a reply, as clients do for whom no datagram is certain. */
  async insist(bytes: Buffer | string): Promise<Datagram> {
    const before = this.replies.length;
    let next = 0;
    return until("a reply", () => {
      if (performance.now() >= next) {
        this.send(bytes);
        next = performance.now() + 100;
      }
      return this.replies[before];
    });
  }

  close(): void {
    if (!this.closed) this.socket.close();
    this.closed = true;
  }
}

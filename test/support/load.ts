/** Keep-alive clients that ask again and again until told to stop, and count every request that did not end well. */
import { connect, type Socket } from "node:net";
import { sleep } from "./until.ts";

/** A client asks so often on a connection, the last time with Connection: close, and then pauses (ms). None is ever idle on one, and other tests have a machine too. */
const BURST = 20;
const PAUSE = 20;

export class Load {
  requests = 0;
  readonly failures: string[] = [];
  private running = true;
  private readonly clients: Promise<void>[];

  /** @param clients how many at a time @param path what they ask for @param pauses false: they never pause */
  constructor(port: number, clients: number, path = "/", pauses = true) {
    this.clients = Array.from({ length: clients }, () => this.client(port, `GET ${path} HTTP/1.1\r\nHost: load.test\r\n`, pauses ? BURST : Number.POSITIVE_INFINITY));
  }

  /** Ends after the requests under way. */
  async stop(): Promise<void> {
    this.running = false;
    await Promise.all(this.clients);
  }

  private async client(port: number, request: string, burst: number): Promise<void> {
    let connection: Asker | undefined;
    let asked = 0;
    while (this.running) {
      try {
        connection ??= await Asker.connect(port);
        const isLast = ++asked >= burst;
        const { status, close } = await connection.ask(`${request}${isLast ? "Connection: close\r\n" : ""}\r\n`);
        this.requests++;
        if (status !== 200) this.failures.push(`status ${status}`);
        if (close) {
          connection.end();
          connection = undefined;
        }
        if (isLast) {
          asked = 0;
          await sleep(PAUSE);
        }
      } catch (error) {
        this.failures.push(error instanceof Error ? error.message : String(error));
        connection?.end();
        connection = undefined;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    connection?.end();
  }
}

/** One connection; replies have a Content-Length. */
class Asker {
  private readonly socket: Socket;
  private text = "";
  private answered: ((reply: { status: number; close: boolean }) => void) | undefined;
  private failed: ((error: Error) => void) | undefined;
  private gone: Error | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding("latin1").on("data", (text: string) => this.take(text));
    socket.on("error", (error) => this.fail(error));
    socket.on("close", () => this.fail(new Error("closed without a reply")));
  }

  static connect(port: number): Promise<Asker> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1", () => resolve(new Asker(socket)));
      socket.once("error", reject);
    });
  }

  ask(request: string): Promise<{ status: number; close: boolean }> {
    return new Promise((resolve, reject) => {
      if (this.gone !== undefined) return reject(this.gone);
      this.answered = resolve;
      this.failed = reject;
      this.socket.write(request);
    });
  }

  end(): void {
    this.socket.destroy();
  }

  private take(text: string): void {
    this.text += text;
    const end = this.text.indexOf("\r\n\r\n");
    if (end < 0) return;
    const head = this.text.slice(0, end);
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
    if (this.text.length < end + 4 + length) return;
    this.text = this.text.slice(end + 4 + length);
    this.answered?.({ status: Number(head.slice(9, 12)), close: /^connection: close/im.test(head) });
    this.answered = this.failed = undefined;
  }

  private fail(error: Error): void {
    this.gone = error;
    this.failed?.(error);
    this.answered = this.failed = undefined;
  }
}

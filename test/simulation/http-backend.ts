/** A back end that speaks HTTP/1.1: looks closely at what it is asked, and answers well or badly, as its dice say. */
import type { SocketOwner } from "../../src/net/network.ts";
import type { Ledger, RequestPlan, Served } from "./ledger.ts";
import { type H2Manners, TargetDoor } from "./h2-backend.ts";
import { bodyOf, type Framing, framingOf, isOf, type MessageHead, MessageReader } from "./messages.ts";
import { Peer, type Step } from "./peer.ts";
import type { Process } from "./process.ts";
import { TunnelEnd } from "./tunnel-backend.ts";
import { Violation, type World } from "./world.ts";
import type { Dice } from "../support/random.ts";

/** Chances, from 0 to 1. */
export interface Manners {
  /** The request comes to nothing: no answer at all, a reset or a FIN instead of one, bytes that are no HTTP. */
  readonly silent: number;
  readonly breaks: number;
  readonly garbles: number;
  /** The reply breaks off. */
  readonly truncates: number;
  /** Bytes come after it. */
  readonly overruns: number;
  readonly fails: number;
  /** It closes the connection afterwards, having said so or not. */
  readonly closes: number;
  readonly vanishes: number;
  /** Instead of closing it, it sends a FIN and never looks at the connection again. */
  readonly turnsDeaf: number;
  /** It answers before it has read the request. */
  readonly early: number;
  /** Interim replies come first. */
  readonly interim: number;
  /** Before a reply, and between its pieces, up to so many ms. */
  readonly thinks: number;
  readonly dawdles: number;
  /** The largest reply in bytes. */
  readonly largest: number;
  /** Its health check fails. */
  readonly ill: number;
}

export class HttpBackend {
  private readonly world: World;
  private readonly process: Process;
  private readonly ledger: Ledger;
  private readonly manners: Manners;

  /** @param http2 how it speaks HTTP/2 to who begins with it; undefined: not at all */
  constructor(world: World, process: Process, ledger: Ledger, port: number, manners: Manners, http2: H2Manners | undefined) {
    this.world = world;
    this.process = process;
    this.ledger = ledger;
    this.manners = manners;
    process.listen({ kind: "tcp", host: "127.0.0.1", port }, undefined, () => (http2 === undefined ? this.accept() : new TargetDoor(world, process, ledger, manners, http2, () => this.accept())));
  }

  private accept(): SocketOwner {
    return new BackendConnection(this.world, this.process, this.ledger, this.manners);
  }
}

class BackendConnection extends Peer {
  private readonly ledger: Ledger;
  private readonly manners: Manners;
  private readonly reader = new MessageReader({
    head: (head) => this.requestHead(head),
    body: (bytes) => this.requestBody(bytes),
    end: () => this.requestEnd(),
  });
  private request: RequestPlan | undefined = undefined;
  private tunnel: TunnelEnd | undefined = undefined;
  private attempt = 0;
  private received = 0;
  private reading = false;
  /** A reply was begun and is not written to its end. */
  private replying = false;
  private served: Served | undefined = undefined;
  private answer: (() => void) | undefined = undefined;
  /** It reads no more, though it goes on writing. */
  private deaf = false;
  /** It will be closed: what comes is not for us. */
  private leaving = false;

  constructor(world: World, process: Process, ledger: Ledger, manners: Manners) {
    super(world, process);
    this.ledger = ledger;
    this.manners = manners;
  }

  onData(chunk: Buffer): void {
    if (!this.leaving) this.reader.feed(chunk);
  }

  private requestHead({ line, fields }: MessageHead): Framing {
    const [, method, path] = /^([A-Z]+) (\/\S*) HTTP\/1\.1$/.exec(line) ?? [];
    if (method === undefined) throw new Violation("messages are well-formed", `request line ${JSON.stringify(line)}`);
    if (this.replying || this.reading) throw new Violation("a connection serves one exchange at a time", `${line} came before the reply to ${this.request?.id} was whole`);
    if (path === "/health") {
      this.answerCheck();
      return { kind: "none" };
    }
    const tunnel = /^\/t\/(\d+)$/.exec(path!)?.[1];
    if (tunnel !== undefined) return this.beginTunnel(Number(tunnel));
    const id = Number(/^\/r\/(\d+)$/.exec(path!)?.[1] ?? -1);
    const request = this.ledger.plan(id);
    this.request = request;
    if (method !== request.method || fields.get("x-sim") !== String(id) || fields.get("host") !== "sim.test" || fields.get("x-forwarded-for") !== this.ledger.address(id)) throw new Violation("a request arrives as it was sent", `${line} with ${fields.get("x-sim")}, ${fields.get("host")}, from ${fields.get("x-forwarded-for")}`);
    this.attempt = this.ledger.sees(id);
    this.received = 0;
    this.reading = true;
    this.respond(request);
    return framingOf(fields, { kind: "none" });
  }

  private beginTunnel(id: number): Framing {
    const dice = this.world.diceOf(78, id);
    const { manners } = this;
    this.request = undefined;
    this.tunnel = new TunnelEnd(id, this.ledger, manners, dice);
    const pause = dice.random() * manners.thinks;
    if (dice.chance(manners.breaks)) this.tell({ pause, act: () => this.leave() });
    else if (dice.chance(manners.fails)) this.tell({ pause, bytes: Buffer.from("HTTP/1.1 403 Sim\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "latin1"), act: () => this.leave() });
    else this.tell({ pause, bytes: Buffer.from(`HTTP/1.1 101 Sim\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-Sim: ${id}\r\n\r\n`, "latin1") });
    // All that comes from now on is of the tunnel.
    return { kind: "close" };
  }

  private echo(tunnel: TunnelEnd, bytes: Buffer): void {
    if (this.leaving) return;
    this.tell({ bytes: Buffer.from(bytes), pause: this.world.dice.random() * this.manners.dawdles });
    if (!tunnel.take(bytes)) return;
    this.leaving = true;
    if (tunnel.byReset) this.socket?.terminate();
    else this.socket?.end();
  }

  private answerCheck(): void {
    this.request = undefined;
    const status = this.world.dice.chance(this.manners.ill) ? "503 Ill" : "200 OK";
    this.tell({ bytes: Buffer.from(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`, "latin1") });
  }

  private requestBody(bytes: Buffer): void {
    if (this.tunnel !== undefined) {
      this.echo(this.tunnel, bytes);
      return;
    }
    const { id } = this.request!;
    if (!isOf(id, this.received, bytes)) throw new Violation("a request arrives as it was sent", `wrong bytes at ${this.received} of the body of ${id}`);
    this.received += bytes.length;
  }

  private requestEnd(): void {
    const { request } = this;
    if (request === undefined) return;
    const length = request.framing === "none" ? 0 : request.length;
    if (this.received !== length) throw new Violation("no request is silently truncated", `${this.received} of ${length} bytes of the body of ${request.id} came as a whole one`);
    this.reading = false;
    const { answer } = this;
    this.answer = undefined;
    answer?.();
  }

  /** Decide what becomes of it. */
  private respond(request: RequestPlan): void {
    const { manners } = this;
    const dice = this.world.diceOf(77, request.id * 64 + this.attempt);
    const pause = dice.random() * manners.thinks;
    const how = this.howBad(dice);
    this.replying = true;
    const go = (): void => this.tell({ pause, act: () => this.begin(request, dice, how) });
    // Whoever waits for 100 has to be told something before the body comes.
    if (request.expects && !dice.chance(manners.early)) this.tell({ bytes: Buffer.from("HTTP/1.1 100 Continue\r\n\r\n", "latin1") });
    else if (request.framing !== "none" && (request.expects || dice.chance(manners.early))) {
      this.deaf = dice.chance(manners.turnsDeaf);
      if (this.deaf) this.socket?.pause();
      go();
      return;
    }
    this.answer = go;
  }

  private howBad(dice: Dice): "good" | "silent" | "reset" | "fin" | "garbled" {
    const { silent, breaks, garbles } = this.manners;
    if (dice.chance(silent)) return "silent";
    if (dice.chance(breaks)) return dice.chance(0.5) ? "reset" : "fin";
    return dice.chance(garbles) ? "garbled" : "good";
  }

  private begin(request: RequestPlan, dice: Dice, how: ReturnType<BackendConnection["howBad"]>): void {
    if (this.socket === undefined) return;
    switch (how) {
      case "silent":
        return;
      case "reset":
        this.leaving = true;
        this.socket.terminate();
        return;
      case "fin":
        this.leave();
        return;
      case "garbled":
        this.tell({ bytes: Buffer.from(dice.one(["HTTP/1.1 200\nX: y\n\n", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]), "latin1"), act: () => this.leave() });
        return;
      default:
        this.reply(request, dice);
    }
  }

  private leave(): void {
    this.leaving = true;
    this.socket?.end();
  }

  private turnDeaf(): void {
    this.leaving = true;
    this.socket?.pause();
    this.socket?.shutdown();
  }

  private reply(request: RequestPlan, dice: Dice): void {
    const { manners } = this;
    const length = dice.chance(0.2) ? dice.below(manners.largest) : dice.below(Math.min(600, manners.largest));
    const status = dice.chance(manners.fails) ? dice.one([500, 503]) : dice.chance(0.05) ? dice.one([204, 304]) : dice.one([200, 200, 200, 404]);
    const bodiless = request.method === "HEAD" || status === 204 || status === 304;
    const framing = bodiless && status !== 200 ? "none" : dice.one(["length", "length", "chunked", "chunked", "close"] as const);
    const served = this.ledger.serves(request.id, bodiless ? 0 : length);
    this.served = served;
    // Without a body nothing would show that the connection is over.
    const says = (bodiless && framing === "close") || dice.chance(manners.closes);
    const closes = says || this.deaf || framing === "close" || dice.chance(manners.vanishes);
    const steps: Step[] = [];
    if (dice.chance(manners.interim)) steps.push({ bytes: Buffer.from("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "latin1"), pause: 0 });
    const lines = [`HTTP/1.1 ${status} Sim`, `X-Sim: ${request.id} ${served.serial}`];
    if (framing === "length") lines.push(`Content-Length: ${length}`);
    if (framing === "chunked") lines.push("Transfer-Encoding: chunked");
    if (says) lines.push("Connection: close");
    const bytes = this.encode(Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), bodiless ? undefined : bodyOf(served.serial, 0, length), framing === "chunked", dice);
    const truncated = dice.chance(manners.truncates) && bytes.length > 1;
    const overruns = !truncated && framing !== "close" && dice.chance(manners.overruns);
    const sent = truncated ? bytes.subarray(0, 1 + dice.below(bytes.length - 1)) : overruns ? Buffer.concat([bytes, Buffer.from("HTTP/1.1 200 OK\r\n", "latin1")]) : bytes;
    // The other side may find it whole before we have said all.
    if (overruns) this.replying = false;
    for (const piece of dice.chance(0.5) ? dice.pieces(sent) : [sent]) steps.push({ bytes: piece, pause: dice.random() * manners.dawdles });
    if (truncated) {
      const byReset = dice.chance(0.5);
      steps.push({
        act: () => {
          this.leaving = true;
          if (!byReset) served.looksWhole = framing === "close";
          if (byReset) this.socket?.terminate();
          else this.socket?.end();
        },
      });
    } else {
      steps.push({
        act: () => {
          this.replying = false;
          if (this.deaf || (closes && dice.chance(manners.turnsDeaf))) this.turnDeaf();
          else if (closes) this.leave();
        },
      });
    }
    this.tell(...steps);
  }

  private encode(head: Buffer, body: Buffer | undefined, chunked: boolean, dice: Dice): Buffer {
    if (body === undefined) return head;
    if (!chunked) return Buffer.concat([head, body]);
    const chunks = dice.pieces(body).flatMap((piece) => [Buffer.from(`${piece.length.toString(16)}\r\n`, "latin1"), piece, Buffer.from("\r\n", "latin1")]);
    if (dice.chance(0.2)) this.served!.trailer = "yes";
    return Buffer.concat([head, ...chunks, Buffer.from(this.served!.trailer === undefined ? "0\r\n\r\n" : "0\r\nX-Sim-Trailer: yes\r\n\r\n", "latin1")]);
  }

  protected ended(): void {
    if (this.tunnel === undefined) this.socket?.end();
    else this.tell({ act: () => this.socket?.end() });
  }

  protected over(): void {
    this.leaving = true;
  }

  /** Its process is about to be killed. */
  dies(): void {
    this.tunnel?.dies();
    if (this.replying && this.served !== undefined) this.served.looksWhole = true;
  }
}


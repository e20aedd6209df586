/**
 * A back end, in a process of its own: answers `/n/NUMBER/LENGTH` with that number's body (content.ts), and looks whether a request's own body is
 * that of its number. `backend.ts` starts it; the first argument is a BackendPlan as JSON.
 */
import type { BackendPlan } from "./backend.ts";
import { isBody, writeBody } from "./content.ts";
import { note } from "./table.ts";

/** A number in the path, as every request of a generator has it. */
const REQUEST = /^(GET|POST) \/n\/(\d+)\/(\d+) HTTP\/1\.1\r\n/;
const LENGTH = /\r\ncontent-length: (\d+)/i;
const END_OF_HEAD = "\r\n\r\n";
const HEALTHY = Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");

const plan = JSON.parse(process.argv[2]!) as BackendPlan;
const posts = plan.posts === undefined ? undefined : Bun.mmap(plan.posts, { shared: true });

interface Conversation {
  /** Of a request that has come in part. */
  held: Buffer | undefined;
  /** What the kernel has not taken. */
  unsent: Buffer[];
}

type Socket = Bun.Socket<Conversation>;

function send(socket: Socket, bytes: Buffer): void {
  const { unsent } = socket.data;
  if (unsent.length > 0) {
    unsent.push(bytes);
    return;
  }
  const taken = Math.max(0, socket.write(bytes));
  if (taken < bytes.length) unsent.push(bytes.subarray(taken));
}

function answer(socket: Socket, asked: number, length: number, good: boolean): void {
  const { wrongEvery = 0, wrong } = plan;
  const isWrong = wrongEvery > 0 && asked % wrongEvery === 0;
  const number = isWrong && wrong === "number" ? asked + 1 : asked;
  const status = good ? "200 OK" : "418 Corrupt Request";
  const head = `HTTP/1.1 ${status}\r\nX-Number: ${number}\r\nX-Backend: ${plan.id}\r\nContent-Length: ${length}\r\n\r\n`;
  const bytes = Buffer.allocUnsafe(head.length + length);
  bytes.latin1Write(head, 0);
  writeBody(bytes, head.length, number, length);
  if (isWrong && wrong === "byte") bytes[bytes.length - 1]! ^= 1;
  if (isWrong && wrong === "short") socket.end(bytes.subarray(0, -1));
  else send(socket, bytes);
}

/** One request of `bytes`. @returns how many bytes it took; 0: it has not come whole */
function take(socket: Socket, bytes: Buffer): number {
  const end = bytes.indexOf(END_OF_HEAD);
  if (end < 0) return 0;
  const head = bytes.latin1Slice(0, end);
  const match = REQUEST.exec(head);
  if (match === null) {
    send(socket, HEALTHY);
    return end + END_OF_HEAD.length;
  }
  const number = Number(match[2]);
  const isPost = match[1] === "POST";
  const body = isPost ? Number(LENGTH.exec(head)?.[1] ?? 0) : 0;
  const from = end + END_OF_HEAD.length;
  if (bytes.length < from + body) return 0;
  const good = body === 0 || isBody(number, 0, bytes, from, from + body);
  // Written down where it outlives this process: who asks for the second time is found out.
  if (isPost && posts !== undefined) note(posts, number, plan.id);
  const { slowEvery = 0, slowFor = 0 } = plan;
  if (slowEvery > 0 && number % slowEvery === 0) setTimeout(() => answer(socket, number, Number(match[3]), good), slowFor);
  else answer(socket, number, Number(match[3]), good);
  return from + body;
}

Bun.listen<Conversation>({
  hostname: "127.0.0.1",
  port: plan.port,
  socket: {
    open(socket) {
      socket.data = { held: undefined, unsent: [] };
    },
    data(socket, chunk) {
      const { data } = socket;
      let bytes = data.held === undefined ? chunk : Buffer.concat([data.held, chunk]);
      data.held = undefined;
      while (bytes.length > 0) {
        const taken = take(socket, bytes);
        if (taken === 0) {
          // What we are given may be written over after this call.
          data.held = Buffer.from(bytes);
          return;
        }
        bytes = bytes.subarray(taken);
      }
    },
    drain(socket) {
      const waiting = socket.data.unsent;
      socket.data.unsent = [];
      for (const bytes of waiting) send(socket, bytes);
    },
    error() {},
  },
});

process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {});
process.send!("ready");

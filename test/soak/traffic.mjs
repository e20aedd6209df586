/**
 * Mixed traffic at a steady rate, whatever the answers take (open loop): node traffic.mjs {"rate":…,"seed":…,"ports":{…},"ca":"…"}.
 * Reads `go`, `rest` and `end` from standard input, a line each, and prints each second how often each kind was begun, went well and failed;
 * a `rest` is counted when all that was begun has ended and no connection is kept.
 */
import { createInterface } from "node:readline";
import { Clients, KINDS } from "./clients.mjs";

/** In ms. */
const TICK = 10;
/** More at a time are not begun, and counted as shed: what is tested is behind. */
const MOST = 2_000;
/** Sockets of udp flows are kept for the next ones, 32 by each worker (src/net/idle-datagrams.ts): after so many at once there are as many at each rest. */
const FLOWS = 160;

const { rate, seed, ports, ca } = JSON.parse(process.argv[2]);
const names = Object.keys(KINDS);
const total = names.reduce((sum, name) => sum + KINDS[name][0], 0);
const counts = Object.fromEntries(names.map((name) => [name, { begun: 0, well: 0, failed: 0 }]));
const reasons = {};
let open = 0;
let shed = 0;

/** Xorshift (Marsaglia 2003), whose state is never 0. */
let state = seed * 2 + 1;
function dice() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 4_294_967_296;
}

const clients = new Clients(ports, ca, dice);

function drawn() {
  let left = dice() * total;
  return names.find((name) => (left -= KINDS[name][0]) < 0) ?? names[0];
}

function begin(name) {
  if (open >= MOST) return void shed++;
  open++;
  counts[name].begun++;
  KINDS[name][1](clients)
    .then(
      () => counts[name].well++,
      (error) => {
        counts[name].failed++;
        const reason = `${name}: ${error.message}`;
        reasons[reason] = (reasons[reason] ?? 0) + 1;
      },
    )
    .finally(() => open--);
}

let since;
let owed = 0;
let resting = true;
let rests = 0;
let flows = FLOWS;

function tick() {
  if (since !== undefined) {
    const now = performance.now();
    // Exponential gaps would be a Poisson process; at this rate a tick of several is as good.
    for (owed += ((now - since) / 1000) * rate; owed >= 1; owed--) begin(drawn());
    since = now;
  } else if (!resting && open === 0) {
    clients.end();
    resting = true;
    rests++;
    tell();
  }
}

function tell() {
  process.stdout.write(`${JSON.stringify({ counts, reasons, open, shed, rests })}\n`);
}

const commands = {
  go() {
    since = performance.now();
    resting = false;
    // So that a short run has some of each, too.
    for (const name of names) begin(name);
    for (; flows > 0; flows--) begin("udp");
  },
  rest() {
    since = undefined;
  },
  end() {
    process.exit(0);
  },
};

setInterval(tick, TICK);
setInterval(tell, 1_000);
createInterface({ input: process.stdin })
  .on("line", (line) => commands[line]())
  .on("close", commands.end);

/** Tells systemd how this service is: sd_notify(3), for units of Type=notify. Nobody hears it when NOTIFY_SOCKET is not set. */
import { ptr } from "bun:ffi";
import { loadLibrary } from "../net/libc.ts";

export const NOTIFY_VARIABLE = "NOTIFY_SOCKET";
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const CLOCK_MONOTONIC = 1;
const SYMBOLS = {
  socket: { args: ["int", "int", "int"], returns: "int" },
  sendto: { args: ["int", "ptr", "u64", "int", "ptr", "u32"], returns: "i64" },
  close: { args: ["int"], returns: "int" },
  clock_gettime: { args: ["int", "ptr"], returns: "int" },
} as const;

export class Notifier {
  /** Where it goes; for whoever comes after us. */
  readonly path: string | undefined;

  /** The variable is taken away: processes that we start are not the service. */
  constructor(environment: NodeJS.ProcessEnv) {
    const path = environment[NOTIFY_VARIABLE];
    delete environment[NOTIFY_VARIABLE];
    this.path = process.platform === "linux" && path !== undefined && /^[/@]/.test(path) ? path : undefined;
  }

  ready(): void {
    this.say("READY=1\nSTATUS=Serving");
  }

  /** Until the next `ready`. */
  reloading(): void {
    if (this.path === undefined) return;
    // The system's clock, as Type=notify-reload compares it; the runtime's own begin with the process.
    const time = Buffer.alloc(16);
    loadLibrary(SYMBOLS).clock_gettime(CLOCK_MONOTONIC, ptr(time));
    this.say(`RELOADING=1\nMONOTONIC_USEC=${time.readBigInt64LE(0) * 1_000_000n + time.readBigInt64LE(8) / 1000n}`);
  }

  stopping(): void {
    this.say("STOPPING=1\nSTATUS=Draining");
  }

  /** The service goes on in another process. */
  succeededBy(pid: number): void {
    this.say(`MAINPID=${pid}`);
  }

  private say(text: string): void {
    if (this.path === undefined) return;
    const c = loadLibrary(SYMBOLS);
    const socket = c.socket(AF_UNIX, SOCK_DGRAM, 0);
    if (socket < 0) return;
    // An abstract name begins with a NUL, written as @, and ends with the address.
    const name = Buffer.from(this.path.startsWith("@") ? `\0${this.path.slice(1)}` : `${this.path}\0`);
    const address = Buffer.concat([Buffer.from([AF_UNIX, 0]), name]);
    const bytes = Buffer.from(text);
    // Nobody there is no reason to do anything else.
    c.sendto(socket, ptr(bytes), BigInt(bytes.length), 0, ptr(address), address.length);
    c.close(socket);
  }
}

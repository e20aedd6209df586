/** A network that can be bad: a process between two ends of TCP that delays, throttles, swallows and cuts. */
import { join } from "node:path";
import { freePort } from "../../support/ports.ts";
import { Child } from "./child.ts";

/** What happens to bytes, in both directions; all absent: they pass. */
export interface Weather {
  /** So much later, in ms. */
  readonly delay?: number;
  /** So many bytes a second in each direction of each connection. */
  readonly rate?: number;
  /** Nothing passes, and nothing ends; what came is passed on when this is over. */
  readonly hole?: boolean;
}

export interface ToProxy {
  readonly weather?: Weather;
  /** Cut every connection. */
  readonly cut?: "reset" | "fin";
}

export class FaultProxy {
  readonly port: number;
  private readonly child: Child;

  private constructor(port: number, child: Child) {
    this.port = port;
    this.child = child;
  }

  /** @param to a port on loopback */
  static async start(to: number): Promise<FaultProxy> {
    const port = await freePort();
    const child = new Child(join(import.meta.dir, "fault-proxy-process.ts"), [String(port), String(to)]);
    await child.message("a fault proxy", (message) => message === "ready");
    return new FaultProxy(port, child);
  }

  async set(weather: Weather): Promise<void> {
    await this.tell({ weather });
  }

  /** @returns the ports of those who had connected to it */
  cut(how: "reset" | "fin"): Promise<readonly number[]> {
    return this.tell({ cut: how });
  }

  private tell(message: ToProxy): Promise<readonly number[]> {
    this.child.send(message);
    return this.child.message("the fault proxy's answer", () => true);
  }

  kill(): Promise<void> {
    return this.child.kill();
  }

  /** At once, when this process ends. */
  drop(): void {
    this.child.signal("SIGKILL");
  }
}

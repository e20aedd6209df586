/** Back ends as processes: started at a port, killed, stopped and started there again. */
import { join } from "node:path";
import { freePort } from "../../support/ports.ts";
import { Child } from "./child.ts";

export interface BackendPlan {
  /** Told in X-Backend and in the table of POSTs, 1 to 254. */
  readonly id: number;
  readonly port: number;
  /** A mapped file with a byte a number: who has had the POST of it. Absent: nobody writes that down. */
  readonly posts?: string;
  /** Every so manieth number is answered late, after `slowFor` ms. Default: none. */
  readonly slowEvery?: number;
  readonly slowFor?: number;
  /** Every so manieth number is answered as it must not be; for tests of whoever should notice. Default: none. */
  readonly wrongEvery?: number;
  /** With the next number's reply; with a byte that is not its own; with less than was said, and the end. */
  readonly wrong?: "number" | "byte" | "short";
}

export class Backend {
  readonly plan: BackendPlan;
  private child: Child;

  private constructor(plan: BackendPlan, child: Child) {
    this.plan = plan;
    this.child = child;
  }

  /** Up and listening. @param port default: a free one */
  static async start(plan: Omit<BackendPlan, "port"> & { readonly port?: number }): Promise<Backend> {
    const whole = { ...plan, port: plan.port ?? (await freePort()) };
    return new Backend(whole, await Backend.launch(whole));
  }

  private static async launch(plan: BackendPlan): Promise<Child> {
    const child = new Child(join(import.meta.dir, "backend-process.ts"), [JSON.stringify(plan)]);
    await child.message(`back end ${plan.id}`, (message) => message === "ready");
    return child;
  }

  get pid(): number {
    return this.child.pid;
  }

  get address(): string {
    return `127.0.0.1:${this.plan.port}`;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.signal(signal);
  }

  /** `kill -9`; resolves when it is gone. */
  kill(): Promise<void> {
    return this.child.kill();
  }

  /** At the same port again. */
  async restart(): Promise<void> {
    await this.kill();
    this.child = await Backend.launch(this.plan);
  }
}

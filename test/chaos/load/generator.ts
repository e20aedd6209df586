/**
 * A load generator, in a process of its own: `Generator.start(plan)`, look at `counts` while it goes, `stop()` gives the report.
 * For `npm run chaos` and whoever else needs load that knows each of its requests.
 */
import { join } from "node:path";
import { Child } from "./child.ts";
import type { Counts, FromGenerator, LoadPlan, LoadReport } from "./plan.ts";

/** From being told to stop to the report: the requests under way end, or time out. */
const STOP_PATIENCE = 30_000;

const NOTHING: Counts = { requests: 0, failed: 0, resent: 0, connections: 0 };

export class Generator {
  private readonly child: Child;
  private latest = NOTHING;
  private report: LoadReport | undefined = undefined;

  private constructor(child: Child) {
    this.child = child;
  }

  /** Its requests begin at once. */
  static async start(plan: LoadPlan): Promise<Generator> {
    const child = new Child(join(import.meta.dir, "generator-process.ts"));
    await child.message<FromGenerator>("a load generator", (message) => (message as FromGenerator).type === "up");
    const generator = new Generator(child);
    child.onMessage = (message) => generator.hear(message as FromGenerator);
    child.send({ type: "start", plan });
    return generator;
  }

  /** As of a moment ago. */
  get counts(): Counts {
    return this.latest;
  }

  get pid(): number {
    return this.child.pid;
  }

  private hear(message: FromGenerator): void {
    if (message.type === "counts") this.latest = message.counts;
    else if (message.type === "report") {
      this.report = message.report;
      this.latest = message.report;
    }
  }

  /** No new requests; those under way may end. */
  async stop(): Promise<LoadReport> {
    this.child.send({ type: "stop" });
    const late = performance.now() + STOP_PATIENCE;
    while (this.report === undefined) {
      if (this.child.ended !== undefined) throw new Error(`the load generator ended with ${this.child.ended}`);
      if (performance.now() > late) throw new Error(`the load generator did not report within ${STOP_PATIENCE} ms`);
      await Bun.sleep(5);
    }
    await this.child.kill();
    return this.report;
  }

  kill(): Promise<void> {
    return this.child.kill();
  }
}

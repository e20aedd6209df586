/** What people and machines do to a running instance while it works, one thing after the other. */
import { sleep } from "../support/until.ts";
import type { Variant } from "./configuration.ts";
import type { Stand } from "./stand.ts";

/** What is done for a while is undone after this, in ms, or after the pause between two deeds where that is shorter. */
const HOLD = 500;
/** A killed target is away so many times as long: its checks see it. */
const AWAY = 3;
const PATIENCE = 10_000;

type Deed = (stand: Stand, turn: number, hold: number) => Promise<unknown>;

const json = (method: string, body: unknown): RequestInit => ({ method, body: JSON.stringify(body) });
const target = (stand: Stand, upstream: "web" | "h2"): string => `/v1/upstreams/${upstream}/targets/127.0.0.1:${stand.ports.targets[upstream === "web" ? "http" : "h2c"][0]}`;

async function expectOk(answer: Promise<Response>): Promise<Response> {
  const response = await answer;
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return response;
}

const DEEDS: Readonly<Record<string, Deed>> = {
  async reload(stand, turn) {
    const variant: Variant = turn % 2 === 0 ? "second" : "first";
    stand.configure(variant);
    await expectOk(stand.ask("/v1/reload", { method: "POST" }));
  },
  async "explain a request"(stand) {
    await expectOk(stand.ask("/v1/explain", json("POST", { method: "GET", url: `http://127.0.0.1:${stand.ports.http}/w/bytes/1` })));
  },
  async "weigh a target"(stand, turn) {
    await expectOk(stand.ask(target(stand, "web"), json("PUT", { weight: 1 + (turn % 5) })));
  },
  async "reload by signal"(stand, turn) {
    stand.configure(turn % 2 === 0 ? "first" : "second");
    stand.fairlead.signal("SIGHUP");
  },
  async "look at everything"(stand) {
    for (const path of ["/v1/overview", "/v1/history", "/v1/events", "/v1/exchanges", "/v1/config", "/v1/overrides", "/v1/upstreams/web"]) await expectOk(stand.ask(path));
  },
  async "drain a target and bring it back"(stand, _turn, hold) {
    await expectOk(stand.ask(`${target(stand, "h2")}/state`, json("PUT", { state: "drain" })));
    await sleep(hold);
    await expectOk(stand.ask(`${target(stand, "h2")}/state`, json("PUT", { state: "ready" })));
  },
  async "override the policy"(stand, _turn, hold) {
    await expectOk(stand.ask("/v1/upstreams/web/policy", json("PUT", { policy: "round-robin" })));
    await sleep(hold);
    await expectOk(stand.ask("/v1/overrides", { method: "DELETE" }));
  },
  async "a configuration that is refused"(stand) {
    stand.configure("wrong");
    const { status } = await stand.ask("/v1/reload", { method: "POST" });
    if (status < 400) throw new Error("a wrong configuration was taken");
  },
  async "add a target and remove it"(stand, _turn, hold) {
    const added = `/v1/upstreams/h2/targets/localhost:${stand.ports.targets.h2c[1]}`;
    await expectOk(stand.ask(added, json("PUT", {})));
    await sleep(hold);
    await expectOk(stand.ask(added, { method: "DELETE" }));
  },
  async "open logs anew"(stand) {
    stand.fairlead.signal("SIGUSR1");
  },
  async "kill a target"(stand, turn, hold) {
    const backend = stand.backends[turn % 2]!;
    await backend.kill();
    await sleep(AWAY * hold);
    await backend.start();
  },
};

export class Churn {
  /** What was done, and how often. */
  readonly done = new Map<string, number>(Object.keys(DEEDS).map((name) => [name, 0]));
  /** What did not work. */
  readonly failures: string[] = [];
  private readonly stand: Stand;
  private pause = 0;
  private running = false;
  private halted = false;
  private ended: Promise<void> = Promise.resolve();
  private turn = 0;

  constructor(stand: Stand) {
    this.stand = stand;
  }

  /** @param pause between two deeds, in ms */
  start(pause: number): void {
    this.pause = pause;
    this.running = true;
    this.ended = this.work();
  }

  /** Ends after what is being done, and when everything has been done once; targets are back, and the configuration is the first. */
  async stop(): Promise<void> {
    this.running = false;
    await this.ended;
    this.stand.configure("first");
    await this.attempt("reload", () => expectOk(this.stand.ask("/v1/reload", { method: "POST" })));
    await this.attempt("forget what was said", () => expectOk(this.stand.ask("/v1/overrides", { method: "DELETE" })));
  }

  /** Does nothing more, and waits for nothing. */
  halt(): void {
    this.halted = true;
    this.running = false;
  }

  private async work(): Promise<void> {
    const deeds = Object.entries(DEEDS);
    while (!this.halted && (this.running || this.turn < deeds.length)) {
      const [name, deed] = deeds[this.turn % deeds.length]!;
      const turn = Math.floor(this.turn++ / deeds.length);
      await this.attempt(name, () => deed(this.stand, turn, Math.min(HOLD, this.pause)));
      for (const end = performance.now() + this.pause; this.running && performance.now() < end; ) await sleep(20);
    }
  }

  private async attempt(name: string, run: () => Promise<unknown>): Promise<void> {
    try {
      await Promise.race([run(), sleep(PATIENCE).then(() => Promise.reject(new Error(`took more than ${PATIENCE} ms`)))]);
      this.done.set(name, (this.done.get(name) ?? 0) + 1);
    } catch (error) {
      this.failures.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

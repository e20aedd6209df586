/** A target in a simulation: so many requests at a time, the others wait there in order. */
import type { Behaviour } from "./scenarios.ts";

export class Server {
  readonly behaviour: Behaviour;
  /** Requests at a time. */
  readonly places: number;
  busy = 0;
  dead = false;
  /** Requests that it works on or that wait there. */
  readonly held = new Set<number>();
  private waiting: number[] = [];
  private first = 0;

  constructor(places: number, behaviour: Behaviour) {
    this.places = places;
    this.behaviour = behaviour;
  }

  slowness(time: number): number {
    return this.behaviour.slowness?.(time) ?? 1;
  }

  wait(request: number): void {
    this.waiting.push(request);
  }

  /** The next that waits; undefined: nobody does. */
  nextWaiting(): number | undefined {
    if (this.first === this.waiting.length) return undefined;
    const request = this.waiting[this.first++]!;
    if (this.first > 1024 && this.first * 2 > this.waiting.length) {
      this.waiting = this.waiting.slice(this.first);
      this.first = 0;
    }
    return request;
  }

  /** It dies: nobody works or waits there any more. @returns whom that meets */
  die(): number[] {
    const lost = [...this.held];
    this.dead = true;
    this.busy = 0;
    this.held.clear();
    this.waiting = [];
    this.first = 0;
    return lost;
  }
}

/** What a fault is: one file each in `faults/`. */
import type { Allowance } from "./judge.ts";
import type { Scene, SceneOptions } from "./scene.ts";

/** How long it goes on. */
export interface Course {
  /** A few seconds only: each thing once or twice. */
  readonly quick: boolean;
  /** Time is up, and there were as many requests as there must be. */
  readonly isOver: () => boolean;
}

export interface Inflicted {
  /** How often it was done. */
  readonly times: number;
  readonly allowances: readonly Allowance[];
  /** What should have been and was not. */
  readonly complaints?: readonly string[];
  /** Worth telling. */
  readonly notes?: readonly string[];
}

export interface Fault {
  readonly name: string;
  /** What is done. */
  readonly what: string;
  /** What must hold. */
  readonly bar: string;
  readonly scene?: SceneOptions;
  /** A full run lasts until there were so many requests. */
  readonly requests?: number;
  /** The load is on when this begins, and goes on until it has ended. */
  readonly run: (scene: Scene, course: Course) => Promise<Inflicted>;
}

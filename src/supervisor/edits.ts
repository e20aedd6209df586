/** Changes to what people said that come together become one change of the configuration; what is wrong with one of them is no reason to refuse the others. */
import { Problem } from "../admin/problem.ts";
import { diagnosticReason, type Loaded } from "../config/load.ts";
import type { Said } from "./said.ts";

type Applicable = Loaded & { readonly ok: true };

/** Those that come within this time are one, in ms. */
const PAUSE = 5;

export interface Edit {
  readonly by: string;
  /** What it is about; undefined: all of them. */
  readonly upstream?: string | undefined;
  readonly target?: string | undefined;
  /** @throws Problem */
  readonly edit: (said: Said) => Said;
}

interface Waiting extends Edit {
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

export interface EditsOptions {
  readonly said: () => Said;
  /** One change after another. */
  readonly take: (work: () => Promise<void>) => Promise<void>;
  readonly compile: (said: Said) => Loaded;
  /** Run it. @returns why that is not possible */
  readonly apply: (said: Said, loaded: Applicable, edits: readonly Edit[]) => Promise<string | undefined>;
}

export class Edits {
  private readonly options: EditsOptions;
  private readonly waiting: Waiting[] = [];
  private timer: Timer | undefined = undefined;

  constructor(options: EditsOptions) {
    this.options = options;
  }

  /** Resolves when it is in force on all workers. @throws Problem; then it has changed nothing */
  change(edit: Edit): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ ...edit, resolve, reject });
      this.timer ??= setTimeout(() => {
        this.timer = undefined;
        void this.options.take(() => this.applyWaiting());
      }, PAUSE);
    });
  }

  /** Those that wait are refused. */
  stop(why: Problem): void {
    clearTimeout(this.timer);
    for (const { reject } of this.waiting.splice(0)) reject(why);
  }

  private async applyWaiting(): Promise<void> {
    const all = this.waiting.splice(0);
    try {
      await this.applyAll(all);
    } catch (error) {
      // Nobody waits for ever.
      for (const { reject } of all) reject(error as Error);
    }
  }

  private async applyAll(all: readonly Waiting[]): Promise<void> {
    const before = this.options.said();
    const together = edited(before, all);
    const { said, loaded, accepted } = together.said === before ? { ...together, loaded: undefined } : this.fit(before, together.said, together.accepted);
    const reason = loaded === undefined ? undefined : await this.options.apply(said, loaded, accepted);
    for (const { resolve, reject } of accepted) {
      if (reason === undefined) resolve();
      else reject(new Problem(503, `this cannot be applied: ${reason}`));
    }
  }

  /** All of them, or as many as go together. @returns loaded: undefined when nothing is left to change */
  private fit(before: Said, said: Said, accepted: readonly Waiting[]): { readonly said: Said; readonly loaded: Applicable | undefined; readonly accepted: readonly Waiting[] } {
    const { compile } = this.options;
    const together = compile(said);
    if (together.ok) return { said, loaded: together, accepted };
    let fitting = before;
    const good = accepted.filter((waiting) => {
      const next = edited(fitting, [waiting]).said;
      const loaded = compile(next);
      if (loaded.ok) fitting = next;
      else waiting.reject(new Problem(422, reasonOf(loaded), { errors: loaded.diagnostics.map(({ message, hint }) => ({ message, hint: hint ?? null })) }));
      return loaded.ok;
    });
    // The rows of the one that was compiled last are those that are taken.
    const loaded = fitting === before ? undefined : compile(fitting);
    return { said: fitting, loaded: loaded?.ok === true ? loaded : undefined, accepted: good };
  }
}

/** Those that can be, one after another; the others are told why not. */
function edited(before: Said, all: readonly Waiting[]): { readonly said: Said; readonly accepted: readonly Waiting[] } {
  let said = before;
  const accepted = all.filter(({ edit, reject }) => {
    try {
      said = edit(said);
      return true;
    } catch (error) {
      reject(error as Error);
      return false;
    }
  });
  return { said, accepted };
}

export function reasonOf({ diagnostics }: Loaded & { readonly ok: false }): string {
  return diagnostics.map(diagnosticReason).join("; ");
}

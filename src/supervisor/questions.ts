/** What one worker was asked and has not answered yet. A worker that does not answer is the watchdog's business, not this one's. */
import type { Question, QuestionKind, Questions as Kinds } from "../worker/messages.ts";

/** How long an answer may take, in ms: more than a policy may think (`policy_timeout`). */
const PATIENCE = 10_000;

/** There is no answer: the worker does not know, has ended, or takes too long. */
export class Unanswered extends Error {
  readonly code = "FAIRLEAD_UNANSWERED";
}

interface Open {
  readonly settle: (answer: unknown) => void;
  readonly fail: (reason: string) => void;
}

export class Questions {
  private readonly send: (sequence: number, question: Question) => void;
  private readonly open = new Map<number, Open>();
  private last = 0;
  private over: string | undefined = undefined;

  constructor(send: (sequence: number, question: Question) => void) {
    this.send = send;
  }

  /** @throws Unanswered */
  ask<Kind extends QuestionKind>(kind: Kind, question: Kinds[Kind]["question"]): Promise<Kinds[Kind]["answer"]> {
    const sequence = ++this.last;
    return new Promise((resolve, reject) => {
      const fail = (reason: string): void => {
        clearTimeout(timer);
        this.open.delete(sequence);
        reject(new Unanswered(reason));
      };
      const settle = (answer: unknown): void => {
        clearTimeout(timer);
        this.open.delete(sequence);
        resolve(answer as Kinds[Kind]["answer"]);
      };
      const timer = setTimeout(() => fail(`worker gave no answer within ${PATIENCE} ms`), PATIENCE);
      this.open.set(sequence, { settle, fail });
      if (this.over === undefined) this.send(sequence, { kind, question } as Question);
      else fail(this.over);
    });
  }

  /** One that comes too late is nobody's. */
  answered(sequence: number, answer: unknown): void {
    this.open.get(sequence)?.settle(answer);
  }

  unanswered(sequence: number, reason: string): void {
    this.open.get(sequence)?.fail(reason);
  }

  /** There will be no more answers. */
  end(reason: string): void {
    this.over = reason;
    for (const { fail } of this.open.values()) fail(reason);
  }
}

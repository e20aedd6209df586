/** Answers of a worker reach whoever asked, in any order; none is waited for that will not come. */
import { expect, test } from "bun:test";
import { Questions, Unanswered } from "../../src/supervisor/questions.ts";

const QUESTION = { url: "http://x/" };

test("each answer settles its own question, and one that comes too late or twice nothing", async () => {
  const sent: number[] = [];
  const questions = new Questions((sequence) => void sent.push(sequence));
  const one = questions.ask("explain", QUESTION);
  const two = questions.ask("explain", QUESTION);
  const three = questions.ask("explain", QUESTION);
  questions.answered(sent[1]!, { problem: "two" });
  questions.answered(sent[1]!, { problem: "again" });
  questions.unanswered(sent[2]!, "why not");
  questions.answered(99, { problem: "nobody's" });
  questions.answered(sent[0]!, { problem: "one" });
  expect(await one).toEqual({ problem: "one" });
  expect(await two).toEqual({ problem: "two" });
  expect(await three.catch((error: unknown) => error)).toEqual(new Unanswered("why not"));
});

test("when the worker ends, what was asked and what is asked from then on has no answer", async () => {
  const sent: number[] = [];
  const questions = new Questions((sequence) => void sent.push(sequence));
  const before = questions.ask("explain", QUESTION);
  questions.end("worker ended (SIGKILL)");
  const after = questions.ask("explain", QUESTION);
  for (const asked of [before, after]) expect(await asked.catch((error: unknown) => error)).toEqual(new Unanswered("worker ended (SIGKILL)"));
  expect(sent).toHaveLength(1);
});

/** RESULTS.md: how many cases of each category a product passes, and each case in which one does not. */
import type { Assessment, Grade } from "./assess.ts";

export interface Entry {
  readonly category: string;
  readonly name: string;
  readonly source: string;
  /** What each column made of it. */
  readonly by: ReadonlyMap<string, Assessment>;
}

export interface Report {
  /** `product, protocol to back ends`. */
  readonly columns: readonly string[];
  readonly versions: readonly string[];
  /** What was left out, and why. */
  readonly left: readonly string[];
  readonly requests: readonly Entry[];
  readonly replies: readonly Entry[];
}

function count(entries: readonly Entry[], column: string, grade: Grade): number {
  return entries.filter(({ by }) => by.get(column)?.grade === grade).length;
}

function cell(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;").replace(/[\x00-\x1f\x7f-\x9f]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |\n`;
}

function sums(entries: readonly Entry[], column: string): string {
  return [count(entries, column, "passed"), count(entries, column, "lenient"), count(entries, column, "failed")].join(" / ");
}

function summary(entries: readonly Entry[], columns: readonly string[]): string {
  const categories = [...new Set(entries.map(({ category }) => category))];
  const lines = categories.map((category) => {
    const its = entries.filter((entry) => entry.category === category);
    return row([category, String(its.length), ...columns.map((column) => (its.some(({ by }) => by.has(column)) ? sums(its, column) : "–"))]);
  });
  const all = row(["**all**", `**${entries.length}**`, ...columns.map((column) => (entries.some(({ by }) => by.has(column)) ? `**${sums(entries, column)}**` : "–"))]);
  return `${row(["category", "cases", ...columns])}${row(["---", "---:", ...columns.map(() => "---:")])}${lines.join("")}${all}`;
}

/** What a column made of it, `passed` in no more words than needed. */
function told(assessment: Assessment | undefined): string {
  if (assessment === undefined) return "–";
  return assessment.grade === "passed" ? cell(assessment.what) : `**${assessment.grade}**: ${cell(assessment.what)}`;
}

function differing(entries: readonly Entry[], columns: readonly string[]): string {
  const rows = entries.filter(({ by }) => [...by.values()].some(({ grade }) => grade !== "passed"));
  if (rows.length === 0) return "None.\n";
  return `${row(["case", "source", ...columns])}${row(["---", "---", ...columns.map(() => "---")])}${rows.map(({ name, source, by }) => row([cell(name), cell(source), ...columns.map((column) => told(by.get(column)))])).join("")}`;
}

export function render({ columns, versions, left, requests, replies }: Report): string {
  return `# HTTP/1.1 conformance

\`npm run conformance\`, ${new Date().toISOString().slice(0, 10)}: ${versions.join("; ")}.

Each of ${requests.length} requests goes through each product to a back end that records every byte; each of ${replies.length} replies comes from one. All of them are sent in one segment, in two and
byte by byte; the worst of the three counts. Sources are RFC sections, published work with its year, or CVEs; the cases are data, in \`requests/\` and \`responses/\`.

- **passed**: the back end saw exactly the request that was sent, well-formed, or none where the case demands refusal; the client got exactly the reply that was sent, or an error; and the next
  client's request was answered with its own reply.
- **lenient**: a reading that the RFC leaves open, and that this back end, which is strict, comes to no harm by. Mostly the case demands refusal and the product made exactly one well-formed message of it:
  most grammar errors only SHOULD be refused (RFC 9112 section 2.2). Fairlead's reading is the stricter one.
- **failed**: more than one request of one, malformed bytes or a truncated message that looks whole, a message that the RFC says MUST be refused, a valid message that is refused, fields that should
  have been removed, or the next client's request gone wrong.

Products run as they come, on one thread. nginx and HAProxy are set to keep connections to back ends, to say who asked in X-Forwarded-* and to add Via; nginx passes Upgrade on as its documentation has it
for WebSocket. Cases about a product's own limits count as failed only where the back end is harmed. Fairlead is held to exact statuses and closed connections beyond this table, by \`npm test\`.
The cases are Fairlead's own, and Fairlead was mended until it passed them all: its column says that nothing has come back, the others' what a first run finds.
Some of the others' verdicts hang on timing, and vary by a handful from run to run.
${left.length === 0 ? "" : `\n${left.map((line) => `- ${line}\n`).join("")}`}
Each cell: passed / lenient / failed.

## Requests

${summary(requests, columns)}
## Replies

${summary(replies, columns)}
## Requests that somebody does not pass

${differing(requests, columns)}
## Replies that somebody does not pass

${differing(replies, columns)}`;
}

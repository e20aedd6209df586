/** What the demo says to a person: where things are and what to try. */
import type { Backend } from "./backends.ts";

/** Where the explanations begin. */
const COLUMN = 50;

export interface GuideOptions {
  readonly port: number;
  readonly adminPort: number;
  readonly backends: readonly Backend[];
  /** Bold headings. */
  readonly colour: boolean;
  readonly input: Input;
}

/** How the demo is told things: typed, written to its standard input by a program, or not at all (a job in the background). */
export type Input = "terminal" | "lines" | "none";

export function guide({ port, adminPort, backends, colour, input }: GuideOptions): string {
  const bold = (text: string) => (colour ? `\x1b[1m${text}\x1b[22m` : text);
  const url = `localhost:${port}/api/spells`;
  const pid = backends[0]?.pid ?? "PID";
  const explain = `bin/fairlead explain ${url}${adminPort === 9901 ? "" : ` --admin 127.0.0.1:${adminPort}`}`;
  return `
${bold("Fairlead is ready:")} http://${url}
  One balancer on port ${port} in front of three back ends; watch it at http://localhost:${adminPort}:

${backends.map((backend) => `    ${backend.number}  ${backend.name}  ${backend.address}  ${backend.pid === undefined ? "stopped" : `pid ${backend.pid}`}`).join("\n")}

${bold("Try in another terminal")}
    ${`curl ${url}`.padEnd(COLUMN)}twice: two back ends answer
    ${`kill ${pid}`.padEnd(COLUMN)}curl on: no request fails, and it is replaced
    ${`curl localhost:${port}/health`.padEnd(COLUMN)}the balancer's own health
    ${explain.padEnd(COLUMN)}where the next request would go, and why

${input === "none" ? NO_INPUT : commands(bold(HEADINGS[input]), url)}
`;
}

const HEADINGS = { terminal: "Type here, then Enter", lines: "Write to standard input, a line each" } as const;
const NO_INPUT = "It runs in the background: start it in the foreground to stop and start back ends by typing. To end it: kill its job.";

function commands(heading: string, url: string): string {
  return `${heading}
    1, 2 or 3    stop that back end, or start it again
    a            stop them all: curl -i ${url} gives 503; a again starts them
    h            show this again
    q            quit (or Ctrl-C)
`;
}

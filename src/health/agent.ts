/**
 * The agent check: connect, send what the config says, read one line. The vocabulary is that of HAProxy's `agent-check`:
 * `75%`, `up`, `down`, `fail`, `stopped`, `ready`, `drain`, `maint`, several with blanks or commas between them, up to a `#`.
 *
 * Unlike there, an agent is a target's only check: one that cannot be reached counts as a failure.
 */
import { type AgentOrders, checkAddress, type CheckKind, failed, passed, type Verdict } from "./check.ts";
import { converse, type Dialogue } from "./conversation.ts";

const MAX_LINE = 512;
const DOWN = new Set(["down", "fail", "failed", "stopped"]);
const MODES: Readonly<Record<string, NonNullable<AgentOrders["mode"]>>> = { ready: "ready", drain: "drain", maint: "maint" };

export const agentCheck: CheckKind = {
  name: "agent",
  prepare(target, config) {
    const address = checkAddress(target, config);
    const opening = Buffer.from(config.send ?? "", "utf8");
    // A line that says neither up nor down leaves that as it was.
    const memory = { up: true };
    // An agent is a program of its own, in the clear whatever its target speaks.
    return { run: ({ network, hanging }, done) => converse({ network, hanging }, address, config.timeout, new AgentDialogue(opening, memory), done) };
  },
};

class AgentDialogue implements Dialogue {
  readonly opening: Uint8Array;
  private readonly memory: { up: boolean };
  private line = "";

  constructor(opening: Uint8Array, memory: { up: boolean }) {
    this.opening = opening;
    this.memory = memory;
  }

  opened(): undefined {
    return undefined;
  }

  read(chunk: Buffer): Verdict | undefined {
    this.line += chunk.toString("latin1");
    const end = this.line.search(/[\r\n]/);
    if (end >= 0) return judge(this.line.slice(0, end), this.memory);
    return this.line.length > MAX_LINE ? failed("agent: line too long") : undefined;
  }

  ended(): Verdict {
    return judge(this.line, this.memory);
  }
}

function judge(line: string, memory: { up: boolean }): Verdict {
  const [said = "", comment = ""] = line.split("#", 2).map((part) => part.trim());
  const words = said.split(/[\s,]+/).filter((word) => word !== "");
  if (words.length === 0) return failed("agent: said nothing");
  let { up } = memory;
  let weight: number | undefined;
  let mode: AgentOrders["mode"];
  for (const word of words.map((each) => each.toLowerCase())) {
    const percent = /^(\d{1,5})%$/.exec(word);
    if (percent !== null) weight = Math.min(25_600, Number(percent[1]));
    else if (word === "up") up = true;
    else if (DOWN.has(word)) up = false;
    else if (Object.hasOwn(MODES, word)) mode = MODES[word];
    // HAProxy's too; here max_requests is the config's.
    else if (!/^maxconn:\d+$/.test(word)) return failed(`agent: unknown word ${JSON.stringify(word.slice(0, 40))}`);
  }
  memory.up = up;
  const reason = `agent: ${words.join(" ")}${comment === "" ? "" : ` (${comment.slice(0, 80)})`}`;
  return { ...(up ? passed(reason) : failed(reason)), orders: { ...(weight === undefined ? {} : { weight }), ...(mode === undefined ? {} : { mode }) } };
}

/** What a back end prints, passed on line by line with its name in front. */
import type { Readable, Writable } from "node:stream";
import { printableJson, printableOutput } from "../observability/controls.ts";
import type { LogFormat } from "../observability/log.ts";

/** A line that goes on for longer is passed on in pieces. */
const MAX_LINE = 16 * 1024;

export function passOnLines(from: Readable, to: Writable, label: string, format: LogFormat): void {
  const decoder = new TextDecoder();
  let rest = "";
  const labelled = (line: string): string => (format === "json" ? `${printableJson(JSON.stringify({ instance: label, line }))}\n` : `${label} | ${printableOutput(line)}\n`);
  const read = (text: string): void => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (; rest.length > MAX_LINE; rest = rest.slice(MAX_LINE)) lines.push(rest.slice(0, MAX_LINE));
    if (lines.length > 0) to.write(lines.map((line) => labelled(line.replace(/\r$/, ""))).join(""));
  };
  from.on("data", (chunk: Buffer) => read(decoder.decode(chunk, { stream: true })));
  from.on("end", () => {
    if (rest !== "") read("\n");
  });
  from.on("error", () => {});
}

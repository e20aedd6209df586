/** The service log: one line an event on stderr, as JSON or for a person's eyes. Not the access log. */
import { writeSync } from "node:fs";
import pino from "pino";

export type Log = Pick<pino.Logger, "debug" | "info" | "warn" | "error" | "level">;
export type LogFormat = "text" | "json";

/** Standard error; a full pipe or a closed terminal never stops a balancer, so errors are dropped. */
function toStderr(line: string): void {
  try {
    writeSync(2, line);
  } catch {
    // Nobody is left to tell.
  }
}

const LEVELS: Readonly<Record<number, string>> = { 20: "DEBUG", 30: "INFO ", 40: "WARN ", 50: "ERROR" };
const QUOTED = /[\s"=\x00-\x1f\x7f]/;

/** `12:00:01.123 INFO  message key=value`: control characters are escaped, so that no header can forge a line. */
export function formatText(line: string): string {
  const { level, time, msg, pid: _pid, ...fields } = JSON.parse(line) as Record<string, unknown> & { level: number; time: string; msg?: string };
  let text = `${String(time).slice(11, 23)} ${LEVELS[level] ?? level} ${(msg ?? "").replace(/[\x00-\x1f\x7f]/g, (c) => JSON.stringify(c).slice(1, -1))}`;
  for (const [key, value] of Object.entries(fields)) {
    text += ` ${key}=${typeof value === "string" && !QUOTED.test(value) ? value : JSON.stringify(value)}`;
  }
  return `${text}\n`;
}

export function createLog(format: LogFormat, level: string): Log {
  const write = format === "json" ? toStderr : (line: string) => toStderr(formatText(line));
  return pino({ level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime, formatters: format === "json" ? { level: (label) => ({ level: label }) } : {} }, { write });
}

/** For the library and for tests that do not look at the log. */
export function silentLog(): Log {
  return pino({ level: "silent" });
}

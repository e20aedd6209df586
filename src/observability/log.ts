/** The service log: one line an event, as JSON or for a person's eyes, by module, each with its own level. Not the access log. */
import pino from "pino";
import { printable, printableJson } from "./controls.ts";
import { LineFile } from "./line-file.ts";

export type Log = Pick<pino.Logger, "debug" | "info" | "warn" | "error">;
export type LogFormat = "text" | "json";

/** From much to little. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The parts of the house, as their lines name them. */
export const LOG_MODULES = {
  config: "the configuration: what is wrong with it, and reloads",
  supervisor: "start, takeover, upgrade, stop, sockets",
  workers: "worker processes: start, death, replacement",
  health: "checks, ejections, heartbeats, who is in rotation",
  policy: "policies, and what those of your own do wrong",
  http: "exchanges that fail, and attempts that are made again",
  tcp: "connections that fail",
  udp: "flows that fail",
  tls: "handshakes that fail, PROXY protocol headers, ClientHellos; certificates that change",
  acme: "certificates that are ordered",
  admin: "the admin address",
  supervised: "back ends that Fairlead starts",
  tracing: "spans that cannot be exported",
  access_log: "the access log: lines that are lost",
} as const;
export type LogModule = keyof typeof LOG_MODULES;

export interface LogLevels {
  /** The least that is logged, … */
  readonly level: LogLevel;
  /** … but for these. */
  readonly modules: Readonly<Partial<Record<LogModule, LogLevel | undefined>>>;
}

/** Gives each part of the house its log. */
export interface Logs {
  of(module: LogModule): Log;
}

const NAMES: Readonly<Record<number, string>> = { 20: "DEBUG", 30: "INFO ", 40: "WARN ", 50: "ERROR" };
const QUOTED = /[\s"=\x00-\x1f\x7f-\x9f]/;
/** What waits while nobody reads, in bytes. */
const BUFFER = 64 * 1024;
/** Between two looks whether somebody reads again, in ms. */
const RETRY = 1_000;

/** `12:00:01.123 INFO  message key=value module=http`: control characters are escaped, so that no header can forge a line. */
export function formatText(line: string): string {
  const { level, time, msg, pid: _pid, module, ...fields } = JSON.parse(line) as Record<string, unknown> & { level: number; time: string; msg?: string; module?: string };
  let text = `${String(time).slice(11, 23)} ${NAMES[level] ?? level} ${printable(msg ?? "")}`;
  for (const [key, value] of Object.entries(fields)) {
    text += ` ${key}=${typeof value === "string" && !QUOTED.test(value) ? printable(value) : printableJson(JSON.stringify(value))}`;
  }
  return `${text}${module === undefined ? "" : ` module=${module}`}\n`;
}

export class ServiceLog implements Logs {
  private readonly root: pino.Logger;
  private readonly children = new Map<LogModule, pino.Logger>();
  private levels: LogLevels = { level: "info", modules: {} };
  private path = "stderr";
  private file = new LineFile(this.path, BUFFER);
  private retry: Timer | undefined = undefined;

  constructor(format: LogFormat) {
    const json = format === "json";
    const write = json ? (line: string) => this.write(printableJson(line)) : (line: string) => this.write(formatText(line));
    this.root = pino({ level: "info", base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime, formatters: json ? { level: (label) => ({ level: label }) } : {} }, { write });
  }

  of(module: LogModule): Log {
    let child = this.children.get(module);
    if (child === undefined) this.children.set(module, (child = this.root.child({ module }, { level: this.levels.modules[module] ?? this.levels.level })));
    return child;
  }

  /** From now on. */
  set(levels: LogLevels): void {
    this.levels = levels;
    for (const [module, child] of this.children) child.level = levels.modules[module] ?? levels.level;
  }

  /** Where lines go from now on. @param path of a file; undefined: standard error */
  moveTo(path: string | undefined): void {
    const next = path ?? "stderr";
    if (next === this.path) return;
    this.file.end();
    this.path = next;
    this.file = new LineFile(next, BUFFER);
  }

  /** The file has another name now: go on in the one that has its name. */
  reopen(): void {
    this.file.reopen();
  }

  /** A full pipe, a full disk or a closed terminal never stops a balancer: what there is no room for is lost. */
  private write(line: string): void {
    const bytes = Buffer.from(line);
    this.file.write(bytes, bytes.length);
    if (this.file.flush()) return;
    this.retry ??= setInterval(() => {
      if (!this.file.flush()) return;
      clearInterval(this.retry);
      this.retry = undefined;
    }, RETRY).unref();
  }
}

/** All modules in one log, which has its own idea of levels; for the library. */
export function oneLog(log: Log): Logs {
  return { of: () => log };
}

/** For the library and for tests that do not look at the log. */
export function silentLog(): Log {
  return pino({ level: "silent" });
}

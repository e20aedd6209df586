/** The access log: one line an exchange, made and gathered here. How lines get out is line-file.ts. */
import type { AccessLogConfig } from "../config/snapshot.ts";
import type { AccessFormat } from "./access/format.ts";
import { compileFormat, FORMATS, headersOf } from "./access/format.ts";
import type { LineMaker } from "./access/line-code.ts";
import { Line, LONGEST_LINE } from "./access/line.ts";
import { type Account, type Witness, wholeOf } from "./account.ts";
import type { Cause } from "./cause.ts";
import { LineFile } from "./line-file.ts";
import type { Log } from "./log.ts";

/** Between two warnings that lines were lost, in ms. */
const WARN_EVERY = 10_000;
/** Where a line must be short, values of clients are cut to so many characters: the first that is enough. */
const CUTS = [512, 64];

export interface AccessLogOptions {
  /** What stands in for a format that the configuration does not say: as the service log. */
  readonly json: boolean;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log: Log;
  /** So many more lines are lost. */
  readonly lost: (lines: number) => void;
}

export class AccessLog implements Witness {
  /** Request headers that its lines tell, as accounts have to bring them. */
  readonly headers: readonly string[];
  readonly readsAtOnce = true;
  private readonly config: AccessLogConfig;
  private readonly options: AccessLogOptions;
  private readonly file: LineFile;
  private readonly make: LineMaker;
  private readonly line = new Line();
  private silent: ReadonlySet<string>;
  private nextFlush = 0;
  private nextWarning = 0;
  private told = 0;
  private warned = 0;

  /** @param silent names of listeners that are not logged */
  constructor(config: AccessLogConfig, silent: ReadonlySet<string>, options: AccessLogOptions) {
    const format = config.format ?? (options.json ? FORMATS["json"]! : TEXT);
    this.config = config;
    this.silent = silent;
    this.options = options;
    this.headers = headersOf(format);
    this.make = compileFormat(format, this.headers);
    this.file = new LineFile(config.path, config.buffer);
  }

  /** Goes on with this configuration: true. It is another one: false. */
  apply(config: AccessLogConfig, silent: ReadonlySet<string>): boolean {
    if (JSON.stringify(config) !== JSON.stringify(this.config)) return false;
    this.silent = silent;
    return true;
  }

  get wantsMost(): boolean {
    return this.config.sample > 0.5;
  }

  wants(cause: Cause, status: number): boolean {
    const { sample, sampleErrors } = this.config;
    if (sample >= 1) return true;
    const failed = status >= 500 || (cause !== "done" && cause !== "local");
    return (failed && sampleErrors) || this.options.random() < sample;
  }

  tell(account: Account): void {
    if (this.silent.size > 0 && this.silent.has(account.listener)) return;
    const { file, line } = this;
    const longest = Math.min(LONGEST_LINE, file.longest);
    this.make(account, line);
    for (const length of CUTS) {
      if (line.length <= longest) break;
      this.make(shortened(account, length), line);
    }
    if (line.length <= LONGEST_LINE) file.write(line.bytes, line.length);
    else file.lost++;
  }

  /** @param now coarse clock ms */
  tick(now: number): void {
    if (now < this.nextFlush) return;
    this.nextFlush = now + this.config.flush;
    this.file.flush();
    this.count();
    if (this.file.lost === this.warned || now < this.nextWarning) return;
    this.nextWarning = now + WARN_EVERY;
    this.options.log.warn({ path: this.config.path, lines: this.file.lost - this.warned }, "Access log: lines were lost, for nobody takes them");
    this.warned = this.file.lost;
  }

  private count(): void {
    const { lost } = this.file;
    if (lost > this.told) this.options.lost(lost - this.told);
    this.told = lost;
  }

  flush(): void {
    this.file.flush();
  }

  /** The file has another name now: go on in the one that has its name. */
  reopen(): void {
    this.file.reopen();
  }

  end(): void {
    this.file.end();
    this.count();
  }
}

const TEXT: AccessFormat = { kind: "text" };

/** The same with less of what its client said. */
function shortened(account: Account, length: number): Account {
  const cut = (text: string): string => (text.length > length ? `${text.slice(0, length)}...` : text);
  const whole = wholeOf(account);
  const { method, host, path, detail, requestId, fields } = whole;
  return { ...whole, method: cut(method), host: cut(host), path: cut(path), detail: cut(detail), requestId: cut(requestId), fields: fields.map(cut) };
}

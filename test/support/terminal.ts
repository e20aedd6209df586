/** A program on a terminal of its own, a pseudo one, and what it draws there. */

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Where each screen begins: the cursor is sent home. */
const HOME = "\u001B[H";

export class Terminal {
  /** All that was written to it. */
  text = "";
  readonly exited: Promise<number>;
  private readonly child: Bun.Subprocess;

  private constructor(command: readonly string[], cwd: string, { width, height }: Size, env: Readonly<Record<string, string>>) {
    const decoder = new TextDecoder();
    this.child = Bun.spawn([...command], {
      cwd,
      env: { ...process.env, NO_COLOR: undefined, TERM: "xterm-256color", ...env },
      terminal: {
        cols: width,
        rows: height,
        data: (_, data) => {
          this.text += decoder.decode(data, { stream: true });
        },
      },
    });
    this.exited = this.child.exited;
  }

  static start(command: readonly string[], cwd: string, size: Size, env: Readonly<Record<string, string>> = {}): Terminal {
    return new Terminal(command, cwd, size, env);
  }

  /** How many screens were begun. */
  get frames(): number {
    return this.text.split(HOME).length - 1;
  }

  /** The last whole screen, without colours; undefined: there was none. */
  lastFrame(): string[] | undefined {
    const begun = this.text.split(HOME).slice(1);
    const whole = begun.findLast((frame) => frame.includes("\u001B[J"));
    return whole
      ?.slice(0, whole.indexOf("\u001B[J"))
      .replaceAll(/\u001B\[[0-9;?]*[A-Za-z]/g, "")
      .split(/\r+\n/);
  }

  write(text: string): void {
    this.child.terminal!.write(text);
  }

  resize({ width, height }: Size): void {
    this.child.terminal!.resize(width, height);
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  close(): void {
    this.child.kill("SIGKILL");
    this.child.terminal?.close();
  }
}

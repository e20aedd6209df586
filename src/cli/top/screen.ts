/** The terminal while a program has all of it: the alternate screen, keys as they are pressed, and everything as before at the end, however that comes. */

/** DEC private modes as xterm has them: alternate screen, cursor, lines that go on below. */
const ENTER = "\u001B[?1049h\u001B[?25l\u001B[?7l\u001B[2J";
const LEAVE = "\u001B[?7h\u001B[?25h\u001B[?1049l";
const HOME = "\u001B[H";
const REST_OF_LINE = "\u001B[K";
const REST_OF_SCREEN = "\u001B[J";
/** Of a terminal that does not say its size. */
const USUAL = { width: 80, height: 24 };
/** By the number of each signal, as shells have it. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

export class Screen {
  private left = false;

  /** @param key as it comes: a character, or an escape sequence @param resized draw again */
  constructor(key: (key: string) => void, resized: () => void) {
    process.stdout.write(ENTER);
    process.on("exit", () => this.leave());
    for (const [signal, code] of Object.entries(SIGNALS)) process.on(signal, () => process.exit(code));
    process.on("uncaughtException", (error) => {
      this.leave();
      console.error(error);
      process.exit(1);
    });
    process.stdout.on("resize", resized);
    // A terminal that is gone takes nothing more.
    process.stdout.on("error", () => process.exit(SIGNALS.SIGHUP));
    if (process.stdin.isTTY) {
      process.stdin.setRawMode(true);
      process.stdin.setEncoding("utf8").on("data", (text: string) => {
        for (const one of text.match(/\u001B\[[0-9;]*[A-Za-z~]|[\s\S]/g) ?? []) key(one);
      });
      process.stdin.on("end", () => process.exit(SIGNALS.SIGHUP));
    }
  }

  get size(): { readonly width: number; readonly height: number } {
    const { columns, rows } = process.stdout;
    return columns > 0 && rows > 0 ? { width: columns, height: rows } : USUAL;
  }

  draw(lines: readonly string[]): void {
    if (!this.left) process.stdout.write(HOME + lines.slice(0, this.size.height).map((line) => line + REST_OF_LINE).join("\r\n") + REST_OF_SCREEN);
  }

  leave(): void {
    if (this.left) return;
    this.left = true;
    if (process.stdin.isTTY) process.stdin.setRawMode(false);
    process.stdout.write(LEAVE);
  }
}

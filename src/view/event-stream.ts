/**
 * Server-sent events of a response's body (WHATWG HTML, 9.2). Not EventSource: that one cannot show a token, and is not where a terminal is.
 */

export interface ServerEvent {
  /** "message" where none is said. */
  readonly type: string;
  readonly data: string;
  readonly id: string | undefined;
}

/** Until the stream ends; what it throws is thrown. @param heard something came, if only a comment that says "still there" */
export async function* serverEvents(body: ReadableStream<Uint8Array>, heard?: () => void): AsyncGenerator<ServerEvent, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let block = new Block();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard?.();
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?=[^\n])/);
      rest = lines.pop()!;
      for (const line of lines) {
        if (line !== "") block.add(line);
        else {
          const event = block.event();
          block = new Block();
          if (event !== undefined) yield event;
        }
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

class Block {
  private type = "message";
  private id: string | undefined = undefined;
  private readonly data: string[] = [];

  add(line: string): void {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.type = value;
    else if (name === "data") this.data.push(value);
    else if (name === "id") this.id = value;
  }

  event(): ServerEvent | undefined {
    return this.data.length === 0 ? undefined : { type: this.type, data: this.data.join("\n"), id: this.id };
  }
}

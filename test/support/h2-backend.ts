/** A back end that speaks HTTP/2 and is asked as one of HTTP/1: each request as the message that it would be there, and what is wrong with its form (RFC 9113 section 8). */
import { type H2Request, type H2Script, H2Target } from "./h2-target.ts";
import { Message } from "./messages.ts";

const NAME = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const TARGET = /^(\*|\/[!-"$-~]*)$/;
/** Section 8.2.2. */
const OF_ONE_CONNECTION = new Set(["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "http2-settings"]);

/** What RFC 9113 section 8 forbids; undefined: nothing. */
function fault({ fields, whole, bytes }: H2Request): string | undefined {
  const names = fields.map(([name]) => name);
  const pseudo = names.filter((name) => name.startsWith(":"));
  const values = (name: string) => fields.filter(([key]) => key === name).map(([, value]) => value);
  if (names.some((name) => !NAME.test(name))) return `a field name in ${JSON.stringify(names)}`;
  if (new Set(pseudo).size !== pseudo.length || names.slice(0, pseudo.length).some((name) => !name.startsWith(":"))) return `pseudo-headers ${JSON.stringify(names)}`;
  if ([":method", ":scheme", ":path"].some((name) => values(name).length !== 1)) return `pseudo-headers ${JSON.stringify(pseudo)}`;
  if (!TARGET.test(values(":path")[0]!)) return `:path ${JSON.stringify(values(":path")[0])}`;
  if (names.some((name) => OF_ONE_CONNECTION.has(name)) || values("te").some((value) => value !== "trailers")) return `fields of one connection in ${JSON.stringify(names)}`;
  if (fields.some(([, value]) => value.trim() !== value)) return `blanks around a value in ${JSON.stringify(fields)}`;
  if (values("host").length > 1 || (values(":authority").length === 1 && values("host").some((host) => host !== values(":authority")[0]))) return `host and :authority in ${JSON.stringify(fields)}`;
  const lengths = values("content-length");
  if (lengths.length > 1 || (whole && lengths.length === 1 && Number(lengths[0]) !== bytes)) return `content-length ${lengths.join(" and ")} of ${bytes} bytes`;
  return undefined;
}

function messageOf(request: H2Request): Message {
  const authority = request.header(":authority");
  const lines = request.fields.filter(([name]) => !name.startsWith(":") && !(name === "host" && authority !== undefined)).map(([name, value]) => `${name}: ${value}\r\n`);
  const message = new Message(`${request.header(":method")} ${request.path} HTTP/1.1\r\n${authority === undefined ? "" : `host: ${authority}\r\n`}${lines.join("")}\r\n`);
  message.add(request.body);
  message.trailers.push(...request.trailers);
  if (request.whole) message.finish("complete");
  else if (request.reset !== undefined || request.connection.gone) message.finish("truncated");
  return message;
}

/** Waits for the whole request, then says which one it was, with a length, which HTTP/1.0 needs to go on. */
export const sayWhich: H2Script = async (request) => {
  if (!(await request.ended())) return;
  const body = request.header(":method") === "HEAD" ? "" : `${request.header(":method")} ${request.path}`;
  request.answer(body, 200, [["content-length", String(body.length)]]);
};

export class H2Backend {
  readonly target: H2Target;
  private from = 0;

  private constructor(target: H2Target) {
    this.target = target;
  }

  static async start(): Promise<H2Backend> {
    return new H2Backend(await H2Target.start(sayWhich));
  }

  get address(): string {
    return this.target.address;
  }

  private get current(): H2Request[] {
    return this.target.requests.slice(this.from);
  }

  /** Requests that are well-formed as far as they came. */
  get requests(): Message[] {
    return this.current.flatMap((request) => {
      try {
        return [messageOf(request)];
      } catch {
        return [];
      }
    });
  }

  get complete(): Message[] {
    return this.requests.filter(({ state }) => state === "complete");
  }

  get malformed(): string[] {
    const wrong = this.current.flatMap((request) => {
      try {
        messageOf(request);
        return fault(request) ?? [];
      } catch (error) {
        return String(error);
      }
    });
    return [...wrong, ...this.target.problems];
  }

  /** Forget what came; connections stay. */
  clear(script: H2Script = sayWhich): this {
    this.from = this.target.requests.length;
    this.target.problems.length = 0;
    this.target.script = script;
    return this;
  }

  stop(): Promise<void> {
    return this.target.stop();
  }
}

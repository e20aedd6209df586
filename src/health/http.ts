/** The http check: one HTTP/1.1 request on a connection of its own; the status, and on wish the body, decide. */
import manifest from "../../package.json" with { type: "json" };
import type { Address, HealthCheckConfig, TargetConfig } from "../config/snapshot.ts";
import { checkAddress, type CheckKind, failed, passed, type Verdict } from "./check.ts";
import { converse, type Dialogue } from "./conversation.ts";
import { InvalidReply, ReplyReader } from "./reply.ts";

export const USER_AGENT = `fairlead-health/${manifest.version}`;

export const httpCheck: CheckKind = {
  name: "http",
  prepare(target, config) {
    const address = checkAddress(target, config);
    const request = writeRequest(target, config);
    return { run: (context, done) => converse(context, address, config.timeout, new HttpDialogue(request, config), done) };
  },
};

/** The path that the http check of a target asks for; "" when there is none. */
export function httpCheckPath(target: TargetConfig, config: HealthCheckConfig): string {
  return target.healthPath ?? config.path;
}

/** The request's bytes. A field that the config sets replaces the one that would be sent by itself. */
function writeRequest(target: TargetConfig, config: HealthCheckConfig): Buffer {
  const own = new Set(config.headers.map((header) => header.name.toLowerCase()));
  const lines = [`${config.method} ${httpCheckPath(target, config)} HTTP/1.1`];
  const byItself = (name: string, value: string) => {
    if (!own.has(name.toLowerCase())) lines.push(`${name}: ${value}`);
  };
  byItself("Host", config.host ?? authority(checkAddress(target, config), config.tls));
  byItself("User-Agent", USER_AGENT);
  byItself("Accept", "*/*");
  if (config.method === "POST" || config.method === "PUT" || config.method === "PATCH") byItself("Content-Length", "0");
  byItself("Connection", "close");
  for (const { name, value } of config.headers) lines.push(`${name}: ${value}`);
  // The config rejects these with their position; here it is the last guard before a line could be forged.
  for (const line of lines) if (/[\r\n\0]/.test(line)) throw new Error(`line break in health check request of ${target.name}`);
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

/** As in a Host field. */
export function authority(address: Address, tls: boolean): string {
  if (address.kind === "unix") return "localhost";
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return address.port === (tls ? 443 : 80) ? host : `${host}:${address.port}`;
}

class HttpDialogue implements Dialogue {
  readonly opening: Uint8Array;
  private readonly config: HealthCheckConfig;
  private readonly reply: ReplyReader;

  constructor(request: Uint8Array, config: HealthCheckConfig) {
    this.opening = request;
    this.config = config;
    this.reply = new ReplyReader(config.method === "HEAD", config.bodyContains === undefined ? undefined : Buffer.from(config.bodyContains));
  }

  opened(): undefined {
    return undefined;
  }

  read(chunk: Buffer): Verdict | undefined {
    return this.attempt(() => this.reply.read(chunk), "invalid reply: ");
  }

  ended(): Verdict {
    // The reader either has all that it needs now or throws.
    return this.attempt(() => this.reply.end(), "")!;
  }

  private attempt(step: () => void, prefix: string): Verdict | undefined {
    try {
      step();
    } catch (error) {
      if (error instanceof InvalidReply) return failed(prefix + error.message);
      throw error;
    }
    return this.judge();
  }

  private judge(): Verdict | undefined {
    const { status } = this.reply;
    if (status === undefined) return undefined;
    const { statuses, bodyContains } = this.config;
    const passes = statuses.length === 0 ? status >= 200 && status <= 399 : statuses.includes(status);
    if (!passes) return failed(`status ${status}`);
    if (bodyContains === undefined || this.reply.found) return passed(`status ${status}`);
    if (this.reply.searched) return failed(`body does not contain ${JSON.stringify(bodyContains)}`);
    return undefined;
  }
}

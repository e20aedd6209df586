/** What every command needs that asks a running Fairlead: where its admin address is, with which token, and how its refusals read. */
import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { parse } from "smol-toml";
import type { Address } from "../config/snapshot.ts";
import { formatAddress, parseAddress } from "../config/values.ts";
import { printable, printableJson, printableValue } from "../observability/controls.ts";
import { type ServerEvent, serverEvents } from "../view/event-stream.ts";

export interface AdminOptions {
  /** Names the admin address, unless `admin` does. */
  readonly config: string;
  /** `127.0.0.1:9901`, `http://127.0.0.1:9901` or `unix:/run/fairlead.sock`. */
  readonly admin?: string;
  /** Instead of FAIRLEAD_TOKEN, and of the configuration's. */
  readonly token?: string;
  /** Answers are printed as JSON: then they are told as they came, and printed by `json`. */
  readonly json?: boolean;
}

/** The admin address cannot be found or reached, or refuses: the message says why and what to do. */
export class AdminRefused extends Error {
  readonly code = "FAIRLEAD_ADMIN_REFUSED";
  /** Of the problem document; undefined: there was no answer. */
  readonly status: number | undefined;
  /** What is wrong, one by one, where the problem document says it so. */
  readonly errors: readonly object[];

  constructor(message: string, status?: number, errors: readonly object[] = []) {
    super(message);
    this.status = status;
    this.errors = errors;
  }
}

const FAILED = 1;

const DEFAULT_CONFIG = "fairlead.toml";
/** Where the demo and the examples have it. */
const DEFAULT_ADMIN = "127.0.0.1:9901";

/** `--config`, `--admin` and `--token`. */
export function withAdminOptions(command: Command): Command {
  return command
    .option("--config <file>", `the configuration that names the admin address; where there is none, that is ${DEFAULT_ADMIN}`, DEFAULT_CONFIG)
    .option("--admin <address>", "the admin address itself, as 127.0.0.1:9901 or unix:/run/fairlead.sock")
    .addOption(new Option("--token <token>", "what the admin address wants to be shown (default: the configuration's)").env("FAIRLEAD_TOKEN"));
}

/** Whoever read what we say has had enough, as `head` has. */
function endAtOutput({ code }: NodeJS.ErrnoException): void {
  process.exit(code === "EPIPE" ? 0 : FAILED);
}

/** Do that with the admin address; what it refuses is told on standard error, with exit code 1. */
export async function withAdmin(options: AdminOptions, action: (admin: AdminClient) => Promise<void>): Promise<void> {
  process.stdout.off("error", endAtOutput).on("error", endAtOutput);
  try {
    await action(AdminClient.find(options));
  } catch (error) {
    if (!(error instanceof AdminRefused)) throw error;
    process.stderr.write(`fairlead: ${error.message}\n`);
    process.exit(FAILED);
  }
}

export class AdminClient {
  /** As people write it. */
  readonly name: string;
  private readonly origin: string;
  private readonly path: string | undefined;
  private readonly token: string | undefined;
  private readonly asItCame: boolean;

  /** @param asItCame texts of answers may do something to a terminal */
  constructor(address: Address, token: string | undefined, asItCame = false) {
    this.asItCame = asItCame;
    this.name = formatAddress(address);
    this.path = address.kind === "unix" ? address.path : undefined;
    this.origin = address.kind === "unix" ? "http://localhost" : `http://${formatAddress({ ...address, host: reachable(address.host) })}`;
    this.token = token;
  }

  /** @throws AdminRefused */
  static find({ config, admin, token, json }: AdminOptions): AdminClient {
    if (admin !== undefined) return new AdminClient(addressOf(admin, "--admin"), token ?? adminOf(config)?.token, json);
    const named = adminOf(config);
    if (named === undefined && config === DEFAULT_CONFIG) return new AdminClient(addressOf(DEFAULT_ADMIN, "--admin"), token, json);
    if (named === undefined) throw new AdminRefused(`there is no ${config} to say where the admin address is: name another with --config, or the address with --admin ${DEFAULT_ADMIN}`);
    if (named.address === undefined) throw new AdminRefused(`${config} has no admin address: add [admin] with address = "127.0.0.1:9901" to it and reload, or name one with --admin`);
    return new AdminClient(addressOf(named.address, config), token ?? named.token, json);
  }

  /** The JSON that is answered. @param body sent as JSON, a text as it is @throws AdminRefused */
  async call<Answer>(method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE", path: string, body?: unknown): Promise<Answer> {
    const response = await this.fetch(path, { method, ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body), headers: { "Content-Type": typeof body === "string" ? "text/plain" : "application/json" } }) });
    return response.status === 204 ? (undefined as Answer) : this.told<Answer>(await response.text(), response.status);
  }

  /** What an answer says, in texts that a terminal only shows. @param text JSON @throws AdminRefused when it is none */
  told<Answer>(text: string, status?: number): Answer {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new AdminRefused(`${this.name} answers, but no Fairlead: is it the admin address?`, status);
    }
    return (this.asItCame ? value : printableValue(value)) as Answer;
  }

  /** The answer as it comes, for what is no JSON or does not end. @throws AdminRefused when its status is no success */
  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.token !== undefined) headers.set("Authorization", `Bearer ${headerText(this.token)}`);
    // A proxy that the environment names is for the web, and may not see a token.
    process.env["NO_PROXY"] = "*";
    let response: Response;
    try {
      response = await fetch(this.origin + path, { ...init, headers, redirect: "error", ...(this.path === undefined ? {} : { unix: this.path }) });
    } catch (error) {
      if (init.signal?.aborted === true) throw error;
      throw new AdminRefused(this.unreachable(error as NodeJS.ErrnoException));
    }
    if (!response.ok) {
      const text = await response.text();
      throw new AdminRefused(this.refusal(response.status, text), response.status, errorsOf(text));
    }
    return response;
  }

  /** Server-sent events. @throws AdminRefused also when they end */
  async *events(path: string, headers: Readonly<Record<string, string>> = {}): AsyncGenerator<ServerEvent, never> {
    const { body } = await this.fetch(path, { headers });
    try {
      yield* serverEvents(body!);
    } catch {
      throw new AdminRefused(`the connection to ${this.name} broke off`);
    }
    throw new AdminRefused(`${this.name} has ended the stream`);
  }

  private unreachable({ code, message }: NodeJS.ErrnoException): string {
    if (code === "ConnectionRefused" || code === "FailedToOpenSocket" || code === "ENOENT" || code === "ECONNREFUSED") {
      return `nothing answers at ${this.name}: is Fairlead running, with this admin address? (start it with fairlead run, or name another address with --admin)`;
    }
    return `${this.name} cannot be asked: ${message}`;
  }

  private refusal(status: number, text: string): string {
    const detail = detailOf(text);
    if (status === 401) return `${this.name} wants a token: ${this.token === undefined ? "give it with --token or FAIRLEAD_TOKEN" : "the one that was shown is not it"}`;
    if (detail === undefined) return `${this.name} answers ${status}, and no Fairlead: is it the admin address?`;
    return printable(detail);
  }
}

/** As JSON that a terminal only shows. */
export function json(value: unknown, indent?: number): string {
  return printableJson(JSON.stringify(value, undefined, indent));
}

/** @throws AdminRefused when it can be in no header field */
function headerText(token: string): string {
  if (/^[\x20-\x7E]*$/.test(token)) return token;
  throw new AdminRefused("the token has characters that no token has, as the end of a line");
}

/** Of a problem document (RFC 9457); undefined: it is none. */
function detailOf(text: string): string | undefined {
  try {
    const problem = JSON.parse(text) as { readonly title?: unknown; readonly detail?: unknown };
    if (typeof problem.detail === "string") return problem.detail;
    return typeof problem.title === "string" ? problem.title : undefined;
  } catch {
    return undefined;
  }
}

function errorsOf(text: string): object[] {
  try {
    const { errors } = JSON.parse(text) as { readonly errors?: unknown };
    return Array.isArray(errors) ? errors.filter((error): error is object => typeof error === "object" && error !== null).map((error) => printableValue(error) as object) : [];
  } catch {
    return [];
  }
}

function addressOf(text: string, where: string): Address {
  const address = parseAddress(text.replace(/^http:\/\/([^/]*)\/?$/, "$1"), false);
  if (address === undefined) throw new AdminRefused(`${where}: "${text}" is no address: write it as 127.0.0.1:9901 or unix:/run/fairlead.sock`);
  return address;
}

/** Where every address is listened on, this machine's own is one of them. */
function reachable(host: string): string {
  return host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
}

/** Nothing else of the configuration is looked at: its certificates, say, may not be ours to read. Undefined: there is no such file. */
function adminOf(file: string): { readonly address?: string; readonly token?: string } | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new AdminRefused(`${file} cannot be read: ${(error as Error).message}`);
  }
  let admin: unknown;
  try {
    ({ admin } = parse(text));
  } catch {
    throw new AdminRefused(`${file} is no TOML: fairlead check ${file} says what is wrong with it`);
  }
  const { address, token } = (typeof admin === "object" && admin !== null ? admin : {}) as Readonly<Record<string, unknown>>;
  return { ...(typeof address === "string" ? { address } : {}), ...(typeof token === "string" ? { token } : {}) };
}

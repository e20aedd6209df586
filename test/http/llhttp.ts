/** Node's own parser, llhttp, as an oracle: the WebAssembly build that undici ships, driven directly. */
import { createRequire } from "node:module";

export interface OracleMessage {
  readonly url: string;
  readonly names: readonly string[];
  readonly values: readonly string[];
  readonly body: string;
  readonly status: number;
}

interface Exports {
  readonly memory: WebAssembly.Memory;
  llhttp_alloc(type: number): number;
  llhttp_free(parser: number): void;
  malloc(size: number): number;
  free(pointer: number): void;
  llhttp_execute(parser: number, at: number, length: number): number;
}

export const REQUEST = 1;
export const RESPONSE = 2;

let wasm: Exports | undefined;
let message = { url: "", names: [] as string[], values: [] as string[], body: "", status: 0, lastWasValue: true };
let complete: OracleMessage[] = [];

function text(at: number, length: number): string {
  return Buffer.from(wasm!.memory.buffer, at, length).toString("latin1");
}

function load(): Exports {
  const bytes = createRequire(import.meta.url)("undici/lib/llhttp/llhttp-wasm.js") as Buffer<ArrayBuffer>;
  const fresh = (): typeof message => ({ url: "", names: [], values: [], body: "", status: 0, lastWasValue: true });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    env: {
      wasm_on_message_begin: () => {
        message = fresh();
        return 0;
      },
      wasm_on_url: (_p: number, at: number, length: number) => {
        message.url += text(at, length);
        return 0;
      },
      wasm_on_status: () => 0,
      wasm_on_header_field: (_p: number, at: number, length: number) => {
        if (message.lastWasValue) message.names.push(text(at, length));
        else message.names.push(message.names.pop()! + text(at, length));
        message.lastWasValue = false;
        return 0;
      },
      wasm_on_header_value: (_p: number, at: number, length: number) => {
        if (message.lastWasValue) message.values.push(message.values.pop()! + text(at, length));
        else message.values.push(text(at, length));
        message.lastWasValue = true;
        return 0;
      },
      wasm_on_headers_complete: (_p: number, status: number) => {
        message.status = status;
        return 0;
      },
      wasm_on_body: (_p: number, at: number, length: number) => {
        message.body += text(at, length);
        return 0;
      },
      wasm_on_message_complete: () => {
        complete.push(message);
        message = fresh();
        return 0;
      },
    },
  });
  return instance.exports as unknown as Exports;
}

/** The whole messages in `bytes`, and llhttp's error number (0: none). */
export function oracle(type: typeof REQUEST | typeof RESPONSE, bytes: Buffer): { readonly error: number; readonly messages: readonly OracleMessage[] } {
  wasm ??= load();
  complete = [];
  const parser = wasm.llhttp_alloc(type);
  const at = wasm.malloc(Math.max(1, bytes.length));
  new Uint8Array(wasm.memory.buffer).set(bytes, at);
  const error = wasm.llhttp_execute(parser, at, bytes.length);
  wasm.free(at);
  wasm.llhttp_free(parser);
  return { error, messages: complete };
}

/** What a target would be sent of a head: the data plane's own writing of it, compared with what came. */
import type { Forwarded } from "../../admin/explained.ts";
import { Name } from "../../http/fields.ts";
import { type FieldSink, replacedHost, type RequestForward, writeRequestFields } from "../../http/forward.ts";
import type { Head } from "../../http/h1/head.ts";
import type { RequestHead } from "../../http/h1/request-head.ts";

class Lines implements FieldSink {
  readonly all: string[] = [];

  fields(head: Head, from: number, to: number): void {
    for (let i = from; i < to; i++) this.all.push(lineOf(head, i));
  }

  text(lines: string): void {
    this.all.push(...lines.split("\r\n").filter((line) => line !== ""));
  }

  value(name: string, buffer: Buffer, start: number, end: number): void {
    this.all.push(name + buffer.latin1Slice(start, end));
  }

  once(name: string, value: string): void {
    this.all.push(name + value);
  }
}

function lineOf(head: Head, index: number): string {
  return `${head.name(index)}: ${head.value(index)}`;
}

/** @param made the request's ID is made for each request anew */
export function forwardedOf(head: RequestHead, forward: RequestForward, made: boolean): Forwarded {
  const sent = Array.from({ length: head.count }, (_, index) => lineOf(head, index));
  const sink = new Lines();
  const host = replacedHost(head, forward);
  writeRequestFields(sink, head, forward, host === undefined ? 0 : 1 << Name.HOST);
  if (host !== undefined) sink.all.unshift(`Host: ${host}`);
  return {
    request_line: `${head.method} ${head.target} HTTP/1.1`,
    host: host ?? head.host,
    added: without(sink.all, sent),
    removed: without(sent, sink.all),
    note: made ? "X-Request-ID is made anew for each request; here it is all zeros" : "",
  };
}

/** Lines of `from` that are not in `others`, each as often as there are more of it. */
function without(from: readonly string[], others: readonly string[]): string[] {
  const left = [...others];
  return from.filter((line) => {
    const at = left.indexOf(line);
    if (at < 0) return true;
    left.splice(at, 1);
    return false;
  });
}

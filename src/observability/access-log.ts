/** One line an exchange, buffered: written when 16 KiB are gathered or at the next tick, whichever is first. */
import { writeSync } from "node:fs";
import type { Cause } from "./cause.ts";

const FLUSH_AT = 16 * 1024;

export interface AccessRecord {
  readonly client: string;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly status: number;
  readonly upstream: string;
  readonly target: string;
  /** Targets tried. */
  readonly attempts: number;
  /** Head in to last byte out, in ms. */
  readonly milliseconds: number;
  /** Of them, waiting for a place at a target. */
  readonly queued: number;
  readonly cause: Cause;
  readonly requestId: string;
  /** udp: how many datagrams, and bytes in them, came from the client and went to it. */
  readonly datagrams?: { readonly in: number; readonly out: number; readonly bytesIn: number; readonly bytesOut: number };
}

export class AccessLog {
  private readonly json: boolean;
  private readonly wall: () => number;
  private text = "";

  constructor(json: boolean, wall: () => number) {
    this.json = json;
    this.wall = wall;
  }

  write(record: AccessRecord): void {
    const time = new Date(this.wall()).toISOString();
    const milliseconds = Math.round(record.milliseconds * 1000) / 1000;
    const queued = Math.round(record.queued * 1000) / 1000;
    if (this.json) {
      this.text += `${JSON.stringify({ level: "info", time, msg: "access", ...record, milliseconds, queued })}\n`;
    } else {
      const { client, method, host, path, status, upstream, target, attempts, cause, datagrams } = record;
      this.text += `${time.slice(11, 23)} ACCESS ${client} ${plain(method)} ${plain(host)}${plain(path)} ${status} ${milliseconds}ms -> ${target || "-"} upstream=${upstream || "-"}${attempts > 1 ? ` attempts=${attempts}` : ""}${queued > 0 ? ` queued=${queued}ms` : ""}${datagrams === undefined ? "" : ` in=${datagrams.in}/${datagrams.bytesIn}B out=${datagrams.out}/${datagrams.bytesOut}B`}${cause === "done" ? "" : ` cause=${cause}`}\n`;
    }
    if (this.text.length >= FLUSH_AT) this.flush();
  }

  flush(): void {
    if (this.text === "") return;
    const { text } = this;
    this.text = "";
    try {
      writeSync(2, text);
    } catch {
      // A full pipe loses lines; it never stops traffic.
    }
  }
}

/** Whatever a client sends stays one field of one line. */
function plain(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

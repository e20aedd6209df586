/** One line an exchange, buffered: written when 16 KiB are gathered or at the next tick, whichever is first. */
import { writeSync } from "node:fs";
import type { Account, Witness } from "./account.ts";

const FLUSH_AT = 16 * 1024;

export class AccessLog implements Witness {
  private readonly json: boolean;
  private readonly wall: () => number;
  private text = "";

  constructor(json: boolean, wall: () => number) {
    this.json = json;
    this.wall = wall;
  }

  wants(): boolean {
    return true;
  }

  tell({ protocol, client, host, path, status, upstream, target, attempts, cause, requestId, datagrams: count, bytesIn, bytesOut, ...account }: Account): void {
    const time = new Date(this.wall()).toISOString();
    const milliseconds = Math.round(account.milliseconds * 1000) / 1000;
    const queued = Math.round(account.queued * 1000) / 1000;
    const method = protocol === "tcp" || protocol === "udp" ? protocol.toUpperCase() : account.method;
    const datagrams = count === undefined ? undefined : { ...count, bytesIn, bytesOut };
    if (this.json) {
      this.text += `${JSON.stringify({ level: "info", time, msg: "access", client, method, host, path, status, upstream, target, attempts, milliseconds, queued, cause, requestId, datagrams })}\n`;
    } else {
      this.text += `${time.slice(11, 23)} ACCESS ${client} ${plain(method)} ${plain(host)}${plain(path)} ${status} ${milliseconds}ms -> ${target || "-"} upstream=${upstream || "-"}${attempts > 1 ? ` attempts=${attempts}` : ""}${queued > 0 ? ` queued=${queued}ms` : ""}${datagrams === undefined ? "" : ` in=${datagrams.in}/${bytesIn}B out=${datagrams.out}/${bytesOut}B`}${cause === "done" ? "" : ` cause=${cause}`}\n`;
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

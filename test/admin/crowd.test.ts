/** Who stays at the admin address when descriptors run low. */
import { expect, test } from "bun:test";
import { Crowd } from "../../src/admin/crowd.ts";
import { filesLeft } from "../../src/net/open-files.ts";
import { silentLog } from "../../src/observability/log.ts";
import { until } from "../support/until.ts";

test("the last 256 calls and the streams stay, and who has another peer; all else is ended, and nobody while there are enough", async () => {
  const accepted: number[] = [];
  const gone: number[] = [];
  const server = Bun.listen<number>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = socket.remotePort;
        accepted.push(socket.data);
      },
      data() {},
      close: ({ data }) => void gone.push(data),
    },
  });
  const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {}, close: () => void gone.push(0) } });
  const clients = [];
  for (let i = 0; i < 300; i++) clients.push(await Bun.connect({ hostname: "127.0.0.1", port: server.port, socket: { data() {} } }));
  clients.push(await Bun.connect({ hostname: "127.0.0.1", port: other.port, socket: { data() {} } }));
  await until("all", () => accepted.length === 300);
  const crowds: Crowd[] = [];
  const crowd = (limit: number): Crowd => {
    const made = new Crowd(server.port, limit, silentLog());
    crowds.push(made);
    return made;
  };
  try {
    crowd(1_000_000_000);
    await Bun.sleep(150);
    expect(gone).toEqual([]);
    const last = 1_000_000 - filesLeft(1_000_000);
    const tight = crowd(last);
    // 20 say nothing; the first call is a stream by now, and one is over.
    for (const port of accepted.slice(20)) tight.begins(port);
    const stream = new AbortController();
    tight.ends(accepted[20]!, stream.signal);
    tight.ends(accepted[299]!, undefined);
    await until("their end", () => gone.length >= 43);
    await Bun.sleep(150);
    expect(gone.toSorted((a, b) => a - b)).toEqual([...accepted.slice(0, 20), ...accepted.slice(21, 43), accepted[299]!].toSorted((a, b) => a - b));
    stream.abort();
  } finally {
    for (const each of crowds) each.stop();
    for (const client of clients) client.terminate();
    server.stop(true);
    other.stop(true);
  }
});

/** Server-sent events, however they are cut. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type ServerEvent, serverEvents } from "../../src/view/event-stream.ts";

const TEXT = ': hello\nretry: 2000\n\nevent: overview\nid: 7\ndata: {"a":\ndata: "ü"}\n\r\nevent:x\r\ndata:y\r\n\r\n\ndata: rest without an end';

async function read(pieces: readonly Uint8Array[]): Promise<ServerEvent[]> {
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
  return Array.fromAsync(serverEvents(stream));
}

test("are read the same wherever the bytes are cut", async () => {
  const bytes = new TextEncoder().encode(TEXT);
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.nat(bytes.length), { maxLength: 12 }), async (cuts) => {
      const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const events = await read(places.slice(1).map((end, index) => bytes.subarray(places[index], end)));
      expect(events).toEqual([
        { type: "overview", data: '{"a":\n"ü"}', id: "7" },
        { type: "x", data: "y", id: undefined },
      ]);
    }),
    { numRuns: 200 },
  );
});

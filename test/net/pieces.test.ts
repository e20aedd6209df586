import { expect, test } from "bun:test";
import fc from "fast-check";
import { keepPiece } from "../../src/net/pieces.ts";

test("pieces are all bytes in their order, and few where they are small; those that were seen stay as they are", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.uint8Array({ maxLength: 700 }), fc.boolean()), { maxLength: 60 }), (parts) => {
      const pieces: Buffer[] = [];
      let from = 0;
      const seen: Buffer[] = [];
      for (const [part, look] of parts) {
        const around = Buffer.concat([Buffer.from("<"), part, Buffer.from(">")]);
        keepPiece(pieces, from, around, 1, 1 + part.length);
        if (!look) continue;
        from = pieces.length;
        seen.splice(0, seen.length, ...pieces);
      }
      expect(Buffer.concat(pieces).equals(Buffer.concat(parts.map(([part]) => part)))).toBe(true);
      expect(seen.every((piece, i) => piece === pieces[i])).toBe(true);
    }),
  );
});

test("what comes byte by byte is not kept byte by byte", () => {
  const pieces: Buffer[] = [];
  for (let i = 0; i < 64 * 1024; i++) keepPiece(pieces, 0, Buffer.from([i]), 0, 1);
  expect(pieces.length).toBe(128);
});

/** ClientHello messages byte by byte, as the specification has them. */

function vector(size: 1 | 2 | 3, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const length = Buffer.alloc(size);
  length.writeUIntBE(body.length, 0, size);
  return Buffer.concat([length, body]);
}

export function extension(type: number, ...body: readonly Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from([type >> 8, type & 255]), vector(2, ...body)]);
}

export function sni(...names: readonly string[]): Buffer {
  return extension(0, vector(2, ...names.map((name) => Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name, "latin1"))]))));
}

export function alpn(...protocols: readonly string[]): Buffer {
  return extension(16, vector(2, ...protocols.map((name) => vector(1, Buffer.from(name, "latin1")))));
}

/** The message without its records. @param extensions undefined: the vector is left out altogether */
export function helloMessage(extensions: readonly Uint8Array[] | undefined, ...behind: readonly Uint8Array[]): Buffer {
  const fixed = [Buffer.from([3, 3]), Buffer.alloc(32, 7), vector(1, Buffer.alloc(32)), vector(2, Buffer.from([0x13, 0x01, 0x13, 0x02])), vector(1, Buffer.from([0]))];
  const body = [...fixed, ...(extensions === undefined ? [] : [vector(2, ...extensions)]), ...behind];
  return Buffer.concat([Buffer.from([1]), vector(3, ...body)]);
}

/** In records of at most `size` bytes. */
export function records(message: Buffer, size = 16_384): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) parts.push(Buffer.from([22, 3, 1]), vector(2, message.subarray(at, at + size)));
  return Buffer.concat(parts);
}

export function clientHello(...extensions: readonly Uint8Array[]): Buffer {
  return records(helloMessage(extensions));
}

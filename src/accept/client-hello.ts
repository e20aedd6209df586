/**
 * Reads a TLS ClientHello as it stands on the wire (RFC 8446 sections 4.1.2 and 5.1, RFC 5246 section 7.4.1.2): the name that a client asks for
 * and the protocols that it offers. Pure: bytes in, a hello out. It is for routing; whether the rest of it is right is for whom it is meant.
 *
 * A client with Encrypted ClientHello (RFC 9849) shows the name of the server that can decrypt it, or, when the extension is only there
 * so that servers get used to it (GREASE), its true name. The two look the same, so the name that is shown is what counts.
 */
import type { ArrivalHello } from "./arrival.ts";

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const ALPN = 16;
const RECORD_HEADER = 5;
const MAX_RECORD = 2 ** 14;
/** A name that may stand in a route. */
const HOST = /^[a-z0-9_]([a-z0-9._-]{0,253}[a-z0-9_.])?$/;

/** The hello, or why it is none; `more`: it is not all there yet. */
export type ReadClientHello = ArrivalHello | { readonly problem: string } | "more";

/** @param limit bytes, with the headers of its records */
export function readClientHello(bytes: Buffer, limit: number): ReadClientHello {
  const fragments: Buffer[] = [];
  let have = 0;
  let wanted = 4;
  for (let at = 0; have < wanted; ) {
    const left = bytes.length - at;
    // What is no TLS is known by its first bytes.
    if (left > 0 && bytes[at] !== HANDSHAKE) return { problem: at === 0 ? "not TLS" : "another record within the ClientHello" };
    if (left > 1 && bytes[at + 1] !== 3) return { problem: "not TLS" };
    if (left < RECORD_HEADER) return waitFor(at + RECORD_HEADER + wanted - have, limit);
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > MAX_RECORD) return { problem: `a record of ${length} bytes` };
    at += RECORD_HEADER;
    const fragment = bytes.subarray(at, Math.min(at + length, bytes.length));
    fragments.push(fragment);
    have += fragment.length;
    at += length;
    if (have >= 4 && wanted === 4) {
      const head = Buffer.concat(fragments);
      if (head[0] !== CLIENT_HELLO) return { problem: "not a ClientHello" };
      wanted = 4 + head.readUIntBE(1, 3);
    }
    // At least so much is still to come, whatever records it comes in.
    if (have < wanted && at >= bytes.length) return waitFor(bytes.length + wanted - have, limit);
  }
  if (fragments.length * RECORD_HEADER + wanted > limit) return tooLong(limit);
  const message = fragments.length === 1 ? fragments[0]! : Buffer.concat(fragments);
  try {
    return parse(new Reader(message.subarray(4, wanted)));
  } catch (error) {
    if (error instanceof Malformed) return { problem: error.message };
    throw error;
  }
}

function waitFor(total: number, limit: number): ReadClientHello {
  return total > limit ? tooLong(limit) : "more";
}

function tooLong(limit: number): { readonly problem: string } {
  return { problem: `a ClientHello of more than ${limit} bytes` };
}

class Malformed extends Error {}

/** Takes vectors off the front; each says its length first. */
class Reader {
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get isEmpty(): boolean {
    return this.at === this.bytes.length;
  }

  number(size: 1 | 2): number {
    return this.take(size).readUIntBE(0, size);
  }

  take(length: number): Buffer {
    const end = this.at + length;
    if (end > this.bytes.length) throw new Malformed("malformed ClientHello");
    const taken = this.bytes.subarray(this.at, end);
    this.at = end;
    return taken;
  }

  vector(size: 1 | 2): Reader {
    return new Reader(this.take(this.number(size)));
  }

  /** All that is left. */
  get text(): string {
    return this.bytes.toString("latin1", this.at);
  }
}

function parse(hello: Reader): ArrivalHello {
  // legacy_version, random, legacy_session_id, cipher_suites, legacy_compression_methods
  hello.take(2 + 32);
  hello.vector(1);
  hello.vector(2);
  hello.vector(1);
  let serverName = "";
  let alpn: string[] = [];
  // TLS 1.2 allows a hello without extensions.
  const extensions = hello.isEmpty ? undefined : hello.vector(2);
  if (!hello.isEmpty) throw new Malformed("malformed ClientHello");
  const seen = new Set<number>();
  while (extensions?.isEmpty === false) {
    const type = extensions.number(2);
    const body = extensions.vector(2);
    // Two of a kind would let us read one and the target the other.
    if (seen.has(type)) throw new Malformed("an extension stands twice in the ClientHello");
    seen.add(type);
    if (type === SERVER_NAME) serverName = nameIn(body);
    else if (type === ALPN) alpn = protocolsIn(body);
  }
  return { serverName, alpn };
}

/** RFC 6066 section 3: at most one name of each type, and there is one type. */
function nameIn(extension: Reader): string {
  const list = extension.vector(2);
  let name = "";
  let names = 0;
  while (!list.isEmpty) {
    const type = list.number(1);
    const { text } = list.vector(2);
    if (type !== 0) continue;
    if (++names > 1) throw new Malformed("more than one name in the ClientHello");
    name = text.toLowerCase();
  }
  if (!extension.isEmpty) throw new Malformed("malformed ClientHello");
  // An address is no name, though some ask for one; nor is what no route could have.
  return HOST.test(name) ? name : "";
}

function protocolsIn(extension: Reader): string[] {
  const list = extension.vector(2);
  const protocols: string[] = [];
  while (!list.isEmpty) protocols.push(list.vector(1).text);
  return protocols;
}

/**
 * Listening while a tls-alpn-01 challenge is pending (RFC 8737): whose handshake offers `acme-tls/1` gets the challenge's certificate, everybody else the
 * usual one. Bun chooses a certificate by the name alone, so the ClientHello is looked at where it lies, in the system's buffer, before TLS reads it.
 *
 * A connection costs a few system calls and a pause more than usual, for the seconds that a validation takes.
 */
import { serverHandlers, serverOptions } from "./bun-tls.ts";
import { libc } from "./libc.ts";
import type { SocketOwner } from "./network.ts";
import type { ChallengeServer, TlsServer } from "./tls.ts";

/** Between two looks at a connection on which the ClientHello is not all there yet, in ms: doubles from the first to the last. */
const FIRST_PAUSE = 1;
const LAST_PAUSE = 64;
/** After this TLS goes on with what there is, and has a deadline of its own. In ms. */
const PATIENCE = 2_000;
/** How long the one who validates may take for its handshake, in ms. */
const HANDSHAKE_TIMEOUT = 10_000;

const MSG_PEEK = 2;
const MSG_DONTWAIT = process.platform === "darwin" ? 0x80 : 0x40;
/** A ClientHello has 200 to 2,000 bytes; this is one TLS record at its longest. */
const looked = new Uint8Array(5 + 16 * 1024);
const RECORD_HEADER = 5;
const HANDSHAKE_RECORD = 22;
/** The ALPN extension (RFC 7301) with `acme-tls/1` and nothing else, as RFC 8737 section 3 wants it: type, length, length of the list, length of the name, name. */
const ACME_ALPN = Buffer.from("\x00\x10\x00\x0d\x00\x0b\x0aacme-tls/1", "latin1");

type BunSocket = Bun.Socket<SocketOwner>;
type Handlers = Bun.SocketHandler<SocketOwner>;

/** What Bun's types leave out. */
interface Upgradable {
  readonly fd: number;
  upgradeTLS(options: object): [raw: unknown, tls: BunSocket];
}

type Look = "acme" | "other" | "more" | "end";

function look(descriptor: number): Look {
  const length = Number(libc().recv(descriptor, looked, looked.length, MSG_PEEK | MSG_DONTWAIT));
  if (length === 0) return "end";
  if (length < 0) return "more";
  if (looked[0] !== HANDSHAKE_RECORD) return "other";
  const bytes = Buffer.from(looked.buffer, 0, length);
  if (bytes.includes(ACME_ALPN)) return "acme";
  return length < RECORD_HEADER || length < RECORD_HEADER + bytes.readUInt16BE(3) ? "more" : "other";
}

/**
 * For `socket` of Bun.listen, without `tls`.
 * @param handlers what a connection has that is not the CA's, TLS apart
 * @param waiting hears of connections that come and go without anybody else knowing of them
 */
export function peekingHandlers(handlers: Handlers, server: TlsServer, challenge: ChallengeServer, waiting: (change: 1 | -1) => void): Handlers {
  const usual = { socket: { ...handlers, ...serverHandlers(server) }, tls: serverOptions(server) };
  const answer = { socket: challengeHandlers(challenge, (socket) => leave(socket)), tls: serverOptions({ ...challenge, choose: () => undefined, alpn: ["acme-tls/1"], clientCertificate: "none" }) };
  /** Those whose ClientHello is awaited, and those that validate. */
  const peeked = new Set<object>();
  const leave = (socket: object): void => {
    if (peeked.delete(socket)) waiting(-1);
  };
  const goOn = (socket: BunSocket, waited: number, pause: number): void => {
    // It has ended meanwhile.
    if (!peeked.has(socket)) return;
    const raw = socket as unknown as Upgradable;
    const seen = look(raw.fd);
    if (seen === "more" && waited < PATIENCE) {
      setTimeout(() => goOn(socket, waited + pause, Math.min(LAST_PAUSE, pause * 2)), pause);
      return;
    }
    if (seen === "end") {
      socket.end();
      return;
    }
    // Whoever validates has no owner that is counted elsewhere.
    if (seen !== "acme") leave(socket);
    const [, tls] = raw.upgradeTLS({ isServer: true, ...(seen === "acme" ? { ...answer, data: socket } : usual) });
    tls.resume();
  };
  return {
    binaryType: "buffer",
    open(socket) {
      socket.pause();
      peeked.add(socket);
      waiting(1);
      goOn(socket, 0, FIRST_PAUSE);
    },
    // What TLS has read of it, once more.
    data() {},
    close(socket) {
      leave(socket);
    },
    error(socket) {
      socket.terminate();
    },
  };
}

/** It shows its certificate, and nothing is said: RFC 8737 section 3. @param gone is given the socket's data */
function challengeHandlers(challenge: ChallengeServer, gone: (data: object) => void): object {
  return {
    serverName: (_listener: unknown, name: string) => challenge.choose(name),
    open(socket: BunSocket) {
      const late = setTimeout(() => socket.terminate(), HANDSHAKE_TIMEOUT);
      late.unref();
    },
    handshake: (socket: BunSocket) => socket.end(),
    data() {},
    close: ({ data }: { readonly data: object }) => gone(data),
    error(socket: BunSocket) {
      socket.terminate();
    },
  };
}

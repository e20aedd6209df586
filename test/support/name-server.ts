/** A name server on loopback (RFC 1035): every name leads to 127.0.0.1, as soon as it is allowed to say so. */

/** In a header: an answer, and recursion is offered. */
const ANSWER = 0x8180;
const HEADER = 12;
const A = 1;

export class NameServer {
  address = "";
  private held: (() => void)[] | undefined = undefined;
  private socket: Bun.udp.Socket<"buffer"> | undefined = undefined;

  static async start(): Promise<NameServer> {
    const server = new NameServer();
    server.socket = await Bun.udpSocket({
      hostname: "127.0.0.1",
      socket: {
        data(socket, question, port, address) {
          const say = (): void => {
            try {
              socket.send(answer(question), port, address);
            } catch {
              // Whoever asked has given up and asked again: the system tells us here that its first port is closed.
            }
          };
          if (server.held === undefined) say();
          else server.held.push(say);
        },
        error() {
          // The same, told while it reads.
        },
      },
    });
    server.address = `127.0.0.1:${server.socket.port}`;
    return server;
  }

  /** Say nothing for now: who asks waits. */
  hold(): void {
    this.held ??= [];
  }

  release(): void {
    const held = this.held ?? [];
    this.held = undefined;
    for (const say of held) say();
  }

  stop(): void {
    this.socket?.close();
  }
}

/** To one question: 127.0.0.1 when it is for an IPv4 address, else that there is nothing. */
function answer(message: Buffer): Buffer {
  let end = HEADER;
  while (message[end] !== 0) end += message[end]! + 1;
  end += 5;
  const isAddress = message.readUInt16BE(end - 4) === A;
  const header = Buffer.alloc(HEADER);
  message.copy(header, 0, 0, 2);
  header.writeUInt16BE(ANSWER, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(isAddress ? 1 : 0, 6);
  // The name again by a pointer, A, IN, no time to live, four bytes.
  const record = Buffer.from([0xc0, HEADER, 0, A, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
  return Buffer.concat([header, message.subarray(HEADER, end), ...(isAddress ? [record] : [])]);
}

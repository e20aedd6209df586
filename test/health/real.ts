/** Checks as they run in the supervisor, over real sockets. */
import { createServer, type Server, type Socket } from "node:net";
import type { HealthCheckConfig, TargetConfig } from "../../src/config/snapshot.ts";
import type { PreparedCheck, Verdict } from "../../src/health/check.ts";
import { HangingConnects } from "../../src/health/hanging.ts";
import { kindOf } from "../../src/health/kinds.ts";
import { bunNetwork } from "../../src/net/bun.ts";
import { CHECK, target } from "./support.ts";

export const network = bunNetwork();

/** Servers of one test file, and what closes them. */
export function servers() {
  const cleanups: (() => void)[] = [];
  return {
    cleanups,
    cleanUp(): void {
      for (const cleanup of cleanups.splice(0)) cleanup();
    },
    /** A server that does this with each connection; its port. */
    async serve(behave: (socket: Socket) => void): Promise<number> {
      const sockets = new Set<Socket>();
      const server: Server = createServer((socket) => {
        sockets.add(socket);
        socket.on("error", () => {});
        behave(socket);
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      cleanups.push(() => {
        for (const socket of sockets) socket.destroy();
        server.close();
      });
      return (server.address() as { port: number }).port;
    },
  };
}

export function prepare(port: number, config: Partial<HealthCheckConfig> = {}, more: Partial<TargetConfig> = {}): PreparedCheck {
  const subject = target(0, port, more);
  const full = { ...CHECK, ...config };
  return kindOf(subject, full).prepare(subject, full);
}

export function run(prepared: PreparedCheck): Promise<Verdict> {
  return new Promise((resolve) => prepared.run({ network, hanging: new HangingConnects() }, resolve));
}

export function check(port: number, config: Partial<HealthCheckConfig> = {}, more: Partial<TargetConfig> = {}): Promise<Verdict> {
  return run(prepare(port, config, more));
}

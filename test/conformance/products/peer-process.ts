/** A peer's process with a directory of its own, in the foreground; it ends with us. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../support/until.ts";
import type { Lane, Running } from "./product.ts";

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGTERM");
});

/** First line of what a command prints; undefined when it does not run. */
export function firstLine(command: readonly string[]): string | undefined {
  try {
    const { stdout, stderr } = Bun.spawnSync([...command]);
    return (stdout.toString() || stderr.toString()).split("\n", 1)[0];
  } catch {
    return undefined;
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

/** @param config is given the process's directory @param command is given the configuration's path */
export async function startPeer(lanes: readonly Lane[], config: (directory: string) => string, command: (file: string) => readonly string[]): Promise<Running> {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-peer-"));
  const file = join(directory, "peer.conf");
  writeFileSync(file, config(directory));
  const [program, ...args] = command(file);
  const child = spawn(program!, args, { cwd: directory, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (said = `${said}${text}`.slice(-4_000)));
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGTERM");
      await new Promise((resolve) => child.once("exit", resolve));
    }
    running.delete(child);
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await until(`${program} to take connections`, async () => {
      if (child.exitCode !== null) throw new Error(`${program} ended: ${said}`);
      return (await Promise.all(lanes.map(({ port }) => accepts(port)))).every(Boolean);
    }, 15_000);
  } catch (error) {
    await stop();
    throw error;
  }
  return { stop };
}

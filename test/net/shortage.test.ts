/** What a connect is told where this process has no descriptor left: a target is not taken out of service for that. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { freePort } from "../support/ports.ts";

const ROOT = join(import.meta.dir, "../..");

test("a connect that fails for want of a descriptor is not called a refusal", async () => {
  const [listening, closed] = [await freePort(), await freePort()];
  const script = `
const { closeSync, openSync } = await import("node:fs");
const { bunNetwork } = await import(${JSON.stringify(join(ROOT, "src/net/bun.ts"))});
const network = bunNetwork();
Bun.listen({ hostname: "127.0.0.1", port: ${listening}, socket: { data() {} } });
const connect = (port) => new Promise((resolve) => {
  network.connect({ kind: "tcp", host: "127.0.0.1", port }, { onOpen: (socket) => { socket.terminate(); resolve("open"); }, onConnectError: resolve, onClose() {}, onData() {}, onEnd() {}, onDrain() {} });
});
const said = [await connect(${listening}), await connect(${closed})];
const held = [];
try {
  for (;;) held.push(openSync("/dev/null", "r"));
} catch {}
said.push(await connect(${listening}), await connect(${closed}));
for (const file of held) closeSync(file);
said.push(await connect(${listening}), await connect(${closed}));
console.log(JSON.stringify(said));
process.exit(0);`;
  const child = Bun.spawn(["/bin/sh", "-c", 'ulimit -n 128; exec "$0" -e "$1"', process.execPath, script], { cwd: ROOT, stdout: "pipe", stderr: "inherit" });
  expect(JSON.parse(await new Response(child.stdout).text())).toEqual(["open", "ECONNREFUSED", "EMFILE", "EMFILE", "open", "ECONNREFUSED"]);
});

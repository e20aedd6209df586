/**
 * The spells API as a program: `PORT=9001 node examples/spells/server.mjs` (or `bun …`).
 *
 * PORT is where it listens (default 9001), HOST the address (default 127.0.0.1), INSTANCE its name in replies.
 */
import { createSpells } from "./spells.mjs";

const host = process.env.HOST ?? "127.0.0.1";
const port = Number(process.env.PORT ?? 9001);
const instance = process.env.INSTANCE ?? `spells-${port}`;

const server = createSpells(instance);
server.on("error", (error) => {
  console.error(`${instance}: cannot listen on ${host}:${port}: ${error.message}`);
  process.exit(1);
});
server.listen(port, host, () => console.log(`${instance}: http://${host}:${server.address().port}/api/spells`));

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
    // Connections that a balancer keeps open would hold it up.
    setTimeout(() => process.exit(0), 1000).unref();
  });
}

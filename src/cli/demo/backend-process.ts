/** What `fairlead __spells PORT NAME` runs: one back end of the demo, the spells API of examples/, in a process of its own. */
import { createSpells } from "../../../examples/spells/spells.mjs";

/** Said on standard output when it accepts. */
export const READY = "ready";
/** Exit code when the port is not to be had. */
export const PORT_TAKEN = 98;

/** Serves until it is told to stop, or until the demo is gone: its end of standard input closes then, whatever it died of. */
export function runBackend(port: number, name: string): void {
  const server = createSpells(name);
  server.on("error", (error) => {
    console.error(`${name}: ${error.message}`);
    process.exit((error as NodeJS.ErrnoException).code === "EADDRINUSE" ? PORT_TAKEN : 1);
  });
  server.listen(port, "127.0.0.1", () => console.log(READY));
  process.stdin.on("end", () => process.exit(0));
  process.stdin.on("error", () => process.exit(0));
  process.stdin.resume();
  // Ctrl-C reaches the whole terminal's group; the demo decides when its back ends stop.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => process.exit(0));
}

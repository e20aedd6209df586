/** Where what is made once is kept. */
import { homedir } from "node:os";
import { join } from "node:path";

/** Where what outlives restarts and machine starts is kept for this user: the service manager's place, else that of the XDG base directories. */
export function stateDirectory(environment: Readonly<Record<string, string | undefined>>, uid: number): string {
  // systemd's StateDirectory= may name several.
  const given = environment["STATE_DIRECTORY"]?.split(":", 1)[0];
  if (given !== undefined && given !== "") return given;
  const xdg = environment["XDG_STATE_HOME"];
  if (xdg !== undefined && xdg.startsWith("/")) return join(xdg, "fairlead");
  return uid === 0 ? "/var/lib/fairlead" : join(environment["HOME"] ?? homedir(), ".local/state/fairlead");
}

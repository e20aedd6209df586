/** Does the system let us open as many files as the configuration may need? Each connection is one, on either side. */
import type { Snapshot } from "../config/snapshot.ts";
import { openFilesLimit, OTHER_FILES } from "../net/open-files.ts";
import { StartError } from "./errors.ts";

/** The default of max_clients is a bound, not a wish: who did not set it is warned only below this many clients. */
const DEFAULT_CONNECTIONS = 50_000;
const FEW_CLIENTS = 4_096;

/** @returns a warning, if there is reason for one @throws StartError when nothing would work */
export function checkOpenFiles({ maxClients, workers }: Snapshot, limit = openFilesLimit()): string | undefined {
  if (limit === undefined) return undefined;
  if (limit < OTHER_FILES) throw new StartError(`a process may open ${limit} files only, and ${OTHER_FILES} is the least that Fairlead needs; raise the limit (ulimit -n)`);
  const needed = Math.ceil((2 * maxClients) / workers) + OTHER_FILES;
  const clients = Math.floor(((limit - OTHER_FILES) * workers) / 2);
  if (limit >= needed || (maxClients === DEFAULT_CONNECTIONS && clients >= FEW_CLIENTS)) return undefined;
  return `max_clients = ${maxClients} needs about ${needed} open files in each of ${workers} workers, and the limit is ${limit}: clients beyond about ${clients} will be refused; raise the limit (ulimit -n) or lower max_clients`;
}

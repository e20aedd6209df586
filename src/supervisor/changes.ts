/** What one configuration changes of another one that runs, and how much is open to that now. */
import { type DiffReport, diffReport } from "../admin/config.ts";
import { diffConfigs, inShort, inWords, isUnchanged } from "../config/diff.ts";
import { effective } from "../config/effective.ts";
import type { Loaded } from "../config/load.ts";
import type { Overrides as Laid } from "../config/overrides.ts";
import { routeLabel } from "../routing/router.ts";
import { OPEN_EXCHANGES, type Scoreboard } from "../scoreboard/scoreboard.ts";

type Applicable = Loaded & { readonly ok: true };

export interface Changes {
  readonly summary: string;
  readonly words: readonly string[];
  readonly report: DiffReport;
}

/** @param inPlace workers go on as they are */
export function changesBetween(running: Applicable, said: Laid, candidate: Applicable, laid: Laid, board: Scoreboard, inPlace: boolean): Changes {
  const diff = diffConfigs(effective(running.value, said), effective(candidate.value, laid));
  const summary = inShort(diff);
  const words = inWords(diff);
  const { listeners, routes, upstreams } = running.snapshot;
  const slotOf = (upstream: string): number | undefined => upstreams.find(({ name }) => name === upstream)?.slot;
  const openOf = (upstream: string | undefined): number => {
    const slot = upstream === undefined ? undefined : slotOf(upstream);
    return slot === undefined ? 0 : Math.max(0, board.upstreams.held(slot, OPEN_EXCHANGES));
  };
  const targets = new Map(upstreams.map(({ name, targets: all }) => [name, new Map(all.map((target) => [target.name, target.slot]))]));
  const report = diffReport(
    diff,
    { changed: !isUnchanged(diff), summary, words, applies: inPlace ? "in_place" : "new_workers" },
    {
      listener: (name) => {
        const slot = listeners.find((listener) => listener.name === name)?.slot;
        return slot === undefined ? {} : { open_clients: Math.max(0, board.clientsOf(slot)) };
      },
      route: (label) => ({ open_requests: openOf(routes.find((route) => routeLabel(route) === label)?.upstream) }),
      upstream: (name) => ({ open_requests: openOf(name) }),
      target: (upstream, address) => {
        const slot = targets.get(upstream)?.get(address);
        return slot === undefined ? {} : { open_requests: board.openRequests(slot), open_connections: board.openConnections(slot) };
      },
    },
  );
  return { summary, words, report };
}

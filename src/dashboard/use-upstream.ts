/** An upstream with all its targets: of the stream where that has them all, else asked for. */
import type { Overview, UpstreamView } from "../view/shapes.ts";
import { upstreamPath } from "./api.ts";
import { useFetched } from "./use-fetched.ts";

const REFRESH = 2_000;

export function useUpstream({ upstreams }: Overview, name: string): UpstreamView | undefined {
  const known = upstreams.find((upstream) => upstream.name === name);
  const complete = known === undefined || known.targets.length >= known.target_count;
  const { data } = useFetched<UpstreamView>(complete ? undefined : upstreamPath(name), REFRESH);
  return complete || data === undefined ? known : { ...known, targets: data.targets };
}

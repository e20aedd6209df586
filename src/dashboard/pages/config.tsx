/** Which configuration runs, what was rejected, what the file would change; certificates and workers. */
import { moment } from "../../view/format.ts";
import type { ConfigView, Overview } from "../../view/shapes.ts";
import { Certificates } from "../parts/certificates.tsx";
import { ConfigCandidate } from "../parts/config-candidate.tsx";
import { ConfigErrors } from "../parts/config-errors.tsx";
import { ConfigFile } from "../parts/config-file.tsx";
import { Failure } from "../parts/failure.tsx";
import { Badge } from "../parts/mark.tsx";
import { Workers } from "../parts/workers.tsx";
import { useFetched } from "../use-fetched.ts";

const REFRESH = 2_000;

export function ConfigPage({ overview: { instance, listeners } }: { readonly overview: Overview }) {
  const { data, error, again } = useFetched<ConfigView>("/v1/config", REFRESH);
  const differs = data?.file?.changed === true;
  const [level, word] = instance.config.rejected !== null ? (["bad", "last one rejected"] as const) : differs ? (["warn", "file differs"] as const) : (["ok", "applied"] as const);
  return (
    <>
      <h1>
        Configuration <Badge level={level} word={word} />
      </h1>
      <Failure error={error} />
      {data !== undefined && (
        <>
          <dl class="facts">
            <dt>Runs</dt>
            <dd>
              generation {data.generation}; applied {moment(data.applied.at)} by {data.applied.by}
              {data.applied.summary !== "" && <span class="soft"> ({data.applied.summary})</span>}
              {data.source === "api" && <b class="level-warn"> It came over the API and is in no file: the next reload ends it.</b>}
            </dd>
            {data.rejected !== null && (
              <>
                <dt>Rejected</dt>
                <dd>
                  <b class="level-bad">{moment(data.rejected.at)}</b> by {data.rejected.by}: nothing of it is in force.
                  <ConfigErrors errors={data.rejected.errors} />
                </dd>
              </>
            )}
            <dt>Version</dt>
            <dd>
              {instance.version}, process {instance.pid}, since {moment(instance.started_at)}
            </dd>
          </dl>
          {data.file !== null && <ConfigFile file={data.file} applied={again} />}
        </>
      )}
      <ConfigCandidate />
      <Workers workers={instance.workers} />
      <Certificates listeners={listeners} />
      {data !== undefined && (
        <details>
          <summary>What runs, with overrides and defaults</summary>
          <pre tabIndex={0}>{JSON.stringify(data.config, null, 2)}</pre>
        </details>
      )}
    </>
  );
}

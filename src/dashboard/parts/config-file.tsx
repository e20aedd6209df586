/** The file beside what runs, and the reload. */
import { useState } from "preact/hooks";
import { moment } from "../../view/format.ts";
import type { ConfigDiff, ConfigView } from "../../view/shapes.ts";
import { call } from "../api.ts";
import { useFetched } from "../use-fetched.ts";
import { ConfigDiffView } from "./config-diff.tsx";
import { Dialog } from "./dialog.tsx";
import { Failure } from "./failure.tsx";
import { Badge } from "./mark.tsx";

interface ConfigFileProps {
  readonly file: NonNullable<ConfigView["file"]>;
  readonly applied: () => void;
}

export function ConfigFile({ file, applied }: ConfigFileProps) {
  const [asked, setAsked] = useState(false);
  const [error, setError] = useState<Error | undefined>(undefined);
  const diff = useFetched<ConfigDiff>(file.changed ? "/v1/config/diff" : undefined, 5_000);
  const reload = async (): Promise<void> => {
    setAsked(false);
    setError(undefined);
    try {
      await call("/v1/reload", { method: "POST" });
    } catch (failure) {
      setError(failure as Error);
    }
    applied();
  };
  return (
    <section aria-label="The file">
      <h2>
        File <span class="number">{file.path}</span> <Badge level={file.problem !== null ? "bad" : file.changed ? "warn" : "ok"} word={file.problem !== null ? "cannot be read" : file.changed ? "differs from what runs" : "is what runs"} />
      </h2>
      {file.problem !== null && <p class="level-bad">{file.problem}</p>}
      {file.changed && file.since !== null && <p>It differs since {moment(file.since)}. A reload would change this:</p>}
      <Failure error={diff.error} />
      {diff.data !== undefined && <ConfigDiffView diff={diff.data} />}
      <div class="buttons">
        <button type="button" onClick={() => setAsked(true)}>
          Reload
        </button>
      </div>
      <Failure error={error} />
      {asked && (
        <Dialog title="Reload the configuration?" onClose={() => setAsked(false)}>
          <p>{file.path} is read again. If anything is wrong with it, nothing changes.</p>
          {diff.data !== undefined && <ConfigDiffView diff={diff.data} />}
          <div class="buttons">
            <button type="button" class="primary" onClick={() => void reload()}>
              Reload
            </button>
            <button type="button" onClick={() => setAsked(false)}>
              Cancel
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}

/** What a configuration that somebody brings would change; nothing is applied. */
import { useState } from "preact/hooks";
import type { ConfigDiff } from "../../view/shapes.ts";
import { call } from "../api.ts";
import { ConfigDiffView } from "./config-diff.tsx";
import { Failure } from "./failure.tsx";

export function ConfigCandidate() {
  const [text, setText] = useState("");
  const [diff, setDiff] = useState<ConfigDiff | undefined>(undefined);
  const [error, setError] = useState<Error | undefined>(undefined);
  const compare = async (event: Event): Promise<void> => {
    event.preventDefault();
    setDiff(undefined);
    setError(undefined);
    try {
      setDiff((await (await call("/v1/config/diff", { method: "POST", text })).json()) as ConfigDiff);
    } catch (failure) {
      setError(failure as Error);
    }
  };
  return (
    <details>
      <summary>Compare another configuration</summary>
      <form onSubmit={(event) => void compare(event)}>
        <label>
          <span class="soft">As it would stand in fairlead.toml. It is checked and compared; nothing changes.</span>
          <textarea name="candidate" rows={10} value={text} onInput={(event) => setText(event.currentTarget.value)} required spellcheck={false} />
        </label>
        <div class="buttons">
          <button type="submit">Compare</button>
        </div>
      </form>
      <Failure error={error} />
      {diff !== undefined && <ConfigDiffView diff={diff} />}
    </details>
  );
}

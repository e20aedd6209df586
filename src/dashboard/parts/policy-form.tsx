/** Another policy for an upstream. */
import { useState } from "preact/hooks";
import type { UpstreamView } from "../../view/shapes.ts";
import { call, upstreamPath } from "../api.ts";
import { POLICIES } from "../policies.ts";
import { Failure } from "./failure.tsx";

export function PolicyForm({ upstream: { name, policy } }: { readonly upstream: UpstreamView }) {
  const [wanted, setWanted] = useState("");
  const [error, setError] = useState<Error | undefined>(undefined);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setError(undefined);
    try {
      await call(`${upstreamPath(name)}/policy`, { method: "PUT", json: { policy: wanted.trim() } });
      setWanted("");
    } catch (failure) {
      setError(failure as Error);
    }
  };
  return (
    <section aria-label="Policy">
      <form class="inline" onSubmit={(event) => void submit(event)}>
        <span>
          Policy <b>{policy}</b>
        </span>
        <label>
          <span class="hidden">Another policy</span>
          <input name="policy" list="policies" placeholder="another" value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} required spellcheck={false} />
        </label>
        <datalist id="policies">
          {POLICIES.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
        <button type="submit">Change</button>
      </form>
      <Failure error={error} />
    </section>
  );
}

/** Drain, maintenance, ready, weight: what takes traffic away is asked about first. */
import { useState } from "preact/hooks";
import { plural, rate } from "../../view/format.ts";
import { inRotation, stateLevel } from "../../view/health.ts";
import type { TargetView, UpstreamView } from "../../view/shapes.ts";
import { call, targetPath } from "../api.ts";
import { Dialog } from "./dialog.tsx";
import { Failure } from "./failure.tsx";

interface Action {
  readonly name: string;
  /** How it is asked about, and what follows; absent: it is done at once. */
  readonly title?: string;
  readonly says?: string;
  readonly path: string;
  readonly json: unknown;
}

interface TargetActionsProps {
  readonly upstream: UpstreamView;
  readonly target: TargetView;
}

export function TargetActions({ upstream, target }: TargetActionsProps) {
  const [asked, setAsked] = useState<Action | undefined>(undefined);
  const [error, setError] = useState<Error | undefined>(undefined);
  const [weight, setWeight] = useState("");
  const [done, setDone] = useState("");
  const { address, state } = target;
  const path = targetPath(upstream.name, address);
  const draining = state.includes("draining");
  const maintained = state.includes("maintenance");

  const perform = async ({ name, path, json }: Action): Promise<void> => {
    setAsked(undefined);
    setError(undefined);
    setDone("");
    try {
      await call(path, { method: "PUT", json });
      setDone(`${name}: done.`);
      setWeight("");
    } catch (failure) {
      setError(failure as Error);
    }
  };
  const start = (action: Action): void => (action.says === undefined ? void perform(action) : setAsked(action));
  const submitWeight = (event: Event): void => {
    event.preventDefault();
    const wanted = Number(weight);
    const less = wanted < target.weight;
    start({ name: `Weight ${weight}`, path, json: { weight: wanted }, ...(less ? { title: `Weight ${weight} for`, says: `Its weight goes from ${target.weight} to ${weight}: it gets less of the traffic${wanted === 0 ? ", none at all" : ""}.` } : {}) });
  };
  return (
    <section class="actions" aria-label="What can be done with it">
      <div class="buttons">
        <button type="button" disabled={!draining && !maintained} onClick={() => start({ name: "Ready", path: `${path}/state`, json: { state: "ready" } })}>
          Ready
        </button>
        <button type="button" disabled={draining} onClick={() => start({ name: "Drain", title: "Drain", path: `${path}/state`, json: { state: "drain" }, says: "It gets no new requests; those that are open may end." })}>
          Drain
        </button>
        <button type="button" disabled={maintained} onClick={() => start({ name: "Maintenance", title: "Maintenance for", path: `${path}/state`, json: { state: "maint" }, says: "It gets no new requests, and those that are open are cut off." })}>
          Maintenance
        </button>
        <form class="inline" onSubmit={submitWeight}>
          <label>
            Weight
            <input type="number" name="weight" min={0} max={1000} step="any" placeholder={String(target.weight)} value={weight} onInput={(event) => setWeight(event.currentTarget.value)} required />
          </label>
          <button type="submit">Set</button>
        </form>
        <span class="soft" role="status">
          {done}
        </span>
      </div>
      <Failure error={error} />
      {asked !== undefined && (
        <Dialog title={`${asked.title} ${address}?`} onClose={() => setAsked(undefined)}>
          <p>{asked.says}</p>
          <p>
            It serves {rate(target.rate)} requests/s now, {plural(target.open_requests, "is open", "are open")}.
          </p>
          <Remaining upstream={upstream} target={target} />
          <div class="buttons">
            <button type="button" class="danger" onClick={() => void perform(asked)}>
              {asked.name}
            </button>
            <button type="button" onClick={() => setAsked(undefined)}>
              Cancel
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}

function Remaining({ upstream, target }: TargetActionsProps) {
  const { name } = upstream;
  const others = inRotation(upstream) - (stateLevel(target.state) === "ok" ? 1 : 0);
  if (others === 0) return <p class="level-bad">No other target of {name} is in rotation: its clients would be refused.</p>;
  return (
    <p>
      {plural(others, "other target")} of {name} {others === 1 ? "stays" : "stay"} in rotation.
    </p>
  );
}

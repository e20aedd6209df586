/** Says that what is shown is old. */
import { useEffect, useState } from "preact/hooks";
import { clock } from "../../view/format.ts";
import { connection, reconnect } from "../live.ts";
import { useStore } from "../store.ts";

export function ConnectionBanner() {
  const state = useStore(connection);
  const [now, setNow] = useState(Date.now());
  const lost = state.phase === "lost";
  useEffect(() => {
    if (!lost) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [lost]);
  if (state.phase !== "lost") return null;
  const wait = state.retryAt === undefined ? undefined : Math.max(0, Math.ceil((state.retryAt - now) / 1000));
  return (
    <div class="lost" role="alert">
      <p>
        <strong>Connection lost at {clock(state.since)}.</strong> {state.why} What is below is how it was then.
      </p>
      {/* Not read out each second. */}
      <p aria-live="off">{wait === undefined ? "Trying again …" : `Trying again in ${wait} s.`}</p>
      <button type="button" onClick={reconnect}>
        Try now
      </button>
    </div>
  );
}

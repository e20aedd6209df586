/**
 * Reports a back end to Fairlead while it runs: `startHeartbeat({ admin, token, upstream, address })`.
 *
 * Works in Node 18+, Bun and Deno; no dependency. On SIGTERM or SIGINT it says that it drains, waits, says good-bye, and lets the process end.
 */

const process = globalThis.process;

/** @param {import("./index.d.ts").HeartbeatOptions} options @returns {import("./index.d.ts").Heartbeat} */
export function startHeartbeat(options) {
  const { upstream, address, token, ttl = 15, drainTime = 5, signals = true, onError = () => {} } = options;
  const places = (Array.isArray(options.admin) ? options.admin : [options.admin]).map((admin) => new URL(`/v1/upstreams/${encodeURIComponent(upstream)}/targets/${encodeURIComponent(address)}/heartbeat`, admin).href);
  let { capacity, zone } = options;
  let draining = false;
  let over = false;
  let timer;

  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const send = async (method) => {
    const call = method === "PUT" ? { method, headers, body: JSON.stringify({ ttl, capacity, zone, draining }) } : { method, headers };
    const results = await Promise.allSettled(
      places.map(async (place) => {
        const response = await fetch(place, { ...call, signal: AbortSignal.timeout(Math.max(1, ttl / 3) * 1000) });
        const text = await response.text();
        if (!response.ok) throw new Error(`${method} ${place}: ${response.status} ${text.trim()}`);
      }),
    );
    let failed;
    for (const { reason } of results.filter(({ status }) => status === "rejected")) {
      failed = reason;
      onError(reason);
    }
    return failed;
  };
  const beat = async () => {
    clearTimeout(timer);
    const failed = await send("PUT");
    if (over) return;
    clearTimeout(timer);
    // A third of the ttl, so that two may be lost; one that failed is sent again sooner.
    const pause = (failed === undefined ? ttl / 3 : Math.min(1, ttl / 6)) * (0.9 + 0.2 * Math.random());
    timer = setTimeout(beatQuietly, pause * 1000);
    // It must not be what keeps a process alive.
    timer.unref?.();
    if (failed !== undefined) throw failed;
  };
  const beatQuietly = () => beat().catch(() => {});
  const ready = beat();
  ready.catch(() => {});

  const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const drain = async () => {
    draining = true;
    await beatQuietly();
  };
  const stop = async () => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    for (const signal of handled) process.removeListener(signal, leave);
    await send("DELETE");
  };

  let leaving = false;
  const leave = async (signal) => {
    if (leaving) return;
    leaving = true;
    await drain();
    await sleep(drainTime);
    // Whoever else listens decides when the process ends; when nobody does, it is what the signal asked for.
    const others = process.listenerCount(signal) > 1;
    await stop();
    if (!others) process.kill(process.pid, signal);
  };
  const handled = signals && process?.on !== undefined ? ["SIGTERM", "SIGINT"] : [];
  for (const signal of handled) process.on(signal, leave);

  return {
    ready,
    drain,
    stop,
    async update(change) {
      if ("capacity" in change) ({ capacity } = change);
      if ("zone" in change) ({ zone } = change);
      await beatQuietly();
    },
  };
}

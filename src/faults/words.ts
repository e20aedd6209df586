/** What a fault does, in words: for log and records, and for who asks beforehand. */
import type { ClientFault, FaultDelay, TargetFault } from "../config/snapshot.ts";

/** @param delay that was drawn, in ms; 0: none */
export function clientWords({ abort, grpcStatus, reset, throttle, truncate }: ClientFault, delay: number | FaultDelay): string {
  return listed([
    delayWords(delay),
    abort === undefined ? "" : `abort ${abort}`,
    grpcStatus === undefined ? "" : `grpc-status ${grpcStatus}`,
    reset ? "reset" : "",
    throttle > 0 ? `throttle ${throttle} bytes/s` : "",
    truncate === undefined ? "" : `truncate ${truncate} bytes`,
  ]);
}

/** Names of those that befell one exchange: each once, as several attempts may meet the same one. */
export function withFault(names: string, name: string): string {
  if (names === "") return name;
  return names.split(",").includes(name) ? names : `${names},${name}`;
}

export function targetWords({ delay, error }: TargetFault): string {
  return listed([delay === undefined ? "" : delayWords(delay), error ?? ""]);
}

function delayWords(delay: number | FaultDelay): string {
  const { from, to } = typeof delay === "number" ? { from: delay, to: delay } : delay;
  if (to === 0) return "";
  return `delay ${from === to ? from : `${from} to ${to}`} ms`;
}

function listed(words: readonly string[]): string {
  return words.filter((word) => word !== "").join(", ");
}

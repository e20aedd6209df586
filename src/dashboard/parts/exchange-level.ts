/** How badly an exchange ended. */
import type { Level } from "../../view/health.ts";
import type { ExchangeView } from "../../view/shapes.ts";

export function exchangeLevel({ cause, status, attempts }: Pick<ExchangeView, "cause" | "status" | "attempts">): Level {
  if (cause.startsWith("client-")) return "off";
  if (cause !== "done" && cause !== "local") return "bad";
  return status >= 500 ? "bad" : attempts > 1 ? "warn" : "ok";
}

/** Its cause; of one that is whole, but not good, its status. */
export function exchangeWord({ cause, status }: Pick<ExchangeView, "cause" | "status">): string {
  return cause === "done" && status >= 500 ? `status ${status}` : cause;
}

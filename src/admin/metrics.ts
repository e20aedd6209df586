/** Metrics for Prometheus: `GET /metrics`. */
import type { Metrics } from "../metrics/metrics.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";

export function metricsEndpoints(metrics: Metrics): Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/metrics",
      summary: "All that is counted, as Prometheus reads it; as OpenMetrics when Accept asks for it.",
      access: "read",
      answers: { 200: { description: "Text format 0.0.4, or OpenMetrics 1.0.0.", type: "text/plain" } },
      handle: async ({ request }) => {
        const { contentType, text } = await metrics.text(request.headers.get("accept")?.includes("application/openmetrics-text") === true ? "openmetrics" : "prometheus");
        return new Response(text, { headers: { "Content-Type": contentType } });
      },
    }),
  ];
}

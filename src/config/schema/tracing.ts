/** `[tracing]`. */
import { z } from "zod";
import { key } from "./key.ts";
import { duration, fieldValue, headerName, whole } from "./types.ts";

function isEndpoint(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "" && url.search === "" && url.hash === "";
}

export const tracing = z.strictObject({
  endpoint: key(z.string().refine(isEndpoint, { error: "an endpoint is an http:// or https:// URL, without name and password: those go into headers" }), "Where spans are sent by OTLP/HTTP: of the collector, without /v1/traces.", "http://127.0.0.1:4318"),
  headers: key(z.record(headerName, fieldValue), "Sent with them, as a token of the collector's."),
  service_name: key(z.string().min(1), "How this balancer is called in traces.", "fairlead"),
  sample: key(z.number().min(0).max(1), "Share of the traces that begin here which are recorded.", 1),
  parent: key(z.enum(["ignore", "trust"]), "A client's traceparent: ignore begins a trace of our own; trust goes on with the client's, and records what it records.", "ignore"),
  query: key(z.enum(["keep", "drop"]), "What follows the ? of paths: it may hold secrets.", "drop"),
  timeout: key(duration, "For sending a batch of spans, with all tries; then they are lost.", "10s"),
  interval: key(duration, "The longest that a span waits for others to be sent with.", "5s"),
  batch: key(whole(1, 10_000), "The most spans in one request.", 512),
  queue: key(whole(1, 1_000_000), "The most spans that wait in each worker; more are lost.", 4096),
});

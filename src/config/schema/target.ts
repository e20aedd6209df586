/** `[[upstreams.targets]]`, and `[[targets]]` of the short form. */
import { z } from "zod";
import { key } from "./key.ts";
import { name, path, targetAddress, whole } from "./types.ts";

export const target = z.strictObject({
  address: targetAddress.meta({ description: "host:port, [v6]:port or unix:/path" }),
  weight: key(whole(0, 1000), "Its share; 0: none.", 1),
  backup: key(z.boolean(), "Used when too few of the others are healthy: the same as priority = 1.", false),
  priority: key(whole(0, 5), "Its tier: those of 0 are used first, then those of 1, …", 0),
  zone: key(name, "Where it runs; see prefer_zone."),
  max_connections: key(whole(0, 1_000_000), "Open connections to it over all workers; 0: no limit; absent: the upstream's."),
  max_requests: key(whole(0, 1_000_000), "Open requests to it over all workers; 0: no limit; absent: the upstream's."),
  drain: key(z.boolean(), "No new requests; sticky clients may finish.", false),
});

/** What may be said of a target beside its address. */
export const targetKeys = target.omit({ address: true });

export const shortTarget = z.strictObject({
  address: targetAddress.meta({ description: "host:port, [v6]:port or unix:/path" }),
  weight: key(whole(0, 1000), "Its share; 0: none.", 1),
  health_check_endpoint: key(path, "Asked every 5 s; a 2xx or 3xx passes. Absent: a connect is enough."),
});

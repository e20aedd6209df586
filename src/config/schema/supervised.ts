/** `[upstreams.supervised]`: back ends that Fairlead starts itself. */
import { z } from "zod";
import { key } from "./key.ts";
import { duration, optionalDuration, whole } from "./types.ts";

export const supervised = z.strictObject({
  command: z.array(z.string().min(1, { error: "a command's words are not empty" })).min(1, { error: "a command needs a program" }).meta({ description: "Program and arguments; its port is in PORT." }),
  instances: key(whole(1, 256), "How many of it.", 1),
  directory: key(z.string().min(1), "Where it runs, relative to this file.", "."),
  environment: key(z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: "a variable's name has letters, digits and underscores" }), z.string()), "Added to its environment."),
  port: key(whole(0, 65_535), "First port that is handed out; 0: any free ones.", 0),
  replace_after: key(optionalDuration, "Replaced when unhealthy for this long.", "30s"),
  max_restarts: key(whole(1, 10_000), "Restarts of one instance within restart_window; then it is left alone.", 10),
  restart_window: key(duration, "See max_restarts.", "10m"),
  backoff: key(duration, "Before a restart; doubles each time.", "100ms"),
  backoff_max: key(duration, "The longest pause before a restart.", "30s"),
  stop_timeout: key(duration, "From SIGTERM to SIGKILL.", "10s"),
  start_timeout: key(duration, "How long it may take until its health check passes.", "30s"),
  roll_on_reload: key(z.boolean(), "A reload replaces them one at a time, also when nothing about them has changed.", true),
});

/** `[log]` and `[access_log]`. */
import { z } from "zod";
import { LOG_LEVELS, LOG_MODULES, type LogModule } from "../../observability/log.ts";
import { parseSize } from "../values.ts";
import { key } from "./key.ts";
import { duration, file, parsed, SIZE, size, whole } from "./types.ts";

const logLevel = z.enum(LOG_LEVELS);
const logModules = Object.fromEntries(Object.entries(LOG_MODULES).map(([module, about]) => [module, key(logLevel, `${about[0]!.toUpperCase()}${about.slice(1)}.`)])) as Record<LogModule, z.ZodOptional<typeof logLevel>>;

export const log = z.strictObject({
  level: key(logLevel, "The least that is logged.", "info"),
  modules: key(z.strictObject(logModules), "Levels of their own for parts of the house."),
  path: key(file, "A file for the service log, relative to this file; absent: standard error."),
  access: key(z.boolean(), "One line a request on standard error: the short form of [access_log].", false),
});

/** In bytes. */
const MIN_LOG_BUFFER = 4 * 1024;
const MAX_LOG_BUFFER = 16 * 1024 ** 2;
const bufferSize = (bytes: number | undefined): number | undefined => (bytes !== undefined && bytes >= MIN_LOG_BUFFER && bytes <= MAX_LOG_BUFFER ? bytes : undefined);

export const accessLog = z.strictObject({
  format: key(z.string().min(1), '"json", "common", "combined", or a format string of your own with $variables.', "json"),
  fields: key(z.array(z.string()).min(1, { error: "a line has at least one field" }), "With format json: the variables that a line has, in this order.", "all but the headers, and User-Agent and Referer"),
  path: key(file, 'A file or a named pipe, relative to this file; "stderr" or "stdout".', "stderr"),
  sample: key(z.number().min(0).max(1), "The share of exchanges that are logged.", 1),
  sample_errors: key(z.boolean(), "What fails is logged in any case: statuses from 500 on, and causes other than done.", true),
  buffer: key(z.union([parsed((text) => bufferSize(parseSize(text)), 'a size from 4KiB to 16MiB', SIZE), whole(MIN_LOG_BUFFER, MAX_LOG_BUFFER)]), "Lines that each worker gathers before it writes.", "64KiB"),
  flush: key(duration, "The longest that a line waits.", "100ms"),
  rotate_size: key(size, "A file that has grown to this is renamed, and another one begun.", "off"),
  keep: key(whole(1, 1000), "Renamed files that are kept: path.1 is the newest.", 5),
});

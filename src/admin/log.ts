/** How much the service log tells: `GET` and `PUT /v1/log`. */
import { z } from "zod";
import { parseLongDuration } from "../config/values.ts";
import { type Log, LOG_LEVELS, LOG_MODULES, type LogLevel, type LogLevels, type LogModule } from "../observability/log.ts";
import { byCaller } from "./access.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";

/** Who keeps the levels. */
export interface LevelSettings {
  /** In force now. */
  readonly levels: LogLevels;
  readonly fromFile: LogLevels;
  readonly overridden: LevelOverride | undefined;
  /** @param change undefined: as the file says */
  override(change: LevelOverride | undefined): void;
}

/** What is other than in the file. */
export interface LevelOverride {
  readonly level: LogLevel | undefined;
  readonly modules: LogLevels["modules"] | undefined;
  /** When it ends, in wall-clock ms since 1970; undefined: with the next reload. */
  readonly until: number | undefined;
  /** Who said so. */
  readonly by: string;
}

/** setTimeout's own limit, about 24.8 days. */
const LONGEST = 2 ** 31 - 1;
const level = z.enum(LOG_LEVELS);
const modules = z.strictObject(Object.fromEntries(Object.keys(LOG_MODULES).map((module) => [module, level.optional()])) as Record<LogModule, z.ZodOptional<typeof level>>);
const levels = z.object({ level, modules });

const answer = z.object({
  level: level.describe("The least that is logged, …"),
  modules: z.object(Object.fromEntries(Object.keys(LOG_MODULES).map((module) => [module, level]))).describe("… by each module."),
  file: levels.describe("What the configuration says."),
  override: z.object({ level: level.optional(), modules: modules.optional(), until: z.iso.datetime().nullable().describe("null: the next reload ends it"), by: z.string() }).nullable().describe("What was said at run time."),
  lost_lines: z.int().describe("Lines of the access log that nobody took, since the start."),
});

const body = z
  .strictObject({
    level: level.optional(),
    modules: modules.optional(),
    for: z
      .string()
      .refine((text) => (parseLongDuration(text) ?? 0) > 0 && parseLongDuration(text)! <= LONGEST, { error: 'for is a duration up to 24 days, as "10m"' })
      .optional(),
  })
  .refine(({ level: all, modules: own, for: period }) => period === undefined || all !== undefined || Object.keys(own ?? {}).length > 0, { path: ["for"], error: "for goes with level or modules" });

/** @param lostLines of the access log @param log hears who changes what */
export function logEndpoints(settings: LevelSettings, lostLines: () => number, log: Log): Endpoint[] {
  const told = (): object => {
    const { levels: current, fromFile, overridden } = settings;
    return {
      level: current.level,
      modules: Object.fromEntries(Object.keys(LOG_MODULES).map((module) => [module, current.modules[module as LogModule] ?? current.level])),
      file: fromFile,
      override: overridden === undefined ? null : { ...overridden, until: overridden.until === undefined ? null : new Date(overridden.until).toISOString() },
      lost_lines: lostLines(),
    };
  };
  const answers = { 200: { description: "What is logged now.", schema: answer } };
  return [
    endpoint({ method: "GET", path: "/v1/log", summary: "How much is logged, by which module.", access: "read", answers, handle: told }),
    endpoint({
      method: "PUT",
      path: "/v1/log",
      summary: "Log more or less, for a while or until the next reload; {} ends that.",
      access: "steer",
      body,
      answers,
      handle: ({ body: { level: all, modules: own, for: period }, caller }) => {
        const nothing = all === undefined && Object.keys(own ?? {}).length === 0;
        const until = period === undefined ? undefined : Date.now() + parseLongDuration(period)!;
        const by = byCaller(caller);
        const change = (): void => settings.override(nothing ? undefined : { level: all, modules: own, until, by });
        const say = (): void => log.info({ by, wanted: { level: all, modules: own, for: period } }, nothing ? "It is logged what the file says, by the API" : "What is logged is changed by the API");
        // At the level at which it is heard, if it is at either.
        const { level: usual, modules: each } = settings.levels;
        for (const step of ["debug", "info"].includes(each.admin ?? usual) ? [say, change] : [change, say]) step();
        return told();
      },
    }),
  ];
}

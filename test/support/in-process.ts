/** The data plane in the test's own process: several listeners, each with an upstream of its own, in one `LoadBalancer`. */
import { LoadBalancer } from "fairlead";
import type { Log } from "../../src/observability/log.ts";
import type { LogLine } from "./fairlead.ts";
import type { Stage, Target } from "./stage.ts";
import { type TomlTable, toToml } from "./toml.ts";
import { until } from "./until.ts";

/** One listener and the upstream behind it. */
export interface Front {
  readonly targets: readonly Target[];
  readonly upstream?: TomlTable;
  readonly listener?: TomlTable;
}

export interface InProcess {
  /** By the front's name. */
  readonly port: (name: string) => number;
  readonly log: LogLine[];
  /** The first line from line `from` on for which `test` holds. */
  line(what: string, test: (line: LogLine) => boolean, from?: number): Promise<LogLine>;
  readonly balancer: LoadBalancer;
}

function keepingLog(lines: LogLine[]): Log {
  const at = (level: string) => (fields: object, msg: string) => void lines.push({ level, ...fields, msg });
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") } as unknown as Log;
}

/** @param top keys of the top level, as in the file */
export async function inProcess(stage: Stage, fronts: Readonly<Record<string, Front>>, top: TomlTable = {}): Promise<InProcess> {
  const config = toToml({
    ...top,
    listeners: Object.entries(fronts).map(([name, { listener }]) => ({ name, address: "127.0.0.1:0", upstream: name, ...listener })),
    upstreams: Object.entries(fronts).map(([name, { upstream, targets }]) => ({ name, ...upstream, targets: targets.map((target) => ({ address: typeof target === "string" ? target : target.address })) })),
  });
  const log: LogLine[] = [];
  const balancer = await new LoadBalancer({ config, log: keepingLog(log) }).start();
  stage.atEnd(() => balancer.stop(0));
  return {
    port: (name) => balancer.port(name),
    log,
    line: (what, test, from = 0) =>
      until(`a log line: ${what}`, () => log.slice(from).find(test)).catch((error: unknown) => {
        throw new Error(`${String(error)}; the log ends with\n${log.slice(-15).map((line) => JSON.stringify(line)).join("\n")}`, { cause: error });
      }),
    balancer,
  };
}

/** The command line: which command, which options; what each does is in a file of its own. */
import { existsSync } from "node:fs";
import { Command, InvalidArgumentError } from "commander";
import { closest } from "fastest-levenshtein";
import packageJson from "../../package.json";
import { check } from "./check.ts";
import { run, runFlags, type LogLevel, type RunOptions } from "./run.ts";

export const USAGE_ERROR = 2;
const EXAMPLES = `
Examples:
  fairlead --listen :8080 --target 127.0.0.1:9001 --target 127.0.0.1:9002
  fairlead run --config fairlead.toml --watch
  fairlead check fairlead.toml
  fairlead demo

Signals:
  SIGHUP reloads, SIGTERM and SIGINT drain and stop (a second one at once), SIGUSR2 upgrades the binary in place.`;

function collect(value: string, all: string[]): string[] {
  return [...all, value];
}

function logFormat(value: string): "text" | "json" {
  if (value !== "text" && value !== "json") throw new InvalidArgumentError('It must be "text" or "json".');
  return value;
}

function logLevel(value: string): LogLevel {
  if (value !== "debug" && value !== "info" && value !== "warn" && value !== "error") throw new InvalidArgumentError("It must be debug, info, warn or error.");
  return value;
}

function port(value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1 || number > 65_535) throw new InvalidArgumentError("It must be a number from 1 to 65535.");
  return number;
}

function withRunOptions(command: Command): Command {
  return command
    .option("--log-format <format>", "text or json, on standard error", logFormat, "text")
    .option("--log-level <level>", "debug, info, warn or error, whatever the configuration says", logLevel)
    .option("--pid-file <file>", "write the supervisor's process id here")
    .option("--runtime-dir <directory>", "where state for a takeover is kept");
}

interface DefaultOptions extends RunOptions {
  readonly listen: string[];
  readonly target: string[];
  readonly policy?: string;
  readonly protocol?: string;
  readonly workers?: string;
}

export function program(): Command {
  const root = withRunOptions(new Command("fairlead"))
    .description("A load balancer in TypeScript: layer 7 and layer 4.")
    .version(packageJson.version)
    .option("--listen <address>", "where clients connect, as :8080; may be repeated", collect, [])
    .option("--target <address>", "a backend, as 127.0.0.1:9001; may be repeated", collect, [])
    .option("--policy <name>", "how a target is chosen (default round-robin)")
    .option("--protocol <protocol>", "http or tcp (default http)")
    .option("--workers <number>", "data-plane processes (default: one a core)")
    .addHelpText("after", EXAMPLES)
    .showHelpAfterError("(fairlead --help says more)")
    .enablePositionalOptions()
    .allowExcessArguments()
    .exitOverride()
    .action(async (options: DefaultOptions) => {
      const [unknown] = root.args;
      if (unknown !== undefined) root.error(`error: unknown command '${unknown}'\n(Did you mean ${closest(unknown, ["run", "check", "demo"])}?)`, { exitCode: USAGE_ERROR });
      if (options.listen.length > 0 || options.target.length > 0) {
        if (options.listen.length === 0 || options.target.length === 0) root.error("error: --listen and --target go together", { exitCode: USAGE_ERROR });
        await runFlags(options);
      } else if (existsSync("fairlead.toml")) await run({ ...options, config: "fairlead.toml" });
      else root.help({ error: true });
    });
  withRunOptions(root.command("run"))
    .description("run a configuration")
    .option("--config <file>", "the configuration", "fairlead.toml")
    .option("--watch", "reload when the file changes")
    .action((options: RunOptions & { config: string }) => run(options));
  root
    .command("check")
    .description("check a configuration and say everything that is wrong with it")
    .argument("[file]", "the configuration", "fairlead.toml")
    .action(check);
  root
    .command("demo")
    .description("a balancer in front of three back ends, to try and to break")
    .option("--port <port>", "where the balancer listens (default 8080)", port)
    .action(async (options: { port?: number }) => {
      const { demo } = await import("./demo.ts");
      process.exit(await demo(options));
    });
  return root;
}

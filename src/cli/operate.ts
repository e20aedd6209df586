/** The commands that look at a running Fairlead and steer it, over its admin address. */
import { Argument, type Command, InvalidArgumentError, Option } from "commander";
import { withAdminOptions } from "./admin-client.ts";
import type { ConfigOptions } from "./config-report.ts";
import type { ConfigPutOptions } from "./config.ts";
import { completionCommand, type Shell, SHELLS } from "./completion.ts";
import type { EventsOptions } from "./events.ts";
import type { ExchangesOptions } from "./exchanges.ts";
import type { StatusOptions } from "./status.ts";
import type { TargetOptions } from "./target-state.ts";
import type { TopOptions } from "./top.ts";
import { SORTS } from "./top/frame.ts";

/** As in the configuration. */
const MAX_WEIGHT = 1_000;

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}`;
}

/** A command of the admin address; all can be told in JSON. */
function command(parent: Command, name: string, description: string, ...lines: readonly string[]): Command {
  return withAdminOptions(parent.command(name))
    .description(description)
    .option("--json", "in JSON")
    .addHelpText("after", examples(...lines));
}

function weight(text: string): number | undefined {
  if (text === "file") return undefined;
  const number = Number(text);
  if (text.trim() === "" || !Number.isFinite(number) || number < 0 || number > MAX_WEIGHT) throw new InvalidArgumentError(`It must be a number from 0 to ${MAX_WEIGHT}, or "file" for what the file says.`);
  return number;
}

function limit(text: string): string {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1 || number > 1_000) throw new InvalidArgumentError("It must be a whole number from 1 to 1000.");
  return text;
}

export function addOperatorCommands(root: Command): void {
  command(root, "status", "say how the running instance is, and what is wrong", "fairlead status", "fairlead status --admin 127.0.0.1:9900 --json").action(async (options: StatusOptions) => {
    const { statusCommand } = await import("./status.ts");
    await statusCommand(options);
  });
  command(root, "top", "upstreams and targets as they are each second", "fairlead top", "fairlead top --targets --sort errors", "fairlead top --once --targets", "fairlead top --json | jq .totals.rate")
    .option("--targets", "begin with targets instead of upstreams")
    .addOption(new Option("--sort <order>", "what stands first").choices(SORTS).default("state"))
    .option("--once", "print it once, and end")
    .action(async (options: TopOptions) => {
      const { topCommand } = await import("./top.ts");
      await topCommand(options);
    });
  addTargetCommands(root);
  command(root, "reload", "have the configuration file read again; a bad one changes nothing", "fairlead reload", "fairlead reload --json").action(async (options: ConfigOptions) => {
    const { reloadCommand } = await import("./reload.ts");
    await reloadCommand(options);
  });
  command(root, "events", "what has happened to targets, upstreams and the instance in the last day", "fairlead events --limit 20", "fairlead events --follow --upstream web", "fairlead events --target 10.0.0.7:8080 --json")
    .option("--upstream <upstream>", "of this upstream only")
    .option("--target <target>", "of this target only")
    .option("--limit <number>", "so many, the newest", limit, "100")
    .option("-f, --follow", "and each new one as it happens")
    .action(async (options: EventsOptions) => {
      const { eventsCommand } = await import("./events.ts");
      await eventsCommand(options);
    });
  command(root, "exchanges", "exchanges that failed, were slow or were tried again, and how they were decided", "fairlead exchanges --upstream web --cause connect-refused", "fairlead exchanges --request-id 7f3a", "fairlead exchanges 12-1")
    .argument("[id]", "all of this one, in JSON")
    .option("--upstream <upstream>", "of this upstream only")
    .option("--target <target>", "that this target was asked for")
    .option("--cause <cause>", "that ended so")
    .option("--fault <name>", "on which this fault was injected")
    .option("--request-id <id>", "with this X-Request-ID")
    .option("--limit <number>", "so many, the newest", limit, "50")
    .action(async (id: string | undefined, options: ExchangesOptions) => {
      const { exchangesCommand } = await import("./exchanges.ts");
      await exchangesCommand(id, options);
    });
  addConfigCommands(root);
  root
    .command("completion")
    .description("print what a shell needs to complete these commands")
    .addArgument(new Argument("<shell>").choices(SHELLS))
    .addHelpText("after", examples("source <(fairlead completion bash)", 'fairlead completion zsh > "${fpath[1]}/_fairlead"', "fairlead completion fish > ~/.config/fish/completions/fairlead.fish"))
    .action((shell: Shell) => completionCommand(shell));
}

function addTargetCommands(root: Command): void {
  const states = [
    ["drain", "give a target no new requests; those that are open may end"],
    ["ready", "bring a target back that was drained or in maintenance"],
    ["maint", "take a target out of service at once, with what is open to it"],
  ] as const;
  for (const [state, description] of states) {
    command(root, state, description, `fairlead ${state} 10.0.0.7:8080`, `fairlead ${state} 10.0.0.7:8080 --upstream web --json`)
      .argument("<target>", "its address")
      .option("--upstream <upstream>", "of this upstream, where several have it")
      .action(async (target: string, options: TargetOptions) => {
        const { targetStateCommand } = await import("./target-state.ts");
        await targetStateCommand(state, target, options);
      });
  }
  command(root, "weigh", "give a target another weight, and so more or less of the traffic", "fairlead weigh 10.0.0.7:8080 3", "fairlead weigh 10.0.0.7:8080 file")
    .argument("<target>", "its address")
    .argument("<weight>", `0 to ${MAX_WEIGHT}, or "file": as the file says`, weight)
    .option("--upstream <upstream>", "of this upstream, where several have it")
    .action(async (target: string, wanted: number | undefined, options: TargetOptions) => {
      const { weighCommand } = await import("./weigh.ts");
      await weighCommand(target, wanted, options);
    });
}

function addConfigCommands(root: Command): void {
  const config = root.command("config").description("what runs, what another configuration would change, and another one in its place");
  command(config, "show", "which configuration runs, whether the file differs, what was rejected last", "fairlead config show", "fairlead config show --json | jq .config.upstreams").action(async (options: ConfigOptions) => {
    const { configShowCommand } = await import("./config.ts");
    await configShowCommand(options);
  });
  command(config, "diff", "what a configuration would change, and whom that touches", "fairlead config diff", "fairlead config diff next.toml --json")
    .argument("[file]", "it, or - for standard input; without one: the running instance's own file as it is now")
    .action(async (file: string | undefined, options: ConfigOptions) => {
      const { configDiffCommand } = await import("./config.ts");
      await configDiffCommand(file, options);
    });
  command(config, "put", "run another configuration, until the next reload", "fairlead config put next.toml --dry-run", "fairlead config put next.toml --persist")
    .argument("<file>", "it, or - for standard input")
    .option("--dry-run", "check and compare it, and change nothing")
    .option("--persist", "write it to the running instance's file too")
    .action(async (file: string, options: ConfigPutOptions) => {
      const { configPutCommand } = await import("./config.ts");
      await configPutCommand(file, options);
    });
}

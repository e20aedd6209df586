/** The command line: which command, which options; what each does is in a file of its own, loaded when it is asked for. */
import { existsSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import { closest, distance } from "fastest-levenshtein";
import packageJson from "../../package.json";
import { DISTRIBUTIONS } from "../simulate/chance.ts";
import { SCENARIOS } from "../simulate/scenarios.ts";
import { withAdminOptions } from "./admin-client.ts";
import type { ExplainOptions } from "./explain.ts";
import { addOperatorCommands } from "./operate.ts";
import type { RunOptions } from "./run.ts";
import type { SimulateOptions } from "./simulate.ts";
import { USAGE_ERROR } from "./usage.ts";

const EXAMPLES = `
Examples:
  fairlead --listen :8080 --target 127.0.0.1:9001 --target 127.0.0.1:9002
  fairlead run --config fairlead.toml --watch
  fairlead check fairlead.toml
  fairlead explain GET https://api.example.com/v1/x -H 'Cookie: a=b'
  fairlead top
  fairlead drain 10.0.0.7:8080
  fairlead demo
  fairlead                     the same as "fairlead run" where there is a fairlead.toml

Signals:
  SIGHUP           reload the configuration; a bad one changes nothing
  SIGTERM, SIGINT  let open exchanges end, then stop; a second one stops at once
  SIGUSR1          open the files of the logs anew, as after a rotation
  SIGUSR2          upgrade the binary in place: a new process takes the sockets over, this one ends

Exit codes: 0 when it is done, 1 when it cannot be (the reason is on standard error), 2 for a command line that is not understood.`;

const EXPLAIN_EXAMPLES = `
Examples:
  fairlead explain https://api.example.com/v1/x
  fairlead explain POST https://api.example.com/v1/x -H 'Cookie: a=b' --client 203.0.113.9
  fairlead explain tcp://127.0.0.1:5432 --admin unix:/run/fairlead/admin.sock --json`;

function collect(value: string, all: readonly string[] = []): string[] {
  return [...all, value];
}

function port(value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1 || number > 65_535) throw new InvalidArgumentError("It must be a number from 1 to 65535.");
  return number;
}

function withRunOptions(command: Command): Command {
  return command
    .addOption(new Option("--log-format <format>", "on standard error").choices(["text", "json"]).default("text"))
    .addOption(new Option("--log-level <level>", "what is logged, whatever the configuration says").choices(["debug", "info", "warn", "error"]))
    .option("--pid-file <file>", "keep the process id of whoever supervises here")
    .option("--runtime-dir <directory>", "where state for a takeover is kept");
}

interface DefaultOptions extends RunOptions {
  readonly listen?: readonly string[];
  readonly target?: readonly string[];
  readonly policy?: string;
  readonly protocol?: string;
  readonly tls?: "self-signed";
  readonly workers?: string;
}

function unknownCommand(root: Command, command: string): never {
  const near = closest(command, [...root.commands.map((known) => known.name()), "help"]);
  root.error(`error: unknown command '${command}'${distance(command, near) <= 2 ? `\n(Did you mean ${near}?)` : ""}`, { exitCode: USAGE_ERROR });
}

async function runDefault(root: Command, options: DefaultOptions): Promise<void> {
  const [unknown] = root.args;
  if (unknown !== undefined) unknownCommand(root, unknown);
  const { listen, target, policy, protocol, tls, workers } = options;
  if (listen !== undefined && target !== undefined) return (await import("./run.ts")).runFlags({ ...options, listen, target });
  if (listen !== undefined || target !== undefined) root.error("error: --listen and --target go together", { exitCode: USAGE_ERROR });
  if (policy !== undefined || protocol !== undefined || tls !== undefined || workers !== undefined) root.error("error: --policy, --protocol, --tls and --workers go with --listen and --target", { exitCode: USAGE_ERROR });
  if (existsSync("fairlead.toml")) return (await import("./run.ts")).run({ ...options, config: "fairlead.toml" });
  root.help({ error: true });
}

export function program(): Command {
  const root = withRunOptions(new Command("fairlead"))
    .description("A load balancer in TypeScript: layer 7 and layer 4.")
    .version(packageJson.version)
    .option("--listen <address>", "where clients connect, as :8080; may be repeated", collect)
    .option("--target <address>", "a back end, as 127.0.0.1:9001; may be repeated", collect)
    .option("--policy <name>", "how a target is chosen (default round-robin)")
    .addOption(new Option("--protocol <protocol>", "what clients speak (default http)").choices(["http", "tcp", "udp"]))
    .addOption(new Option("--tls <certificate>", "clients speak TLS; the certificate is for development, made once and kept").choices(["self-signed"]))
    .option("--workers <number>", "data-plane processes (default: one a core)")
    .addHelpText("after", EXAMPLES)
    .showHelpAfterError("(fairlead --help says more)")
    .enablePositionalOptions()
    .exitOverride();
  withRunOptions(root.command("run"))
    .description("run a configuration")
    .option("--config <file>", "the configuration", "fairlead.toml")
    .option("--watch", "reload when it, or a policy file that it names, changes")
    .action(async (options: RunOptions & { config: string }) => {
      const { run } = await import("./run.ts");
      await run(options);
    });
  root
    .command("check")
    .description("check a configuration and say everything that is wrong with it")
    .argument("[file]", "the configuration", "fairlead.toml")
    .action(async (file: string) => {
      const { check } = await import("./check.ts");
      await check(file);
    });
  withAdminOptions(root.command("explain"))
    .description("say which way a request would go in the running instance, and why; nothing is sent")
    .argument("<request...>", "URL, or method and URL")
    .option("-H, --header <field>", "a header, as 'Name: value'; may be repeated", collect)
    .option("--client <address>", "whose request it is, as 203.0.113.9 (default 127.0.0.1)")
    .option("--client-subject <subject>", "of the client's certificate")
    .option("--listener <name>", "who hears it (default: whoever is at the URL's port)")
    .option("--ask-policy", "call the pick of a policy that has no explain, though it may count that as a turn")
    .option("--json", "all of it, as JSON")
    .addHelpText("after", EXPLAIN_EXAMPLES)
    .action(async (words: readonly string[], options: ExplainOptions) => {
      if (words.length > 2) root.error("error: explain takes a method and a URL", { exitCode: USAGE_ERROR });
      const { explainCommand } = await import("./explain.ts");
      await explainCommand(words, options);
    });
  root
    .command("simulate")
    .description("balancing policies beside each other in a scenario, in virtual time")
    .requiredOption("--scenario <name>", `what happens: ${Object.keys(SCENARIOS).join(", ")}`)
    .option("--config <file>", "the targets, weights and policy of its first upstream (without it: equal targets)")
    .option("--upstream <name>", "another upstream of it")
    .option("--targets <number>", "without a configuration: so many", "10")
    .option("--policy <name>", 'only this policy, as "p2c", "hash:maglev:1.25" or "./mine.ts"; may be repeated (default: the configuration\'s, and all others)', collect)
    .option("--requests <number>", "so many for each policy", "100000")
    .option("--load <percent>", "of what the targets could serve (default: the scenario's)")
    .option("--service <distribution>", `of service times: ${Object.keys(DISTRIBUTIONS).join(", ")}`, "exponential")
    .option("--mean <duration>", "mean service time", "20ms")
    .option("--places <number>", "requests that a target works on at a time", "8")
    .option("--arrivals <file>", "requests of an access log (JSON lines) instead of a Poisson process")
    .option("--speed <factor>", "play that log so many times as fast", "1")
    .option("--seed <number>", "the same seed gives the same run", "1")
    .option("--html <file>", "draw it")
    .option("--json", "print JSON instead of a table")
    .action(async (options: SimulateOptions) => {
      const { simulateCommand } = await import("./simulate.ts");
      await simulateCommand(options);
    });
  root
    .command("demo")
    .description("a balancer in front of three back ends, to try and to break")
    .option("--port <port>", "where the balancer listens (default 8080)", port)
    .action(async (options: { port?: number }) => {
      const { demo } = await import("./demo.ts");
      process.exit(await demo(options));
    });
  addOperatorCommands(root);
  // An option of the root says nothing to a command: nobody shall think that it does.
  root.hook("preAction", (_root, command) => {
    const [stray] = command === root ? [] : root.options.filter((option) => root.getOptionValueSource(option.attributeName()) === "cli");
    if (stray === undefined) return;
    const known = command.options.some(({ long }) => long === stray.long);
    root.error(`error: option '${stray.long}' stands before '${command.name()}'${known ? `, and belongs behind it: fairlead ${command.name()} ${stray.flags}` : ", which does not know it"}`, { exitCode: USAGE_ERROR });
  });
  // After the commands, which would inherit it: what stands where a command should is an unknown one, and not one argument too many.
  return root.allowExcessArguments().action((options: DefaultOptions) => runDefault(root, options));
}

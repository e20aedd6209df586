/** `fairlead __complete WORDS…`: what may stand where the last word stands, one a line, with a tab and what it is. For shells. */
import type { Argument, Command, Option } from "commander";
import { AdminClient } from "./admin-client.ts";
import { allTargets } from "./find-target.ts";

interface Candidate {
  readonly word: string;
  readonly says: string;
}

const FILES = "files";
/** Whoever presses Tab waits: what the admin address has not said after so many ms is left out. */
const PATIENCE = 1_000;
/** Arguments and options that are files. */
const FILE_NAMES = new Set(["file", "config", "pid-file", "runtime-dir", "arrivals", "html"]);

/** @param words after the program's name; the last is being written */
export async function complete(root: Command, words: readonly string[]): Promise<string> {
  const found = await candidates(root, words.slice(0, -1), words.at(-1) ?? "");
  if (found === FILES) return ":files\n";
  return found
    .filter(({ word }) => word.startsWith(words.at(-1) ?? ""))
    .map(({ word, says }) => `${word}\t${says}\n`)
    .join("");
}

async function candidates(root: Command, before: readonly string[], word: string): Promise<readonly Candidate[] | typeof FILES> {
  let command = root;
  let position = 0;
  const given = new Map<string, string>();
  for (let at = 0; at < before.length; at++) {
    const one = before[at]!;
    const option = optionOf(command, one);
    if (option !== undefined) {
      if (!takesValue(option) || one.includes("=")) continue;
      at++;
      const value = before[at];
      if (value === undefined) return valuesOf(option.name(), option.argChoices, given);
      given.set(option.name(), value);
      continue;
    }
    const sub = command.commands.find((other) => other.name() === one);
    if (sub !== undefined && position === 0) command = sub;
    else position++;
  }
  if (word.startsWith("-")) return command.options.filter(({ long, hidden }) => long !== undefined && long !== null && !hidden).map(({ long, description }) => ({ word: long!, says: description })).concat({ word: "--help", says: "what this command does" });
  const subs = position === 0 ? command.commands.filter((sub) => !sub.name().startsWith("_")).map((sub) => ({ word: sub.name(), says: sub.description() })) : [];
  if (subs.length > 0) return subs;
  const argument: Argument | undefined = command.registeredArguments[Math.min(position, command.registeredArguments.length - 1)];
  if (argument === undefined || (position >= command.registeredArguments.length && !argument.variadic)) return [];
  return valuesOf(argument.name(), argument.argChoices, given);
}

function optionOf(command: Command, word: string): Option | undefined {
  const [name] = word.split("=", 1);
  return word.startsWith("-") ? command.options.find(({ short, long }) => name === short || name === long) : undefined;
}

function takesValue({ required, optional }: Option): boolean {
  return required || optional;
}

async function valuesOf(name: string, choices: readonly string[] | undefined, given: ReadonlyMap<string, string>): Promise<readonly Candidate[] | typeof FILES> {
  if (choices !== undefined) return choices.map((word) => ({ word, says: "" }));
  if (FILE_NAMES.has(name)) return FILES;
  if (name !== "target" && name !== "upstream") return [];
  try {
    const option = (key: string): object => (given.has(key) ? { [key]: given.get(key) } : {});
    const admin = AdminClient.find({ config: given.get("config") ?? "fairlead.toml", ...option("admin"), ...option("token") });
    const targets = await Promise.race([allTargets(admin, name === "target" ? given.get("upstream") : undefined), Bun.sleep(PATIENCE).then(() => [])]);
    if (name === "target") return [...Map.groupBy(targets, ({ address }) => address)].map(([word, all]) => ({ word, says: `of ${all.map(({ upstream }) => upstream).join(", ")}` }));
    return [...new Set(targets.map(({ upstream }) => upstream))].map((word) => ({ word, says: "upstream" }));
  } catch {
    // No Fairlead answers there: then nothing is known.
    return [];
  }
}

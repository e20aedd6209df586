/**
 * Loads policy files in a process of its own before any worker does: what hangs, crashes or ends the process there does so nowhere else,
 * and a reload with it is rejected before anything has changed.
 */
import type { Snapshot, UserConfig } from "../config/snapshot.ts";
import { become } from "../net/identity.ts";
import { loadPolicyModule } from "../policies/module.ts";
import { runAs } from "./run-as.ts";

/** How long all files together may take to load, in ms. */
const LOAD_TIMEOUT = 5_000;

interface PolicyFile {
  readonly path: string;
  readonly version: string;
}

interface ToCheck {
  readonly files: readonly PolicyFile[];
  /** Whom workers will be, when they load them; undefined: as this process. */
  readonly user?: UserConfig | undefined;
}

type FromCheck = { readonly loading: string } | { readonly done: true; readonly problem?: string };

function policyFiles(snapshot: Snapshot): PolicyFile[] {
  const files = snapshot.upstreams.flatMap(({ policy }) => (policy.kind === "module" ? [{ path: policy.path, version: policy.version }] : []));
  return files.filter(({ path }, index) => files.findIndex((other) => other.path === path) === index);
}

/** The files of a snapshot's policies. */
export function policyPaths(snapshot: Snapshot): string[] {
  return policyFiles(snapshot).map(({ path }) => path);
}

/**
 * What is wrong with the policies of `snapshot`; undefined: they load.
 * @param self the command that starts Fairlead itself, without arguments
 * @param before a snapshot whose policies are known to load
 */
export async function policyProblem(self: readonly string[], snapshot: Snapshot, before?: Snapshot): Promise<string | undefined> {
  const known = new Set(before === undefined ? [] : policyFiles(before).map(({ path, version }) => `${version} ${path}`));
  const files = policyFiles(snapshot).filter(({ path, version }) => !known.has(`${version} ${path}`));
  if (files.length === 0) return undefined;
  let loading = files[0]!.path;
  let answer: FromCheck | undefined;
  const child = Bun.spawn([...self, "__policies", JSON.stringify({ files, user: runAs(snapshot) } satisfies ToCheck)], {
    stdio: ["ignore", "ignore", "ignore"],
    env: process.env,
    ipc: (message: FromCheck) => {
      if ("loading" in message) ({ loading } = message);
      else answer ??= message;
    },
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, LOAD_TIMEOUT);
  await child.exited;
  clearTimeout(timer);
  if (answer !== undefined && "done" in answer) return answer.problem;
  if (late) return `policy ${loading} does not load within ${LOAD_TIMEOUT / 1000} s`;
  return `policy ${loading} ends the process that loads it (${child.signalCode ?? `exit code ${child.exitCode}`})`;
}

/** The process that loads them. @param asked a ToCheck as JSON */
export async function runPolicyCheck(asked: string): Promise<never> {
  const say = (message: FromCheck): void => void process.send!(message);
  let problem: string | undefined;
  let current = "";
  try {
    const { files, user } = JSON.parse(asked) as ToCheck;
    if (user !== undefined) become(user);
    for (const { path, version } of files) {
      current = path;
      say({ loading: path });
      const make = await loadPolicyModule(path, version);
      make({ peek: () => 0, cursor: () => 0, random: () => 0 });
    }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    problem = message.includes(current) ? message : `policy ${current} fails: ${message}`;
  }
  say(problem === undefined ? { done: true } : { done: true, problem });
  // Policies may hold timers of their own.
  process.exit(0);
}

/** Where Fairlead runs: it passes sockets between processes and shares memory in the ways of these systems. */

const SYSTEMS: Readonly<Record<string, string>> = { linux: "Linux", darwin: "macOS" };
const PROCESSORS = new Set(["x64", "arm64"]);

/** @returns one line that says why not; undefined: it runs here */
export function platformProblem(platform: string, arch: string): string | undefined {
  if (SYSTEMS[platform] !== undefined && PROCESSORS.has(arch)) return undefined;
  return `Fairlead runs on Linux and macOS, on x64 and arm64, not on ${SYSTEMS[platform] ?? platform} ${arch}`;
}

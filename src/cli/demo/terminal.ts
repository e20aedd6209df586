/** Whether somebody can type commands to the demo. */

/**
 * False for a job in the background of a terminal (`npm start &`): reading from the terminal would stop it, and its processes with it.
 * `ps` marks the foreground group with a plus; where there is no `ps`, we are taken to be in front.
 */
export function canReadInput(): boolean {
  if (process.stdin.isTTY !== true) return true;
  try {
    const { stdout, success } = Bun.spawnSync(["ps", "-o", "stat=", "-p", String(process.pid)], { stdin: "ignore", stderr: "ignore" });
    return !success || stdout.toString().includes("+");
  } catch {
    return true;
  }
}

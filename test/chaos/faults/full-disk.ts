/** The disk under the access log is full: a small file system of its own where we may mount one, else a file that takes nothing. */
import { mkdirSync, readFileSync, statfsSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { sleep, until } from "../../support/until.ts";
import type { Fault } from "../fault.ts";
import type { Scene } from "../scene.ts";

/** Filled in a moment under load. */
const SIZE = "256k";
/** How long it stays full, and how long there is room, in ms. */
const FULL = 700;
const ROOM = 300;
const WORKERS = 2;

const mounted = new WeakMap<Scene, string>();

function tryMount(directory: string): boolean {
  mkdirSync(directory, { recursive: true });
  return Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${SIZE},mode=700`, "fairlead-chaos", directory]).exitCode === 0;
}

async function between(scene: Scene): Promise<void> {
  const directory = join(scene.directory, "log");
  if (!tryMount(directory)) return;
  mounted.set(scene, join(directory, "access.log"));
  // Lazily: Fairlead may have the file open still.
  scene.atEnd(() => Bun.spawnSync(["umount", "-l", directory]));
}

function isFull(path: string): boolean {
  const { bfree } = statfsSync(path);
  return bfree === 0;
}

/** Lines that are no JSON, of all; where the disk was full a line is cut, and goes on when there is room. */
function broken(path: string): { readonly lines: number; readonly bad: number } {
  const lines = readFileSync(path, "latin1").split("\n").filter(Boolean);
  const bad = lines.filter((line) => {
    try {
      return typeof JSON.parse(line) !== "object";
    } catch {
      return true;
    }
  });
  return { lines: lines.length, bad: bad.length };
}

async function lostLines(scene: Scene): Promise<number> {
  return Number(/^fairlead_access_log_lost_lines_total (\d+)$/m.exec(await scene.metrics())?.[1]);
}

export const fullDisk: Fault = {
  name: "full-disk",
  what: "the disk under the access log is full, and has room again",
  bar: "0 fail; lines that are lost are counted, and the log goes on",
  scene: { between, top: (scene) => ({ access_log: { path: mounted.get(scene) ?? "/dev/full", format: "json" } }) },
  async run(scene, { isOver }) {
    const path = mounted.get(scene);
    const complaints: string[] = [];
    let times = 0;
    let bad = 0;
    let lines = 0;
    do {
      times++;
      if (path !== undefined) await until("the disk to be full", () => isFull(path), 15_000);
      await sleep(FULL);
      if (path === undefined) continue;
      const found = broken(path);
      lines += found.lines;
      bad += found.bad;
      truncateSync(path);
      await until("lines where there is room again", () => broken(path).lines > 0, 15_000);
      await sleep(ROOM);
    } while (!isOver());
    const lost = await lostLines(scene);
    if (!(lost > 0)) complaints.push(`${lost} lines are counted as lost`);
    // Each worker cuts a line when the disk fills up, and its other half comes later.
    if (bad > 2 * WORKERS * (times + 1)) complaints.push(`${bad} of ${lines} lines of the log are broken`);
    return { times, allowances: [], complaints, notes: [path === undefined ? "nothing may be mounted here: the log is /dev/full" : `a tmpfs of ${SIZE}; ${lines} lines written, ${bad} of them cut by the end of the disk`, `${lost} lines lost and counted`] };
  },
};

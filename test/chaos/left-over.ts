/** When the load has ended: is anything counted as open that cannot be, and was a POST done twice? */
import { TWICE } from "./load/table.ts";
import { sleep } from "../support/until.ts";

/** What must be 0 when nobody asks for anything; connections of clients too, for they have gone. */
const GAUGES = ["fairlead_listener_open_clients", "fairlead_target_open_requests", "fairlead_upstream_open_requests", "fairlead_upstream_open_retries", "fairlead_upstream_queued"];
/** Clients that left without a word are found to have gone. In ms. */
const PATIENCE = 5_000;

async function open(metrics: () => Promise<string>): Promise<string[]> {
  const text = await metrics();
  for (const gauge of GAUGES) if (!text.includes(`\n${gauge}{`)) throw new Error(`${gauge} is not among the metrics`);
  return text.split("\n").filter((line) => GAUGES.some((gauge) => line.startsWith(`${gauge}{`)) && !line.endsWith(" 0"));
}

/** @param metrics the text of /metrics @param posts the table in which back ends have noted whose POSTs they had */
export async function leftOver(metrics: () => Promise<string>, posts: Uint8Array): Promise<string[]> {
  let left = await open(metrics);
  for (const end = performance.now() + PATIENCE; left.length > 0 && performance.now() < end; left = await open(metrics)) await sleep(20);
  const twice: number[] = [];
  for (let number = posts.indexOf(TWICE); number >= 0; number = posts.indexOf(TWICE, number + 1)) twice.push(number);
  return [...left.map((line) => `still open: ${line}`), ...(twice.length === 0 ? [] : [`${twice.length} POSTs were sent to back ends twice: ${twice.slice(0, 10).join(", ")}`])];
}

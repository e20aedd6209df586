/** Plays HTTP/2 cases on the lanes of ../lanes.ts: what came back, what the back end saw, and whether the next client is served. */
import { ErrorCode } from "../../support/h2-frames.ts";
import { H2Client, reply, type Wish } from "../../support/h2.ts";
import { type RawBackend, sayWhich } from "../../support/raw-backend.ts";
import { until } from "../../support/until.ts";
import type { Expected } from "../cases.ts";
import type { Lane, Lanes } from "../lanes.ts";
import { compare, demand, expectTidy, show } from "../runner.ts";
import { get, type H2Case, type Sees, type Step } from "./cases.ts";

/** How long a verdict may take, in ms. */
const PATIENCE = 3_000;

/** Cases of few bytes are sent byte by byte too. */
const BYTEWISE_LIMIT = 400;

export type Delivery = "at once" | "byte by byte";

/** Whether a case is small enough to be sent byte by byte. */
export function fitsBytewise({ steps, foreign = false }: H2Case): boolean {
  return !foreign && steps.reduce((sum, step) => sum + (Buffer.isBuffer(step) ? step.length : 0), 0) <= BYTEWISE_LIMIT;
}

/** A request of its own on a connection of its own must get its answer. */
export async function probe(lane: Lane): Promise<void> {
  lane.backend.script = sayWhich;
  const client = await H2Client.connect(lane.port);
  try {
    const path = `/probe-${Math.random().toString(36).slice(2)}`;
    client.send(get(1, path));
    const { text } = await client.expect(reply(1), PATIENCE);
    demand(text === `GET ${path}`, `the request after it was answered with ${JSON.stringify(text)}`);
  } finally {
    client.destroy();
  }
}

/** What went wrong on a lane must not be seen by the next case. */
export function abandon({ backend }: Lane): void {
  for (const connection of backend.connections) connection.destroy();
  backend.connections = [];
}

async function act(client: H2Client, steps: readonly Step[], how: Delivery): Promise<Wish["after"]> {
  let after: Wish["after"];
  let ready: Buffer[] = [];
  const flush = async (): Promise<void> => {
    if (how === "at once") client.send(...ready);
    else await client.sendBytewise(...ready);
    ready = [];
  };
  for (const step of steps) {
    if (Buffer.isBuffer(step)) {
      ready.push(step);
      continue;
    }
    if (ready.length > 0) await flush();
    if (typeof step === "function") await step(client);
    else {
      await client.expect(step, PATIENCE);
      if (after !== "ends") after = step.after ?? after;
    }
  }
  if (ready.length > 0) await flush();
  return after;
}

async function expectEnd(client: H2Client, after: Wish["after"]): Promise<void> {
  const failed = client.conversation.goaways.some(({ code }) => code !== ErrorCode.NO_ERROR);
  if (after === "ends" || (after === "may end" && failed)) {
    await until("the end of the connection", () => client.gone, PATIENCE).catch(() => demand(false, `the connection stays open after ${client.told()}`));
  } else if (after === undefined || !client.gone) {
    await client.roundTrip(PATIENCE).catch((error: unknown) => {
      if (after === undefined || !client.gone) throw error;
    });
  }
}

/** Requests that several upstream connections carried have no order. */
function expectRequests(backend: RawBackend, wanted: readonly Expected[]): void {
  const left = [...backend.complete];
  demand(left.length === wanted.length, `${wanted.length} request(s) expected at the back end, got ${show(backend.requests)}`);
  for (const request of wanted) {
    const at = left.findIndex((one) => {
      if (request.line !== undefined && one.startLine !== request.line) return false;
      try {
        compare(one, request);
        return true;
      } catch {
        return left.length === 1;
      }
    });
    demand(at >= 0, `a request like ${JSON.stringify(request)} expected at the back end, got ${show(left)}`);
    compare(left.splice(at, 1)[0]!, request);
  }
}

function expectSeen(backend: RawBackend, sees: Sees): void {
  if (sees === "nothing") demand(backend.requests.length === 0, `nothing expected at the back end, got ${show(backend.requests)}`);
  else if (sees === "nothing whole") demand(backend.complete.length === 0, `no whole request expected at the back end, got ${show(backend.requests)}`);
  else if (sees === "anything") return;
  else if ("atMost" in sees) expectRequests(backend, backend.complete.length === 0 ? [] : [sees.atMost]);
  else expectRequests(backend, sees);
}

/** Throws with a sentence that says what is wrong. */
export async function play(lanes: Lanes, test: H2Case, how: Delivery): Promise<void> {
  await lanes.use(async (lane) => {
    lane.backend.clear(test.script ?? sayWhich);
    const client = await H2Client.connect(lane.port, test.client);
    try {
      const after = await act(client, test.steps, how);
      if (test.foreign !== true) {
        if ((test.client?.handshake ?? "full") === "full" || after === "ends") await expectEnd(client, test.mayEnd === true ? (after ?? "may end") : after);
        demand(client.conversation.violation === undefined, `the server broke a rule: ${client.conversation.violation}; came: ${client.told()}`);
      }
      expectSeen(lane.backend, test.sees);
      client.destroy();
      await expectTidy(lane.backend);
      expectSeen(lane.backend, test.sees);
      const { length } = lane.backend.seen;
      await probe(lane);
      demand(lane.backend.seen.length === length + 1, `a request came out of nowhere: ${show(lane.backend.requests)}`);
    } catch (error) {
      abandon(lane);
      throw error;
    } finally {
      client.destroy();
    }
  });
}

/**
 * What the admin address changes: `PUT` and `DELETE /v1/upstreams/{u}/targets/{address}/heartbeat` for back ends, and
 * `PUT /v1/upstreams/{u}/targets/{address}/state` for people. Both show the token of `[admin]`.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Snapshot } from "../config/snapshot.ts";
import { parseDuration } from "../config/values.ts";
import { type Beat, BeatRefused, type Heartbeats } from "../health/heartbeats.ts";
import type { Rotation } from "../health/rotation.ts";
import { Flag } from "../scoreboard/scoreboard.ts";

/** What is changed, and under whose eyes. */
export interface Changeable {
  readonly snapshot: Snapshot;
  readonly heartbeats: Heartbeats;
  readonly rotation: Rotation;
  /** A person has changed a target's state. */
  readonly changed: () => void;
}

/** What people do is known to the rotation by this name. */
export const ADMIN = "admin";

/** Take a target out, or bring it back. @param state ready, drain or maint */
export function withdraw(rotation: Rotation, slot: number, state: string): void {
  rotation.setWithdrawn(slot, Flag.DRAINING, ADMIN, state === "drain");
  rotation.setWithdrawn(slot, Flag.MAINTENANCE, ADMIN, state === "maint");
}

const PATH = /^\/v1\/upstreams\/([^/]+)\/targets\/([^/]+)\/(heartbeat|state)$/;
/** As of a configured weight. */
const MAX_CAPACITY = 1_000;
const LEAST_TTL = 100;
const STATES = new Set(["ready", "drain", "maint"]);

/** A request that is not done as asked. */
class Refused extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** @returns undefined: the path is another one's */
export async function changeTarget(request: Request, path: string, subject: Changeable): Promise<Response | undefined> {
  const match = PATH.exec(path);
  if (match === null) return undefined;
  try {
    const allowed = match[3] === "heartbeat" ? ["PUT", "DELETE"] : ["PUT"];
    if (!allowed.includes(request.method)) return Response.json({ error: "method not allowed" }, { status: 405, headers: { Allow: allowed.join(", ") } });
    authorize(request, subject.snapshot.admin?.token);
    const upstream = decoded(match[1]!);
    const address = decoded(match[2]!);
    if (match[3] === "state") return await setState(request, upstream, address, subject);
    if (request.method === "PUT") return beat(await bodyOf(request), upstream, address, subject.heartbeats);
    if (!subject.heartbeats.leave(upstream, address)) throw new Refused(404, `${address} has sent no heartbeat to upstream "${upstream}"`);
    return new Response(null, { status: 204 });
  } catch (error) {
    if (error instanceof BeatRefused) return Response.json({ error: error.message }, { status: error.reason === "unknown" ? 404 : 409 });
    if (!(error instanceof Refused)) throw error;
    return Response.json({ error: error.message }, { status: error.status, headers: error.status === 401 ? { "WWW-Authenticate": "Bearer" } : {} });
  }
}

function authorize(request: Request, token: string | undefined): void {
  if (token === undefined) throw new Refused(403, "nothing can be changed here: set token in [admin]");
  const shown = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  // Digests are of one length, and tell nothing by the time that comparing them takes.
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  if (!timingSafeEqual(digest(shown), digest(token))) throw new Refused(401, "show the token of [admin] as Authorization: Bearer …");
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new Refused(400, `"${part}" is not percent-encoded text`);
  }
}

/** The body's JSON object; nothing at all is an empty one. */
async function bodyOf(request: Request): Promise<Record<string, unknown>> {
  const text = await request.text();
  if (text.trim() === "") return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refused(400, 'the body is not JSON, as {"ttl": "15s"}');
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Refused(400, "the body is not a JSON object");
  return value as Record<string, unknown>;
}

function beat(body: Record<string, unknown>, upstream: string, address: string, heartbeats: Heartbeats): Response {
  const { ttl, capacity, zone, draining, ...rest } = body;
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw new Refused(400, `unknown key "${unknown}"; known: ttl, capacity, zone, draining`);
  if (capacity !== undefined && (typeof capacity !== "number" || !(capacity >= 0 && capacity <= MAX_CAPACITY))) throw new Refused(400, `capacity is a number from 0 to ${MAX_CAPACITY}`);
  if (zone !== undefined && typeof zone !== "string") throw new Refused(400, "zone is a text");
  if (draining !== undefined && typeof draining !== "boolean") throw new Refused(400, "draining is true or false");
  const taken: Beat = {
    ...(ttl === undefined ? {} : { ttl: ttlOf(ttl) }),
    ...(capacity === undefined ? {} : { capacity }),
    ...(zone === undefined ? {} : { zone }),
    ...(draining === undefined ? {} : { draining }),
  };
  const { joined, ttl: good } = heartbeats.beat(upstream, address, taken);
  return Response.json({ ttl: good / 1000 }, { status: joined ? 201 : 200 });
}

/** A number is seconds. */
function ttlOf(value: unknown): number {
  const milliseconds = typeof value === "number" ? value * 1000 : typeof value === "string" ? parseDuration(value) : undefined;
  if (milliseconds === undefined || !(milliseconds >= LEAST_TTL && milliseconds <= 86_400_000)) throw new Refused(400, 'ttl is a duration from 0.1 s to a day, as 15 (seconds) or "15s"');
  return milliseconds;
}

async function setState(request: Request, upstream: string, address: string, { snapshot, rotation, changed }: Changeable): Promise<Response> {
  const { state } = await bodyOf(request);
  if (typeof state !== "string" || !STATES.has(state)) throw new Refused(400, 'the body is {"state": "ready"}, "drain" or "maint"');
  const group = snapshot.upstreams.find(({ name }) => name === upstream);
  if (group === undefined) throw new Refused(404, `there is no upstream "${upstream}"`);
  const target = group.targets.find(({ name }) => name === address);
  if (target === undefined) throw new Refused(404, `${address} is no target of upstream "${upstream}"`);
  withdraw(rotation, target.slot, state);
  changed();
  return Response.json({ target: address, ...rotation.status(target.slot) });
}

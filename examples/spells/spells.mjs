/**
 * The spells API: a small back end to balance. It runs on Node (20 or newer) and on Bun, and needs nothing else.
 *
 *   GET  /healthz          200 while it serves
 *   GET  /api/spells       all spells that THIS instance knows
 *   GET  /api/spells/ID    one of them
 *   POST /api/spells       learn one: {"name": "Lumos", "effect": "light"}
 *
 * Every reply says which instance gave it: in the field X-Instance, and in the body.
 */
import { createServer } from "node:http";

/** A body above this many bytes is refused with 413. */
const MAX_BODY = 64 * 1024;
/** Spells that one instance remembers; the oldest learned one goes first. */
const MAX_SPELLS = 1000;

const FIRST_SPELLS = [
  { id: 1, name: "Alohomora", effect: "opens a locked door" },
  { id: 2, name: "Lumos", effect: "lights the tip of the wand" },
  { id: 3, name: "Accio", effect: "fetches a thing" },
];

/**
 * One instance, with a memory of its own: nothing is shared with another one.
 * @param {string} instance the name that it gives itself in its replies
 * @returns {import("node:http").Server} not listening yet
 */
export function createSpells(instance) {
  const spells = FIRST_SPELLS.map((spell) => ({ ...spell }));
  let nextId = spells.length + 1;

  function learn({ name, effect }) {
    const spell = { id: nextId++, name, effect };
    spells.push(spell);
    if (spells.length > MAX_SPELLS) spells.shift();
    return spell;
  }

  async function answer(request, reply) {
    const path = request.url.split("?", 1)[0];
    if (path === "/healthz") return send(reply, 200, { status: "ok" });
    if (path === "/api/spells") {
      if (request.method === "GET" || request.method === "HEAD") return send(reply, 200, { spells });
      if (request.method === "POST") return post(request, reply);
      return send(reply, 405, { error: "use GET or POST" }, { Allow: "GET, HEAD, POST" });
    }
    const id = /^\/api\/spells\/(\d+)$/.exec(path)?.[1];
    const spell = id === undefined ? undefined : spells.find((each) => each.id === Number(id));
    if (spell !== undefined) return send(reply, 200, { spell });
    return send(reply, 404, { error: id === undefined ? "try /api/spells" : `this instance knows no spell ${id}` });
  }

  async function post(request, reply) {
    const body = await read(request);
    if (body === undefined) return send(reply, 413, { error: `the body is over ${MAX_BODY} bytes` }, { Connection: "close" });
    let given;
    try {
      given = JSON.parse(body);
    } catch {
      return send(reply, 400, { error: "the body is not JSON" });
    }
    if (typeof given?.name !== "string" || given.name === "") return send(reply, 400, { error: 'a spell needs a "name"' });
    const spell = learn({ name: given.name, effect: typeof given.effect === "string" ? given.effect : "unknown" });
    send(reply, 201, { spell }, { Location: `/api/spells/${spell.id}` });
  }

  function send(reply, status, content, fields = {}) {
    const body = `${JSON.stringify({ instance, ...content })}\n`;
    reply.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body), "X-Instance": instance, ...fields });
    reply.end(body);
  }

  return createServer((request, reply) => {
    answer(request, reply).catch(() => reply.destroy());
  });
}

/** The whole body as text, or undefined when it is too long. */
async function read(request) {
  const parts = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length > MAX_BODY) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

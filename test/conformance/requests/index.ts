/** All request cases, by what they are about. */
import type { RequestCase } from "../cases.ts";
import { chunks } from "./chunks.ts";
import { desync } from "./desync.ts";
import { forwarding } from "./forwarding.ts";
import { framing } from "./framing.ts";
import { funkyChunks } from "./funky-chunks.ts";
import { hosts } from "./hosts.ts";
import { smuggling } from "./smuggling.ts";
import { syntax } from "./syntax.ts";
import { target } from "./target.ts";

export const requestCategories: Readonly<Record<string, readonly RequestCase[]>> = {
  "message framing": framing,
  "chunked coding": chunks,
  "line ends, names, values, versions, sizes": syntax,
  "Host and target": target,
  "what goes on": forwarding,
  "published: framing": smuggling,
  "published: chunk lines and trailers": funkyChunks,
  "published: bodies, pauses, Expect, upgrades": desync,
  "published: hosts and hop-by-hop fields": hosts,
};

export const requestCases = Object.values(requestCategories).flat();

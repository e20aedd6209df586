/** All request cases. */
import { chunks } from "./chunks.ts";
import { forwarding } from "./forwarding.ts";
import { framing } from "./framing.ts";
import { syntax } from "./syntax.ts";
import { target } from "./target.ts";

export const requestCases = [...framing, ...chunks, ...syntax, ...target, ...forwarding];

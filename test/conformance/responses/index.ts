/** All response cases. */
import { framing } from "./framing.ts";
import { syntax } from "./syntax.ts";

export const responseCases = [...framing, ...syntax];

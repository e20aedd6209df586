/** All response cases, by what they are about. */
import type { ResponseCase } from "../cases.ts";
import { evasion } from "./evasion.ts";
import { framing } from "./framing.ts";
import { splitting } from "./splitting.ts";
import { syntax } from "./syntax.ts";

export const responseCategories: Readonly<Record<string, readonly ResponseCase[]>> = {
  "replies: framing": framing,
  "replies: heads and interim replies": syntax,
  "published: readers that differ": evasion,
  "published: splitting, queues, upgrades": splitting,
};

export const responseCases = Object.values(responseCategories).flat();

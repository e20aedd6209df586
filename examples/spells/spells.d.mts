/** Types of spells.mjs, which stays plain JavaScript so that any Node runs it. */
import type { Server } from "node:http";

export function createSpells(instance: string): Server;

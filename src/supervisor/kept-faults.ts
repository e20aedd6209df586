/** What people said of faults, for a supervisor that goes on with it: in the words of the configuration file, which other versions know too. */
import { z } from "zod";
import { faultKeysOf, faultOf } from "../config/faults.ts";
import { faultKeys } from "../config/schema.ts";
import type { FaultRule } from "../config/snapshot.ts";

/** A rule, and who brought or ended it. */
export interface SaidFault {
  readonly rule: FaultRule;
  readonly told: { readonly by: string; readonly at: string };
}

export interface SaidFaults {
  /** The newest first; each has its end. */
  readonly added: readonly SaidFault[];
  /** The file's that somebody has ended. */
  readonly stopped: readonly SaidFault[];
}

const fault = z.object({ name: z.string(), keys: faultKeys, at: z.iso.datetime(), by: z.string() });
const keptFaults = z.object({ version: z.literal(1), added: z.array(fault.extend({ until: z.int() })), stopped: z.array(fault) });

export type KeptFaults = z.input<typeof keptFaults>;

export function keptOf({ added, stopped }: SaidFaults): KeptFaults {
  const kept = ({ rule, told: { by, at } }: SaidFault): KeptFaults["stopped"][number] => ({ name: rule.name, keys: faultKeysOf(rule), at, by });
  return { version: 1, added: added.map((said) => ({ ...kept(said), until: said.rule.until! })), stopped: stopped.map(kept) };
}

/** @param value as `keptOf` made it @throws Error that says what is wrong with it */
export function saidOf(value: unknown): SaidFaults {
  const result = keptFaults.safeParse(value);
  if (!result.success) throw new Error(z.prettifyError(result.error));
  const said = ({ name, keys, at, by }: z.output<typeof fault>): SaidFault => ({ rule: faultOf({ name, ...keys }), told: { by, at } });
  return { added: result.data.added.map((kept) => ({ rule: { ...said(kept).rule, until: kept.until }, told: said(kept).told })), stopped: result.data.stopped.map(said) };
}

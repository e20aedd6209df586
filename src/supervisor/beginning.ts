/** The configuration that a start begins with. */
import { type Loaded, type LoadOptions } from "../config/load.ts";
import type { Log } from "../observability/log.ts";
import { type Applicable, type ConfigSource, MAKING, withPlaceholders } from "./configuration.ts";
import { ConfigError } from "./errors.ts";
import type { PendingSlots } from "./pending-slots.ts";
import { type KeptConfig, RuntimeDirectory } from "./runtime-directory.ts";

export interface Beginning {
  readonly loaded: Applicable;
  /** It is in no file: it came by the API to the supervisor before us. */
  readonly kept: KeptConfig | undefined;
}

/**
 * What the supervisor before us ran, if that was in no file and its workers serve still; else what the file says.
 * @throws ConfigError, StartError
 */
export async function begin(source: ConfigSource, slots: PendingSlots, log: Log, identity: string, runtimeDirectory: string | undefined): Promise<Beginning> {
  const kept = RuntimeDirectory.configOf(identity, runtimeDirectory);
  if (kept === undefined) return beginWithFile(source, slots);
  const loaded = source.load(howFor(slots), kept.text);
  if (loaded.ok) return { loaded: await placed(loaded, slots), kept };
  log.error({ errors: loaded.diagnostics.length }, "The configuration that came by the API is not valid any more: going on with what the file says");
  return beginWithFile(source, slots);
}

/** @throws ConfigError, StartError */
export async function beginWithFile(source: ConfigSource, slots: PendingSlots): Promise<Beginning> {
  const loaded = source.load(howFor(slots));
  if (!loaded.ok) throw new ConfigError(loaded.diagnostics);
  return { loaded: await placed(loaded, slots), kept: undefined };
}

function howFor(slots: PendingSlots): LoadOptions {
  return { ...MAKING, slots, generation: 1 };
}

function placed(loaded: Loaded & { readonly ok: true }, slots: PendingSlots): Promise<Applicable> {
  return withPlaceholders(loaded, howFor(slots));
}

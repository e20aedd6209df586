/** Why Fairlead does not start, or does not take a configuration. */
import { type Diagnostic, diagnosticLine } from "../config/load.ts";

/** A start or reload that cannot be: its message is the one line that a person reads. */
export class StartError extends Error {
  readonly code = "FAIRLEAD_START";
}

/** What a config that cannot be run has to say. */
export class ConfigError extends StartError {
  readonly diagnostics: readonly Diagnostic[];

  constructor(diagnostics: readonly Diagnostic[]) {
    super(diagnostics.map(diagnosticLine).join("\n"));
    this.diagnostics = diagnostics;
  }
}

/** Everything is well but the admin address. */
export class AdminUnavailable extends StartError {}

/** A start or reload that cannot be: its message is the one line that a person reads. */
export class StartError extends Error {
  readonly code = "FAIRLEAD_START";
}

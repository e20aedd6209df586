/** The exit code for a command line that is not understood. */
export const USAGE_ERROR = 2;

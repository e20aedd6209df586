/** What a supervisor and its keeper say to each other over IPC. */

export type ToKeeper =
  | {
      readonly type: "start";
      readonly id: number;
      readonly command: readonly string[];
      readonly directory: string;
      /** Whom it runs as, "uid:gid"; "-": as the keeper. */
      readonly user: string;
      /** Added to the environment. */
      readonly environment: Readonly<Record<string, string>>;
      /** Stands before each line that it prints. */
      readonly label: string;
      /** Between SIGTERM and SIGKILL, in ms. */
      readonly stopTimeout: number;
    }
  /** SIGTERM, and SIGKILL when its stop timeout is over. */
  | { readonly type: "stop"; readonly id: number }
  /** SIGKILL. */
  | { readonly type: "kill"; readonly id: number };

export type FromKeeper =
  | { readonly type: "started"; readonly id: number; readonly pid: number }
  /** An exit code, a signal's name, or why it did not start. */
  | { readonly type: "ended"; readonly id: number; readonly how: string };

export interface HeartbeatOptions {
  /** Fairlead's admin address, as "http://127.0.0.1:9900"; several for several balancers. */
  readonly admin: string | readonly string[];
  /** The token of its `[admin]`. */
  readonly token: string;
  readonly upstream: string;
  /** Where this back end can be reached, as "10.0.0.7:8080". */
  readonly address: string;
  /** Seconds that one beat is good for; three are sent in that time. Default 15. */
  readonly ttl?: number;
  /** Its weight, 0 to 1000. Default: the configured one, or 1. */
  readonly capacity?: number;
  readonly zone?: string;
  /** Seconds between saying that it drains and saying good-bye, on a signal. Default 5. */
  readonly drainTime?: number;
  /** Drain on SIGTERM and SIGINT. Default true. */
  readonly signals?: boolean;
  /** Hears of each beat that was not taken. Default: nobody does. */
  readonly onError?: (error: unknown) => void;
}

export interface Heartbeat {
  /** Settles with the first beat: whether it was taken. Beating goes on either way. */
  readonly ready: Promise<void>;
  /** Take no new requests from now on. */
  drain(): Promise<void>;
  /** Say good-bye and stop beating. */
  stop(): Promise<void>;
  /** Another capacity or zone from now on. */
  update(change: { readonly capacity?: number; readonly zone?: string }): Promise<void>;
}

/** Report this back end until it ends. */
export function startHeartbeat(options: HeartbeatOptions): Heartbeat;

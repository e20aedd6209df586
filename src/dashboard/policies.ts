/** The built-in policies, to choose from; any other that the API takes may be written. A test holds that these are all. */
export const POLICIES: readonly string[] = ["round-robin", "p2c", "peak-ewma", "least-time", "least-connections", "weighted-random", "random", "first", "single", "hash", "ip-hash"];

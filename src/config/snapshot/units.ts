/** What a number is a number of. */

/** A duration in milliseconds; 0 means "off" wherever a timeout may be off. */
export type Milliseconds = number;
/** A size in bytes; 0 means "no limit" wherever a limit may be off. */
export type Bytes = number;

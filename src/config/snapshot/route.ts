/** Which upstream a request goes to. */

export interface RouteConfig {
  /** Its row in the scoreboard; kept over reloads as long as its label is. The last one is for all that have none of their own. */
  readonly slot: number;
  /** How people call it; absent: by what it matches (`routeLabel`). No two routes are called the same. */
  readonly name?: string;
  /** Names of listeners; empty: every one that has routes. */
  readonly listeners: readonly string[];
  /** Lower-case names, `*.example.org` for any name below it; empty: every host. */
  readonly hosts: readonly string[];
  /** Matches whole path segments from the start of the normalised path; undefined: every path. */
  readonly pathPrefix?: string;
  /** Upper-case methods; empty: every method. */
  readonly methods: readonly string[];
  /** Every one must be there; an undefined value means that any value will do. */
  readonly headers: readonly { readonly name: string; readonly value?: string }[];
  readonly upstream: string;
}

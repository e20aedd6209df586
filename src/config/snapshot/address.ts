/** Where something listens, or can be reached. */

/** Where something listens or can be reached. */
export type Address =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** Where a listener's socket is from: bound by us, or made by systemd and known by its name. */
export type ListenAddress = Address | { readonly kind: "systemd"; readonly name: string };

/** Who may look and steer, and where. */
import type { Address } from "./address.ts";

export interface AdminConfig {
  readonly address: Address;
  /** Of which whoever asks must show one (`Authorization: Bearer …`); empty: the address is a loopback one or a unix socket. */
  readonly tokens: readonly AdminToken[];
  /** Absolute path of where what people said survives a stop. */
  readonly stateFile?: string;
}

export interface AdminToken {
  /** By which people know who did something; no two are the same. */
  readonly name: string;
  readonly token: string;
  /** Send heartbeats; look; both, and change what targets do; and bring a configuration. */
  readonly access: "heartbeat" | "read" | "steer" | "configure";
}

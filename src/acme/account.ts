/** Makes the key of an ACME account: once for each server, whoever comes first. */
import { exportJWK, generateKeyPair } from "jose";
import type { AcmeAccountConfig } from "../config/snapshot.ts";
import { type Account, keepAccount } from "./store.ts";

/** Kept before the server hears of it: whatever happens then, no account of ours is lost. */
export async function makeAccount({ directory, file }: AcmeAccountConfig): Promise<Account> {
  const { privateKey } = await generateKeyPair("ES256", { extractable: true });
  return keepAccount(file, { directory, key: await exportJWK(privateKey), url: "", email: "" });
}

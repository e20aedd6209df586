/** Certificates for tests, made by openssl. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./real-clients.ts";

export interface SelfSigned {
  readonly cert: string;
  readonly key: string;
}

/** For these names, the first of which is its subject. @param directory where its files are made */
export async function selfSigned(directory: string, ...names: readonly [string, ...string[]]): Promise<SelfSigned> {
  const [certificate, key] = [join(directory, `${names[0]}.pem`), join(directory, `${names[0]}.key`)];
  const made = await run("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", `/CN=${names[0]}`, "-addext", `subjectAltName=${names.map((name) => `DNS:${name}`).join(",")}`]);
  if (made.code !== 0) throw new Error(`openssl: ${made.stderr}`);
  return { cert: readFileSync(certificate, "utf8"), key: readFileSync(key, "utf8") };
}

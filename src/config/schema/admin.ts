/** `[admin]`. */
import { z } from "zod";
import { key } from "./key.ts";
import { file, listenAddress, name } from "./types.ts";

/** Shorter ones are guessed, and others cannot be written in a header. */
const MIN_TOKEN = 8;
const TOKEN = /^[\x20-\x7e]*$/;
const TOKEN_RULE = `a token has at least ${MIN_TOKEN} characters, letters, digits and signs of ASCII only`;

/** What is wrong with it as a token; undefined: nothing. */
export function tokenFault(token: string): string | undefined {
  return token.length >= MIN_TOKEN && TOKEN.test(token) ? undefined : TOKEN_RULE;
}

const adminToken = z.string().min(MIN_TOKEN, { error: TOKEN_RULE }).regex(TOKEN, { error: TOKEN_RULE });
const namedToken = z.strictObject({
  name: name.meta({ description: "By which the timeline says who did something." }),
  token: key(adminToken, "What is shown; or token_file."),
  token_file: key(file, "File that holds the token and nothing else, relative to this one; read with each reload."),
  access: z.enum(["heartbeat", "read", "steer", "configure"]).meta({ description: "heartbeat: send heartbeats, and nothing else; read: look; steer: both, and change what targets do; configure: bring a configuration, too." }),
});

export const admin = z.strictObject({
  address: listenAddress.meta({ description: "Where the admin API listens; without a token a loopback address or a unix socket." }),
  token: key(adminToken, "May do everything. Whoever asks for more than /health and /ready shows it, or one of tokens, as Authorization: Bearer; without any the address is a loopback one, and configurations and heartbeats are not taken."),
  tokens: key(z.array(namedToken), "Further tokens, each of which may do so much."),
  state_file: key(file, "Where what the API was told of targets and upstreams is kept over a stop, relative to this file; absent: nowhere."),
});

/** `user` and `group`: whom workers run as when Fairlead is started by root. */
import { findGroup, findUser, ROOT } from "../../net/identity.ts";
import type { Problem } from "../problem.ts";
import type { RawConfig } from "../schema.ts";
import type { UserConfig } from "../snapshot.ts";

/** Numbers may be written as texts: that is what variables of other tools' templates make of them. */
function idOf(named: string | number): number | undefined {
  if (typeof named === "number") return named;
  return /^\d+$/.test(named) ? Number(named) : undefined;
}

/** @returns undefined when none is named, or a problem is */
export function userOf({ user, group }: Pick<RawConfig, "user" | "group">, problems: Problem[]): UserConfig | undefined {
  const wrong = (key: "user" | "group", message: string, hint: string, about: Problem["about"] = "value"): undefined => void problems.push({ path: [key], about, message, hint });
  if (user === undefined) {
    return group === undefined ? undefined : wrong("group", "group is the group of user, and there is none", 'add user = "…", or leave it out', "key");
  }
  const id = idOf(user);
  const known = findUser(id ?? user);
  if (id === undefined && known === undefined) return wrong("user", `this machine has no user "${user}"`, "make it (useradd --system), or name one of getent passwd");
  const uid = id ?? known!.uid;
  if (uid === ROOT) return wrong("user", "workers are root's when nothing is said", "name a user without privileges, or leave it out");
  if (group === undefined) {
    return known === undefined ? wrong("user", `this machine has no user ${uid}, so it is not known in which group that is`, 'add group = "…"') : { name: String(user), uid, gid: known.gid };
  }
  const gid = idOf(group) ?? findGroup(String(group));
  if (gid === undefined) return wrong("group", `this machine has no group "${group}"`, "make it (groupadd --system), or name one of getent group");
  return { name: String(user), uid, gid };
}

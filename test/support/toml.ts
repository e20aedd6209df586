/** Plain objects to TOML, for configurations that tests write as objects. */

export type TomlValue = string | number | boolean | readonly (string | number)[] | TomlTable | readonly TomlTable[];
export interface TomlTable {
  readonly [key: string]: TomlValue | undefined;
}

function isTable(value: unknown): value is TomlTable {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTables(value: unknown): value is readonly TomlTable[] {
  return Array.isArray(value) && value.length > 0 && value.every(isTable);
}

export function toToml(table: TomlTable, path: readonly string[] = []): string {
  let own = "";
  let below = "";
  for (const [key, value] of Object.entries(table)) {
    const at = [...path, key];
    if (value === undefined) continue;
    if (isTables(value)) below += value.map((item) => `[[${at.join(".")}]]\n${toToml(item, at)}`).join("");
    else if (isTable(value)) below += `[${at.join(".")}]\n${toToml(value, at)}`;
    else own += `${key} = ${JSON.stringify(value)}\n`;
  }
  return own + below;
}

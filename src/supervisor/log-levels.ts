/** How much is logged: what the file says, and for a while what a person says instead. Every process of this instance goes by it. */
import type { LevelOverride, LevelSettings } from "../admin/log.ts";
import type { LogLevels } from "../observability/log.ts";

export class LogLevelControl implements LevelSettings {
  private file: LogLevels = { level: "info", modules: {} };
  private change: LevelOverride | undefined = undefined;
  private timer: Timer | undefined = undefined;
  private readonly changed: (levels: LogLevels) => void;

  /** @param changed hears what is in force from now on */
  constructor(changed: (levels: LogLevels) => void) {
    this.changed = changed;
  }

  /** The file says this: it holds, whatever a person has said before. */
  follow({ level, modules }: LogLevels): void {
    this.file = { level, modules };
    this.override(undefined);
  }

  /** @param change undefined: as the file says */
  override(change: LevelOverride | undefined): void {
    clearTimeout(this.timer);
    this.change = change;
    if (change?.until !== undefined) this.timer = setTimeout(() => this.override(undefined), Math.max(0, change.until - Date.now())).unref();
    this.changed(this.levels);
  }

  /** In force now. Where a person names a level for all, modules that the file lowers or raises stay so. */
  get levels(): LogLevels {
    const { file, change } = this;
    return { level: change?.level ?? file.level, modules: { ...file.modules, ...change?.modules } };
  }

  get fromFile(): LogLevels {
    return this.file;
  }

  get overridden(): LevelOverride | undefined {
    return this.change;
  }
}
